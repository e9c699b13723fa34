"""Saves of a program are noticed, once each, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from client.watching import MAX_FILES, saves, sources


def write(path: Path, text: str, age: int = 0) -> None:
    """Save a file, with a time of its own: clocks of file systems are coarse."""
    path.write_text(text)
    os.utime(path, ns=(age, age))


async def noticed(path: Path, doings: Sequence[Callable[[], object]]) -> list[int]:
    """After which of the doings, one before each look, a save was noticed; -1 is the first item."""
    looks = 0

    async def sleep(_seconds: float) -> None:
        nonlocal looks
        if looks >= len(doings) + 3:
            raise EOFError
        if looks < len(doings):
            doings[looks]()
        looks += 1

    found: list[int] = []
    with suppress(EOFError):
        async with aclosing(saves(path, sleep=sleep)) as items:
            async for _ in items:
                found += [looks - 1]
    return found


def nothing() -> None:
    """Nobody saves."""


async def test_a_save_is_noticed_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "prog.c"
    write(path, "a", 1)
    assert await noticed(path, [nothing, nothing]) == [-1]
    assert await noticed(path, [lambda: write(path, "b", 2), nothing]) == [-1, 1]
    assert await noticed(path, [lambda: write(path, "c", 3), lambda: write(path, "cd", 4)]) == [-1, 2]


async def test_an_editor_that_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "prog.c"
    write(path, "a", 1)
    doings = [path.unlink, nothing, nothing, lambda: write(path, "b", 2)]
    assert await noticed(path, doings) == [-1, 4]


async def test_what_it_includes_is_watched_too(tmp_path: Path) -> None:
    path, header, deeper = tmp_path / "prog.c", tmp_path / "own.h", tmp_path / "deeper.h"
    write(path, '#include <bpf/helpers.h>\n  # include "own.h"\n', 1)
    write(header, '#include "deeper.h"\n#include "own.h"\n', 1)
    assert sources(path) == [path, header, deeper]
    assert await noticed(path, [lambda: write(deeper, "int x;", 2)]) == [-1, 1]
    write(tmp_path / "other.h", "", 1)
    assert await noticed(path, [lambda: write(tmp_path / "other.h", "x", 2)]) == [-1]


def test_headers_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    for number in range(2 * MAX_FILES):
        (tmp_path / f"{number}.h").write_text(f'#include "{number + 1}.h"\n')
    assert len(sources(tmp_path / "0.h")) == MAX_FILES
