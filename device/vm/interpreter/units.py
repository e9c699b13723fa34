"""Units of translation: what is known where one is entered, and the function that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.analysis import intervals, liveness
from device.vm.analysis.intervals import ANY, NOWHERE, WORD, State, Value
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.structure import Structure
from device.vm.decode import MASK32
from device.vm.interpreter.access import Access
from device.vm.interpreter.blocks import BlockWriter, Callees, Frames
from device.vm.interpreter.flow import Facts, FlowWriter, TooDeep, segments
from device.vm.interpreter.lines import Lines, Site
from device.vm.isa import FRAME_POINTER
from device.vm.memory import MAP_END, STACK_PLACE, STACK_TOP, WINDOWS, window_of

WIDE: Final = -2
SMALL: Final = -1
"""What a register may be known to be at an entry: anything, 32 bits, or (from 0 on) a place of the map."""

Kinds = tuple[int, ...]
"""Of r0 to r9, WIDE where nobody reads it; of r10, 0 when it is STACK_TOP."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a unit begins, and what its registers are known to be there."""

    start: int
    kinds: Kinds

    def state(self, frame_size: int, stack_size: int) -> State:
        """As the intervals want it."""
        found = [_bounds(kind) for kind in self.kinds[:FRAME_POINTER]]
        lowest = STACK_TOP if self.kinds[FRAME_POINTER] == 0 else STACK_TOP - stack_size + frame_size
        return [*found, (lowest, STACK_TOP, STACK_PLACE)]


def kinds_of(values: Sequence[int], live: int) -> Kinds:
    """The kinds of the registers that are there."""
    kinds = [
        _kind(value, value) if live & BOTH[r] else WIDE for r, value in enumerate(values[:FRAME_POINTER])
    ]
    return (*kinds, 0 if values[FRAME_POINTER] == STACK_TOP else WIDE)


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


def _kind(low: int, high: int, place: int = NOWHERE) -> int:
    if high > MASK32:
        return WIDE
    if low == high:
        place = window_of(low)
    return place if place >= 0 and WINDOWS[place] <= low and high <= _last(place) else SMALL


def _bounds(kind: int) -> Value:
    if kind >= 0:
        return WINDOWS[kind], _last(kind), kind
    return WORD if kind == SMALL else ANY


def _last(place: int) -> int:
    return (WINDOWS[place + 1] if place + 1 < len(WINDOWS) else MAP_END) - 1


@dataclass(frozen=True, slots=True)
class Translated:
    """The source text of a unit's function.

    It is called with the budget, the machine, r10 and the registers in `parameters`, and returns the budget
    left, r0 and what else callers read. `sites` are its lines that may raise.
    """

    name: str
    text: str
    parameters: tuple[int, ...]
    sites: Mapping[int, Site]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a unit has to know of its program."""

    frame_size: int
    frames: int
    data_base: int
    callees: Callees
    distrusted: Collection[int]

    @property
    def stack_size(self) -> int:
        """Bytes of all frames."""
        return self.frame_size * self.frames


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a unit wherever it is entered: its shape, and the halves live behind each block."""

    unit: Unit
    shape: Structure
    live: Sequence[int]


def translate(name: str, entry: Entry, part: Part, around: Surroundings) -> Translated:
    """Write the function of a unit that begins at `entry`."""
    unit, callees = part.unit, around.callees
    needed = liveness.entering(unit, part.live, callees.needs, callees.returned_halves)
    state = entry.state(around.frame_size, around.stack_size)
    states = intervals.solve(unit, part.shape, state, around.data_base)
    facts = Facts(states, part.live, segments(unit, part.shape))
    lines = _write(FlowWriter.nested, part, facts, around) if part.shape.structured else None
    if lines is None:
        lines = _write(FlowWriter.dispatching, part, facts, around)
    if lines is None:
        raise AssertionError("the dispatching form is as deep as the logarithm of the blocks")
    parameters = tuple(register for register in range(FRAME_POINTER) if needed & BOTH[register])
    names = ", ".join(["n", "m", "r10", *(f"r{register}" for register in parameters)])
    text, sites = lines.function(name, names, f"sites_{name}")
    return Translated(name, text, parameters, sites)


def _write(
    form: Callable[[FlowWriter], None], part: Part, facts: Facts, around: Surroundings
) -> Lines | None:
    """The unit's statements in one of the two forms; None when that form is nested too deeply."""
    lines = Lines()
    access = Access(lines, around.frame_size, around.stack_size, around.distrusted)
    frames = Frames(around.frame_size, STACK_TOP - around.stack_size + around.frame_size)
    blocks = BlockWriter(lines, access, around.callees, frames, around.data_base)
    try:
        form(FlowWriter(lines, blocks, part.unit, part.shape, facts))
    except TooDeep:
        return None
    return lines
