"""Where the halves of registers live in a compiled function: core registers first, then VFP singles.

A home is for the whole function. A high half has one only when it is read somewhere while the value may
exceed 32 bits; everywhere else it is known to be zero. Core registers go to what is used most, counted by
the depth of loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.jit.encoder import R
from device.jit.lowering.looked import Looked
from device.vm.analysis.liveness import BOTH, HIGH, LOW
from device.vm.analysis.structure import Structure
from device.vm.decode import MASK32
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


def _depth(shape: Structure, number: int) -> int:
    if not shape.structured:
        return 0
    depth, header = 0, shape.loop[number]
    while header != -1:
        depth, header = depth + 1, shape.outer[header]
    return depth
