"""The logs of devices, once or live (client.md, `logs`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from client.remote import RemoteDevice
from client.steps import Note, ignore_note
from device.api import LogLine, LogPage
from device.errors import TransportError

QUIET_S: Final = 20.0
"""Seconds without a notification after which a device is asked: it may have gone, or a datagram was lost."""

FIRST: Final = 1
"""The number of a device's first line."""

_LARGE_PAGE: Final = 32
_PAUSE_S: Final = (0.5, 10.0)
_BETWEEN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Entry:
    """Lines that are new, in order, and how many before them are gone for good."""

    lines: tuple[LogLine, ...]
    missed: int = 0


class Cursor:
    """How far one device's log has been read. `next` is the number of the next line wanted.

    Devices number lines from 1 on: no line is missing before it. One that has been started again says another
    `boot`. One that says none has another line of the same number, which is why the last one that was read is
    asked for with those that follow.
    """

    def __init__(self, since: int = 0) -> None:
        self.next = max(since, FIRST)
        self._last: LogLine | None = None
        self._boot = ""

    @property
    def since(self) -> int:
        """The first line to ask for."""
        return self._last.seq if self._last else self.next

    def take(self, page: LogPage) -> Entry:
        """What a page says that was not seen yet. A log that begins anew is to be read from its beginning."""
        anew, self._boot = self._begins_anew(page), page.boot
        if anew:
            self.next, self._last = FIRST, None
            if not page.lines or page.lines[0].seq > FIRST + page.missed:
                return Entry(())
        fresh = tuple(line for line in page.lines if line.seq >= self.next)
        missed = max(0, fresh[0].seq - self.next) if fresh else 0
        self.next = max(self.next, page.next)
        self._last = page.lines[-1] if page.lines else self._last
        return Entry(fresh, missed)

    def _begins_anew(self, page: LogPage) -> bool:
        if page.next < self.next or (self._boot and page.boot != self._boot):
            return True
        last = self._last
        return last is not None and any(line.seq == last.seq and line != last for line in page.lines)


async def read(device: RemoteDevice, since: int = 0) -> Entry:
    """The lines from number `since` on that the device still has."""
    page = await device.log(since)
    return Entry(page.lines, page.missed)


async def follow(
    device: RemoteDevice,
    show: Callable[[Entry], None],
    *,
    since: int = 0,
    on_note: Note = ignore_note,
    quiet_s: float = QUIET_S,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> None:
    """Show lines as they come, until cancelled. A device that goes away is waited for.

    Raises only when it cannot be reached at the very beginning, or refuses.
    """
    cursor = Cursor(since)
    _show(show, cursor.take(await device.log(cursor.since)))
    pause = _PAUSE_S[0]
    while True:
        try:
            await _observe(device, cursor, show, quiet_s)
            pause = _PAUSE_S[0]
            await sleep(_BETWEEN_S)
        except TransportError as error:
            on_note(f"{device.target.name}: {error.detail}; trying again")
            await sleep(pause)
            pause = min(pause * 2, _PAUSE_S[1])


async def _observe(
    device: RemoteDevice, cursor: Cursor, show: Callable[[Entry], None], quiet_s: float
) -> None:
    """One observation, given up when it grows long: a later one begins at the cursor and is short."""
    async with aclosing(device.follow_log(cursor.since)) as pages:
        while True:
            try:
                async with asyncio.timeout(quiet_s):
                    page = await anext(pages)
            except TimeoutError:
                _show(show, cursor.take(await device.log(cursor.since)))
                return
            except StopAsyncIteration:
                return
            _show(show, cursor.take(page))
            if len(page.lines) > _LARGE_PAGE or cursor.next < page.next:
                return


def _show(show: Callable[[Entry], None], entry: Entry) -> None:
    if entry.lines:
        show(entry)
