"""Where the halves of registers live in a compiled function: core registers first, then VFP singles.

A home is for the whole function. A high half has one only when it is read somewhere while the value may
exceed 32 bits; everywhere else it is known to be zero. Core registers go to what is used most, counted by
the depth of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.jit.encoder import R
from device.vm.analysis.intervals import State, step_over
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import ARGUMENTS, BOTH, EVERYTHING, HIGH, LOW, RESULT, before
from device.vm.analysis.structure import Structure
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

BUDGET: Final = R.R7
"""Holds what is left of the budget."""

CORE: Final = (R.R0, R.R1, R.R2, R.R3, R.R4, R.R5, R.R6, R.R8, R.R9)
"""Homes, those with 16-bit instructions first."""

SCRATCH: Final[tuple[int, int, int, int]] = (R.R12, R.LR, R.R11, R.R10)
"""What an instruction may use while it is executed."""

_DEPTH_WEIGHT: Final = 8
_DEEPEST: Final = 6

Half = tuple[int, bool]
"""(register, whether it is the high half)."""


@dataclass(frozen=True, slots=True)
class Home:
    """A core register, or with `single` a VFP register."""

    number: int
    single: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """A step with what is known at it: the state before and behind, the halves live before and behind.

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


Homes = Mapping[Half, Home]


def high_halves(looked: Iterable[Looked]) -> frozenset[int]:
    """The registers whose high half is read somewhere while it may be more than zero."""
    found = set()
    for at in looked:
        for state, live in ((at.before, at.live), (at.behind, at.live_behind)):
            for register in range(FRAME_POINTER):
                if live & HIGH[register] and state[register][1] > MASK32:
                    found.add(register)
    return frozenset(found)


def allocate(weights: Mapping[Half, int]) -> dict[Half, Home]:
    """Homes for halves by what their uses weigh, the heaviest first."""
    ordered = sorted(weights, key=lambda half: (-weights[half], half))
    homes = {half: Home(register) for half, register in zip(ordered, CORE, strict=False)}
    for number, half in enumerate(ordered[len(CORE) :]):
        homes[half] = Home(number, single=True)
    return homes


def weigh(
    looked: Sequence[Sequence[Looked]], shape: Structure, highs: frozenset[int], entering: int
) -> dict[Half, int]:
    """What the uses of each half weigh, by the depth of loops; every half that needs a home is there."""
    weights: dict[Half, int] = {}
    for register in range(FRAME_POINTER):
        if entering & BOTH[register]:
            weights[register, False] = 1
            if register in highs:
                weights[register, True] = 1
    for number, steps in enumerate(looked):
        weight = _DEPTH_WEIGHT ** min(_depth(shape, number), _DEEPEST)
        for at in steps:
            _, _, _, _, dst, src, _, _, _ = at.step
            for register in range(FRAME_POINTER):
                live = (at.live | at.live_behind) & BOTH[register]
                if not live:
                    continue
                amount = weight * (4 if register in (dst, src) else 0) + 1
                for high in (False, True):
                    if high and register not in highs:
                        continue
                    if live & (HIGH if high else LOW)[register]:
                        weights[register, high] = weights.get((register, high), 0) + amount
            if FRAME_POINTER in (dst, src):
                half = (FRAME_POINTER, False)
                weights[half] = weights.get(half, 0) + 4 * weight
    return weights


def refine(
    looked: Sequence[Sequence[Looked]],
    unit: Unit,
    ends: Sequence[int],
    needs: Callable[[int], int],
    returned: int,
) -> list[list[Looked]]:
    """The steps with the halves live at each; a high half that can only be zero where it is read is not.

    `ends` are the halves live at the end of each block by themselves. What is live by them and not here is
    zero on every way on which it is read, so that whoever takes over finds it as zero.
    """
    blocks = unit.blocks
    found = [_wanted(steps, end, needs, returned) for steps, end in zip(looked, ends, strict=True)]
    starts = [0] * len(blocks)
    work = list(range(len(blocks)))
    while work:
        number = work.pop()
        block, steps = blocks[number], found[number]
        live = EVERYTHING if block.leave >= 0 else 0
        for target in block.successors():
            live |= starts[target]
        for index in range(len(steps) - 1, -1, -1):
            at = steps[index]
            behind = live
            live = (live & ~_written(at.step)) | (at.read & ~_zero_halves(at.before))
            steps[index] = replace(at, live=live, live_behind=behind)
        if live != starts[number]:
            starts[number] = live
            work.extend(source for source in block.before if source not in work)
    return found


def _wanted(steps: Sequence[Looked], end: int, needs: Callable[[int], int], returned: int) -> list[Looked]:
    """The steps with what is live around them by itself, and what each of them reads."""
    found = []
    for at in reversed(steps):
        wanted = before(at.step, end, needs, returned)
        read = before(at.step, end & _written(at.step), needs, returned)
        found.append(replace(at, wanted=wanted, wanted_behind=end, read=read))
        end = wanted
    found.reverse()
    return found


def _zero_halves(state: State) -> int:
    """The high halves that can only be zero."""
    return sum(HIGH[r] for r in range(FRAME_POINTER) if state[r][1] <= MASK32)


def _written(step: Step) -> int:
    """The halves that a step gives new values."""
    case, _, _, _, dst, src, _, _, _ = step
    if case in (ALU, LOAD, LOAD_SIGNED, CONSTANT, DATA_ADDRESS, RODATA_ADDRESS):
        return BOTH[dst]
    if case in (CALL_HELPER, COMPARE_EXCHANGE):
        return RESULT
    if case == ATOMIC_FETCH:
        return BOTH[src]
    return RESULT | ARGUMENTS if case == CALL_LOCAL else 0


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


def _depth(shape: Structure, number: int) -> int:
    if not shape.structured:
        return 0
    depth, header = 0, shape.loop[number]
    while header != -1:
        depth, header = depth + 1, shape.outer[header]
    return depth
