"""The character display: an HD44780 with 16 x 2 characters in sight (helpers.md section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

COLUMNS: Final = 16
ROWS: Final = 2
MEMORY: Final = 40
"""Bytes of display memory in a row; the ones beyond COLUMNS are not in sight."""

_BLANK: Final = 0x20
_SUBSTITUTE: Final = ord("?")


@dataclass(frozen=True, slots=True)
class DisplayState:
    """What the display holds: its rows whole, the cursor, whether a program has set it up."""

    rows: tuple[str, ...]
    column: int
    row: int
    ready: bool

    @property
    def visible(self) -> tuple[str, ...]:
        """What a person sees."""
        return tuple(row[:COLUMNS] for row in self.rows)


class Display:
    """One display. Every command is whole, so that programs that share it mix commands and not bytes."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._lock = Lock()
        self._memory = [bytearray([_BLANK] * MEMORY) for _ in range(ROWS)]
        self._column = self._row = 0
        self._ready = False

    def init(self) -> None:
        """Reset: blank, cursor at the start."""
        with self._lock:
            self._blank()
            self._ready = True
        self._changed()

    def clear(self) -> None:
        """Blank, cursor at the start."""
        with self._lock:
            self._blank()
        self._changed()

    def print(self, text: bytes) -> None:
        """Write at the cursor, which moves on and from the end of a row to the start of the other."""
        with self._lock:
            for byte in text:
                shown = byte if 0x20 <= byte < 0x80 else _SUBSTITUTE
                self._memory[self._row][self._column] = shown
                self._column += 1
                if self._column == MEMORY:
                    self._column, self._row = 0, (self._row + 1) % ROWS
        self._changed()

    def set_cursor(self, column: int, row: int) -> None:
        """Move the cursor; what lies beyond the memory is its last column, or its last row."""
        with self._lock:
            self._column, self._row = min(column, MEMORY - 1), min(row, ROWS - 1)

    def state(self) -> DisplayState:
        """What it holds now. A DEL (0x7f) is an arrow there; here it is shown as such."""
        with self._lock:
            rows = tuple(bytes(row).decode("ascii").replace("\x7f", "←") for row in self._memory)
            return DisplayState(rows, self._column, self._row, self._ready)

    def _blank(self) -> None:
        for row in self._memory:
            row[:] = bytes([_BLANK] * MEMORY)
        self._column = self._row = 0
