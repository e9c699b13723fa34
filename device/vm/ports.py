"""What the VM needs from outside, as interfaces. The device gives it the real ones, tests their own."""

from __future__ import annotations

from typing import Protocol


class KeyValueStore(Protocol):
    """A store of u32 keys and u32 values with a capacity (helpers.md section 4)."""

    def fetch(self, key: int) -> int | None:
        """The value of `key`, or None; never creates an entry."""

    def store(self, key: int, value: int) -> bool:
        """Set or add; False (and no change) when it is full."""


class Clock(Protocol):
    """The device's clock: zero at boot, in microseconds, never reduced."""

    def now_us(self) -> int:
        """Microseconds since boot."""


class Console(Protocol):
    """Where the output of a program goes."""

    def write(self, text: bytes) -> None:
        """Append bytes of output, as they are."""
