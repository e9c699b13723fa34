"""What is known at every step of a function: values, the halves that somebody reads, and their homes.

A high half that can only be zero where it is read is not live here, whatever liveness says by itself:
compiled code knows it, and whoever takes over finds it as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from device.jit.encoder import Shift
from device.vm.analysis.effects import Effect
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import EVERYTHING, HIGH, HIGH_AT, effect
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State
from device.vm.decode import MASK32, Step
from device.vm.isa import FRAME_POINTER

Half = tuple[int, bool]
"""(register, whether it is the high half)."""

FRAME: Final[Half] = (FRAME_POINTER, False)

_SETS: Final = 1024
"""Sets of halves that are remembered: those of one or two registers come again and again."""

_DEPTH_BITS: Final = 3
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class Home:
    """A core register, or with `single` a VFP register."""

    number: int
    single: bool = False


Homes = Mapping[Half, Home]
"""Where halves are, at one place of the code. A half that is live is in it, unless it is a constant."""


@dataclass(frozen=True, slots=True)
class Fused:
    """Registers as they are before the step `first`: `one` is combined with `other`, shifted."""

    first: Looked
    one: int
    other: int
    shift: Shift
    amount: int


@dataclass(frozen=True, slots=True)
class Product:
    """Of registers as they are before the step `first`: `one`, and `other` or, where that is -1, `factor`.

    With `taken` it is taken off the other operand of the step, which is `behind` it in the second place.
    """

    first: Looked
    one: int
    other: int
    factor: int
    behind: bool
    taken: bool


@dataclass(slots=True)
class Looked:
    """A step with what is known before and behind it: the state, the halves that are live, and their homes.

    `written` are the halves that it gives new values, `read` those that it reads. `wanted` and
    `wanted_behind` are live where nothing is known of values: what is not in `live` of it is zero wherever it
    matters. webs.py finds the homes. What is `fused` with a step, or the `product` that it adds, others give
    that are `left_out`. The address of an access that is `walked` was tested before the loop; `index` is what
    an access knows its base register to be the sum of: a register that is still there, and a constant.
    """

    pc: int
    step: Step
    before: State
    behind: State
    live: int
    live_behind: int
    written: int
    read: int
    wanted: int
    wanted_behind: int
    homes: Homes = field(default_factory=dict)
    homes_behind: Homes = field(default_factory=dict)
    fused: Fused | None = None
    product: Product | None = None
    left_out: bool = False
    walked: bool = False
    index: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A unit seen through: the steps of its blocks, and the halves live where each block begins.

    Blocks that are never reached have no steps, and nothing is live in them.
    """

    steps: Sequence[Sequence[Looked]]
    starts: Sequence[int]


class _Reads(NamedTuple):
    """What a step does to the halves.

    `wanted` are those live before it by themselves, `used` those that it reads and that may not be zero.
    """

    written: int
    read: int
    wanted: int
    used: int


def look(
    unit: Unit,
    effects: Sequence[Sequence[Effect]],
    states: Sequence[State | None],
    ends: Sequence[int],
    needs: Callable[[int], int],
    returned: int,
) -> View:
    """What is known of a unit.

    `effects` are what the steps do to values, `states` those at the beginning of blocks, `ends` the halves
    live at their end by themselves.
    """
    known, reads = [], []
    for block, does, state, end in zip(unit.blocks, effects, states, ends, strict=True):
        walked = _walk(does, state) if state is not None else [[]]
        known.append(walked)
        reads.append(_read(block.steps if state is not None else [], walked, end, needs, returned))
    starts, live = _live(unit, states, reads)
    seen = [
        _looked(block.steps, known[number], reads[number], ends[number], live[number])
        for number, block in enumerate(unit.blocks)
    ]
    return View(seen, starts)


def _walk(effects: Sequence[Effect], state: State) -> list[State]:
    """The states before each step, and behind the last."""
    found = [state]
    for change in effects:
        state = state.copy()
        change(state)
        found.append(state)
    return found


def _read(
    steps: Sequence[tuple[int, Step]],
    known: Sequence[State],
    end: int,
    needs: Callable[[int], int],
    returned: int,
) -> list[_Reads]:
    """What the steps of a block write and read, the last one first."""
    found = []
    for (_, step), state in zip(reversed(steps), reversed(known[:-1]), strict=True):
        written, read = effect(step, end, needs, returned)
        end = end & ~written | read
        found.append(_Reads(written, read, end, _without_zeros(read, state)))
    return found


def _without_zeros(halves: int, state: State) -> int:
    """The halves without high ones that can only be zero."""
    high = halves >> HIGH_AT
    while high:
        register = high.bit_length() - 1
        high ^= 1 << register
        if state[register][1] <= MASK32:
            halves ^= HIGH[register]
    return halves


def _live(
    unit: Unit, states: Sequence[State | None], reads: Sequence[Sequence[_Reads]]
) -> tuple[list[int], list[int]]:
    """What is live at the start and at the end of each block."""
    blocks = unit.blocks
    starts, ends = [0] * len(blocks), [0] * len(blocks)
    work = [number for number, state in enumerate(states) if state is not None]
    while work:
        number = work.pop()
        block = blocks[number]
        live = EVERYTHING if block.leave >= 0 else 0
        for target in block.successors():
            live |= starts[target]
        ends[number] = live
        for written, _, _, used in reads[number]:
            live = live & ~written | used
        if live != starts[number]:
            starts[number] = live
            work += [source for source in block.before if states[source] is not None and source not in work]
    return starts, ends


def _looked(
    steps: Sequence[tuple[int, Step]], known: Sequence[State], reads: Sequence[_Reads], wanted: int, live: int
) -> list[Looked]:
    """A block's steps; `wanted` and `live` are the halves at its end."""
    found = []
    for index, (written, read, before, used) in enumerate(reads, 1):
        pc, step = steps[-index]
        behind, live = live, live & ~written | used
        found.append(
            Looked(pc, step, known[-index - 1], known[-index], live, behind, written, read, before, wanted)
        )
        wanted = before
    found.reverse()
    return found


@lru_cache(_SETS)
def halves_of(mask: int) -> tuple[Half, ...]:
    """The halves of a set of liveness."""
    found = []
    while mask:
        lowest = mask & -mask
        mask ^= lowest
        number = lowest.bit_length() - 1
        found.append((number - HIGH_AT, True) if number >= HIGH_AT else (number, False))
    return tuple(found)


def known(state: State, register: int, high: bool) -> int | None:
    """What a half must be in this state: a constant, or zero where it can be nothing else."""
    low_bound, high_bound, _ = state[register]
    if low_bound == high_bound:
        return low_bound >> 32 if high else low_bound & MASK32
    return 0 if high and high_bound <= MASK32 else None


def weight_of(shape: Structure, number: int) -> int:
    """How much more a block counts than one that is executed once."""
    depth = 0
    header = shape.loop[number] if shape.structured else -1
    while header != -1:
        depth, header = depth + 1, shape.outer[header]
    return 1 << _DEPTH_BITS * min(depth, _DEEPEST)
