"""Units of translation as Python functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from device.vm.analysis import intervals
from device.vm.analysis.budget import segments
from device.vm.analysis.effects import bound
from device.vm.analysis.entries import Entry
from device.vm.analysis.functions import Part
from device.vm.analysis.inlining import Body, inlined
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.structure import Structure
from device.vm.interpreter.access import Access
from device.vm.interpreter.blocks import BlockWriter, Callees, Frames
from device.vm.interpreter.flow import Facts, FlowWriter, TooDeep
from device.vm.interpreter.lines import Lines, Site
from device.vm.isa import FRAME_POINTER
from device.vm.memory import STACK_TOP


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
    body_at: Callable[[int], Body | None]
    distrusted: Collection[int]

    @property
    def stack_size(self) -> int:
        """Bytes of all frames."""
        return self.frame_size * self.frames


def translate(name: str, entry: Entry, part: Part, around: Surroundings) -> Translated:
    """Write the function of a unit that begins at `entry`."""
    unit = inlined(part.unit, around.body_at)
    state = entry.state(around.frame_size, around.stack_size)
    states = intervals.solve(unit, part.shape, bound(unit, around.data_base), state)
    facts = Facts(states, part.live, segments(unit, part.shape))
    lines = _write(FlowWriter.nested, unit, part.shape, facts, around) if part.shape.structured else None
    if lines is None:
        lines = _write(FlowWriter.dispatching, unit, part.shape, facts, around)
    if lines is None:
        raise AssertionError("the dispatching form is as deep as the logarithm of the blocks")
    parameters = tuple(register for register in range(FRAME_POINTER) if part.entering & BOTH[register])
    names = ", ".join(["n", "m", "r10", *(f"r{register}" for register in parameters)])
    text, sites = lines.function(name, names, f"sites_{name}")
    return Translated(name, text, parameters, sites)


def _write(
    form: Callable[[FlowWriter], None], unit: Unit, shape: Structure, facts: Facts, around: Surroundings
) -> Lines | None:
    """The unit's statements in one of the two forms; None when that form is nested too deeply."""
    lines = Lines()
    access = Access(lines, around.frame_size, around.stack_size, around.distrusted)
    frames = Frames(around.frame_size, STACK_TOP - around.stack_size + around.frame_size)
    blocks = BlockWriter(lines, access, around.callees, frames, around.data_base)
    try:
        form(FlowWriter(lines, blocks, unit, shape, facts))
    except TooDeep:
        return None
    return lines
