"""A clock that only moves when a test says so, and wakes whoever sleeps on it."""

from __future__ import annotations

import threading

from device.vm.ports import Waker


class ManualClock:
    """ports.SleepingClock."""

    def __init__(self) -> None:
        self._us = 0
        self._moved = threading.Condition()
        self._targets: dict[int, int] = {}

    def now_us(self) -> int:
        return self._us

    def advance(self, us: int) -> None:
        """Let time pass; sleepers whose time has come wake."""
        with self._moved:
            self._us += us
            self._moved.notify_all()

    def asleep(self, sleepers: int) -> bool:
        """Whether so many sleep, none of whom has overslept."""
        with self._moved:
            return len(self._targets) == sleepers and all(us > self._us for us in self._targets.values())

    def sleep_until(self, us: int, woken: Waker, /) -> None:
        with self._moved:
            self._targets[threading.get_ident()] = us
            try:
                while self._us < us and not woken.wait(0):
                    self._moved.wait(0.01)  # a kill tells only `woken`
            finally:
                del self._targets[threading.get_ident()]
