"""The steps of a unit with what is known at each: values, the halves that are live, and their homes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from device.vm.analysis.intervals import State, step_over
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import ARGUMENTS, BOTH, EVERYTHING, HIGH, HIGH_AT, RESULT, before
from device.vm.decode import (
    ALU,
    ATOMIC_FETCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    RODATA_ADDRESS,
    Step,
)
from device.vm.isa import FRAME_POINTER

Half = tuple[int, bool]
"""(register, whether it is the high half)."""

FRAME: Final[Half] = (FRAME_POINTER, False)


@dataclass(frozen=True, slots=True)
class Home:
    """A core register, or with `single` a VFP register."""

    number: int
    single: bool = False


Homes = Mapping[Half, Home]
"""Where halves are, at one place of the code. A half that is live is in it, unless it is a constant."""


@dataclass(slots=True)
class Looked:
    """A step with what is known before and behind it: the state, the halves that are live, and their homes.

    `read` are the halves that it reads. `wanted` and `wanted_behind` are live where nothing is known of
    values: what is not in `live` of it is zero wherever it matters (see refine).
    """

    pc: int
    step: Step
    before: State
    behind: State
    live: int = 0
    live_behind: int = 0
    read: int = 0
    wanted: int = 0
    wanted_behind: int = 0
    homes: Homes = field(default_factory=dict)
    homes_behind: Homes = field(default_factory=dict)


def look(steps: Sequence[tuple[int, Step]], state: State, data_base: int) -> list[Looked]:
    """A block's steps with what is known at each; what is live, `refine` says."""
    found = []
    known = list(state)
    for pc, step in steps:
        behind = list(known)
        step_over(step, behind, data_base)
        found.append(Looked(pc, step, known, behind))
        known = behind
    return found


def refine(
    looked: Sequence[Sequence[Looked]],
    unit: Unit,
    states: Sequence[State | None],
    ends: Sequence[int],
    needs: Callable[[int], int],
    returned: int,
) -> list[int]:
    """Say of all steps what is live at them; returns what is live at the start of each block.

    Nothing is live at blocks that cannot be reached, which have no state. A high half that can only be zero
    where it is read is not live for it. `ends` are the halves live at the end of each block by themselves:
    what is live by them and not here is zero on every way on which it is read, so that whoever takes over
    finds it as zero.
    """
    blocks = unit.blocks
    for steps, end in zip(looked, ends, strict=True):
        _want(steps, end, needs, returned)
    effects = [[(~written(at.step), at.read & ~_zero_halves(at.before)) for at in steps] for steps in looked]
    starts, behind = [0] * len(blocks), [0] * len(blocks)
    work = [number for number, state in enumerate(states) if state is not None]
    while work:
        number = work.pop()
        block = blocks[number]
        live = EVERYTHING if block.leave >= 0 else 0
        for target in block.successors():
            live |= starts[target]
        behind[number] = live
        for kept, read in reversed(effects[number]):
            live = live & kept | read
        if live != starts[number]:
            starts[number] = live
            work += [source for source in block.before if states[source] is not None and source not in work]
    for number, steps in enumerate(looked):
        for at, (kept, read) in zip(reversed(steps), reversed(effects[number]), strict=True):
            at.live_behind = behind[number]
            at.live = behind[number] = behind[number] & kept | read
    return starts


def _want(steps: Sequence[Looked], end: int, needs: Callable[[int], int], returned: int) -> None:
    """Say what is live around the steps by itself, and what each of them reads."""
    for at in reversed(steps):
        at.wanted_behind = end
        at.read = before(at.step, end & written(at.step), needs, returned)
        at.wanted = end = before(at.step, end, needs, returned)


def _zero_halves(state: State) -> int:
    """The high halves that can only be zero."""
    return sum(HIGH[r] for r in range(FRAME_POINTER) if state[r][1] <= MASK32)


def written(step: Step) -> int:
    """The halves that a step gives new values."""
    case, _, _, _, dst, src, _, _, _ = step
    if case in (ALU, LOAD, LOAD_SIGNED, CONSTANT, DATA_ADDRESS, RODATA_ADDRESS):
        return BOTH[dst]
    if case in (CALL_HELPER, COMPARE_EXCHANGE):
        return RESULT
    if case == ATOMIC_FETCH:
        return BOTH[src]
    return RESULT | ARGUMENTS if case == CALL_LOCAL else 0


def halves_of(mask: int) -> list[Half]:
    """The halves of a set of liveness."""
    found = []
    while mask:
        lowest = mask & -mask
        mask ^= lowest
        number = lowest.bit_length() - 1
        found.append((number - HIGH_AT, True) if number >= HIGH_AT else (number, False))
    return found


def known(state: State, register: int, high: bool) -> int | None:
    """What a half must be in this state: a constant, or zero where it can be nothing else."""
    low_bound, high_bound, _ = state[register]
    if low_bound == high_bound:
        return low_bound >> 32 if high else low_bound & MASK32
    return 0 if high and high_bound <= MASK32 else None
