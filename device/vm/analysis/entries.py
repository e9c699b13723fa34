"""Where translated code may be entered, and what is known of the registers there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.analysis.liveness import BOTH
from device.vm.analysis.values import ANY, NOWHERE, WORD, State, Value
from device.vm.decode import MASK32
from device.vm.isa import FRAME_POINTER
from device.vm.memory import MAP_END, STACK_PLACE, STACK_TOP, WINDOWS, window_of

WIDE: Final = -2
SMALL: Final = -1
_EXACT: Final = -3
"""What a register may be known to be at an entry: anything, 32 bits, or (from 0 on) a place of the map. Kinds
from _EXACT down are one value each."""

Kinds = tuple[int, ...]
"""Of r0 to r9, WIDE where nobody reads it; of r10, 0 when it is STACK_TOP, or its value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a unit begins, and what its registers are known to be there."""

    start: int
    kinds: Kinds

    def state(self, frame_size: int, stack_size: int) -> State:
        """As the intervals want it."""
        found = [_bounds(kind) for kind in self.kinds[:FRAME_POINTER]]
        pointer = self.kinds[FRAME_POINTER]
        if pointer <= _EXACT:
            return [*found, _bounds(pointer)]
        lowest = STACK_TOP if pointer == 0 else STACK_TOP - stack_size + frame_size
        return [*found, (lowest, STACK_TOP, STACK_PLACE)]


def kinds_of(values: Sequence[int], live: int) -> Kinds:
    """The kinds of the registers that are there."""
    kinds = [WIDE] * (FRAME_POINTER + 1)
    for register, bits in enumerate(BOTH[:FRAME_POINTER]):
        if live & bits:
            value = values[register]
            if value <= MASK32:
                place = window_of(value)
                kinds[register] = place if place >= 0 else SMALL
    if values[FRAME_POINTER] == STACK_TOP:
        kinds[FRAME_POINTER] = 0
    return tuple(kinds)


def among(entry: Entry, made: Collection[Entry], most: int) -> Entry:
    """The entry; where `most` versions of its slot were made, the one that knows nothing of r0 to r9."""
    if entry in made or sum(other.start == entry.start for other in list(made)) < most:
        return entry
    return Entry(entry.start, any_kinds(entry.kinds))


def exactly(value: int) -> int:
    """The kind of a register with one value."""
    return _EXACT - value


def kinds_at_call(state: State, live: int) -> Kinds:
    """The kinds of the registers that a callee gets."""
    kinds = [
        _kind(low, high, place) if live & BOTH[r] else WIDE
        for r, (low, high, place) in enumerate(state[:FRAME_POINTER])
    ]
    return (*kinds, WIDE)


def any_kinds(kinds: Kinds) -> Kinds:
    """The same entry, with nothing known of r0 to r9."""
    return (*[WIDE] * FRAME_POINTER, kinds[FRAME_POINTER])


def nothing_known(start: int) -> Entry:
    """The entry at a slot with nothing known of any register."""
    return Entry(start, (WIDE,) * (FRAME_POINTER + 1))


def _kind(low: int, high: int, place: int = NOWHERE) -> int:
    if high > MASK32:
        return WIDE
    if low == high:
        place = window_of(low)
    return place if place >= 0 and WINDOWS[place] <= low and high <= _last(place) else SMALL


def _bounds(kind: int) -> Value:
    if kind <= _EXACT:
        value = _EXACT - kind
        return value, value, window_of(value)
    if kind >= 0:
        return WINDOWS[kind], _last(kind), kind
    return WORD if kind == SMALL else ANY


def _last(place: int) -> int:
    return (WINDOWS[place + 1] if place + 1 < len(WINDOWS) else MAP_END) - 1
