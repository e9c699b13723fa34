"""Changes of a board as lines of the log: all of a calm board, a few of one that a program shakes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

PER_SECOND: Final = 10
SECOND_US: Final = 1_000_000


class ChangeLog:
    """Writes at most PER_SECOND lines in a second of the device's time, and says how many it left out."""

    def __init__(self, now_us: Callable[[], int], log: Callable[[str], None]) -> None:
        self._now_us = now_us
        self._log = log
        self._lock = Lock()
        self._since = 0
        self._written = 0
        self._left_out = 0

    def add(self, text: str) -> None:
        """A line, if there is room for it."""
        with self._lock:
            now = self._now_us()
            left_out = 0
            if now - self._since >= SECOND_US:
                left_out, self._left_out, self._since, self._written = self._left_out, 0, now, 0
            if self._written >= PER_SECOND:
                self._left_out += 1
                return
            self._written += 1
        if left_out:
            self._log(f"{left_out} more changes before this one")
        self._log(text)
