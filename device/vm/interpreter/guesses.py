"""The regions that accesses were guessed to be in, and which guesses are given up because they were wrong."""

from __future__ import annotations

from typing import Final

from device.vm.analysis.lift import Decode
from device.vm.decode import (
    ATOMIC,
    ATOMIC_FETCH,
    COMPARE_EXCHANGE,
    LOAD,
    LOAD_SIGNED,
    STORE,
)
from device.vm.faults import GuestFault

WRONG_GUESSES: Final = 32
"""How often an access may miss the region that was guessed before its code is made without the guess."""

REWRITES: Final = 8
"""Times that a program is made anew for a wrong guess; then all guesses are given up."""

_ACCESSES: Final = frozenset({LOAD, LOAD_SIGNED, STORE, ATOMIC, ATOMIC_FETCH, COMPARE_EXCHANGE})


class Guesses:
    """What one translation has guessed. Not safe for threads by itself."""

    def __init__(self, decode: Decode, slots: int) -> None:
        self.distrusted: set[int] = set()
        self._decode = decode
        self._slots = slots
        self._misses: dict[int, int] = {}
        self._rewrites = 0

    def missed(self, pc: int) -> bool:
        """The exact tier was needed at `pc`; whether a guess is given up for it, so that code is stale."""
        if not self._is_access(pc):
            return False
        self._misses[pc] = self._misses.get(pc, 0) + 1
        if self._misses[pc] < WRONG_GUESSES or pc in self.distrusted:
            return False
        self._rewrites += 1
        self.distrusted.update((pc,) if self._rewrites < REWRITES else range(self._slots))
        return True

    def _is_access(self, pc: int) -> bool:
        try:
            return 0 <= pc < self._slots and self._decode(pc)[0] in _ACCESSES
        except GuestFault:
            return False
