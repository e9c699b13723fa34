"""The device's clock: microseconds since its boot, which is when it was made."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from device.vm.ports import Waker

MAX_WAIT_S: Final = 3600.0
"""Seconds of one wait; longer sleeps take several, as systems limit how long one may be."""


class BootClock:
    """ports.SleepingClock on the machine's monotonic clock; `source` (nanoseconds) is passed in by tests."""

    def __init__(self, source: Callable[[], int] = monotonic_ns) -> None:
        self._source = source
        self._boot = source()

    def now_us(self) -> int:
        """Microseconds since boot."""
        return (self._source() - self._boot) // 1000

    def sleep_until(self, us: int, woken: Waker, /) -> None:
        """Block until the clock shows `us`, or `woken` is set."""
        while (left := us - self.now_us()) > 0:
            if woken.wait(min(left / 1_000_000, MAX_WAIT_S)):
                return
