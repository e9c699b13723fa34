"""Key-value stores: u32 keys, u32 values, a capacity (helpers.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Final

from device.errors import TooLarge

DEFAULT_CAPACITY: Final = 16


class MemoryStore:
    """A store in RAM. Programs use it from their threads, CoAP from the loop: every operation is whole."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity = capacity
        self._entries: dict[int, int] = {}
        self._lock = Lock()

    def fetch(self, key: int) -> int | None:
        """The value of `key`, or None; never creates an entry."""
        with self._lock:
            return self._entries.get(key)

    def store(self, key: int, value: int) -> bool:
        """Set or add; False, and no change, when it is full."""
        with self._lock:
            if key not in self._entries and len(self._entries) >= self.capacity:
                return False
            self._entries[key] = value
            return True

    def update(self, changes: Mapping[int, int | None]) -> None:
        """Set entries, delete those whose value is None; all of it or nothing.

        Raises TooLarge when the result has more entries than the capacity.
        """
        with self._lock:
            merged = dict(self._entries)
            for key, value in changes.items():
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
            if len(merged) > self.capacity:
                raise TooLarge(
                    f"{len(merged)} entries, the store holds {self.capacity}",
                    hint="delete keys with null first",
                )
            self._entries = merged

    def entries(self) -> dict[int, int]:
        """A copy, in ascending order of the keys."""
        with self._lock:
            return dict(sorted(self._entries.items()))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries = {}
