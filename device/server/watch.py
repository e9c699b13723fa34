"""What changes on a board, told to those who want to know: observers, and hooks on the SAUL registry.

Programs and people change it on any thread, and signals change by time alone. So the board is looked at after
every change, and every tenth of a second; while nobody is interested, not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from device.peripherals import Board, BoardState, Reader

LOOK_S: Final = 0.1
"""Seconds between two looks at what only time changes."""

SOON_S: Final = 0.01
"""Seconds after a change; those in between are one."""


class BoardWatch:
    """Watches one board on the event loop's thread.

    `wanted` says whether anybody is interested; whoever begins to be calls `begin`. `on_board` hears of any
    change, `on_saul` of each device whose reading is another one.
    """

    def __init__(
        self,
        board: Board,
        wanted: Callable[[], bool],
        on_board: Callable[[], None],
        on_saul: Callable[[Reader], None],
    ) -> None:
        self._board = board
        self._wanted = wanted
        self._on_board = on_board
        self._on_saul = on_saul
        self._loop = asyncio.get_running_loop()
        self._last: BoardState | None = None
        self._next: asyncio.TimerHandle | None = None
        self._told = False
        board.listen(self._changed)

    def begin(self) -> None:
        """Somebody may be interested from now on."""
        if self._next is None:
            self._last = self._board.state()
            self._next = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
        self._next = self._last = None

    def _changed(self) -> None:
        """Called on any thread."""
        if self._last is not None and not self._told and not self._loop.is_closed():
            self._told = True
            self._loop.call_soon_threadsafe(self._sooner)

    def _sooner(self) -> None:
        self._told = False
        if self._next is not None and self._next.when() > self._loop.time() + SOON_S:
            self._next.cancel()
            self._next = self._loop.call_later(SOON_S, self._look)

    def _look(self) -> None:
        former = self._last
        if former is None or not self._wanted():
            self._next = self._last = None
            return
        now = self._last = self._board.state()
        self._next = self._loop.call_later(LOOK_S, self._look)
        if now == former:
            return
        self._on_board()
        for before, after in zip(former.readers, now.readers, strict=True):
            if before != after:
                self._on_saul(after)
