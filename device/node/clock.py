"""The device's clock: microseconds since its boot, which is when it was made."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns


class BootClock:
    """ports.Clock on the machine's monotonic clock; `source` (nanoseconds) is passed in by tests."""

    def __init__(self, source: Callable[[], int] = monotonic_ns) -> None:
        self._source = source
        self._boot = source()

    def now_us(self) -> int:
        """Microseconds since boot."""
        return (self._source() - self._boot) // 1000
