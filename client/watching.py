"""Noticing that a program was saved: its source, or what that includes by a name in quotes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

POLL_S: Final = 0.2
"""Seconds between two looks. A save counts when nothing has changed from one look to the next."""

MAX_FILES: Final = 100
_INCLUDE: Final = re.compile(rb'^\s*#\s*include\s*"([^"\n]+)"', re.MULTILINE)

Stamp = tuple[tuple[str, int, int], ...]
"""Path, time of the last change in ns, and size of each file; -1 for one that is not there."""


_GONE: Final = -1


def stamp(path: Path) -> Stamp:
    """What tells one state of a program's files from another."""
    return tuple((str(file), *_state(file)) for file in sources(path))


def sources(path: Path) -> list[Path]:
    """A program's file and the files that it includes by names in quotes, theirs too, MAX_FILES at most."""
    found: list[Path] = [path]
    for file in found:
        try:
            content = file.read_bytes()
        except OSError:
            continue
        for name in _INCLUDE.findall(content):
            included = file.parent / name.decode(errors="surrogateescape")
            if included not in found and len(found) < MAX_FILES:
                found.append(included)
    return found


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return _GONE, _GONE
    return status.st_mtime_ns, status.st_size


async def saves(
    path: Path,
    *,
    poll_s: float = POLL_S,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> AsyncGenerator[None, None]:
    """One item at once, then one for each save, until closed. Editors that replace the file are no problem.

    What is saved while the receiver is still at work is one item, however often it was saved.
    """
    done = await asyncio.to_thread(stamp, path)
    yield
    seen = done
    while True:
        await sleep(poll_s)
        now = await asyncio.to_thread(stamp, path)
        if now == seen != done and now[0][1] != _GONE:
            done = now
            yield
        seen = now
