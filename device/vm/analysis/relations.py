"""Which registers differ by a constant where a block ends.

What a jump says of one register it says of those too: `r7 = r6 + 1; r6 += 9; if r6 > 2048` bounds r7. Two
registers keep their distance around a loop if they had it before and every round moves them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from device.vm.analysis.lift import TEST, Block, Unit
from device.vm.analysis.liveness import HIGH_AT, changed
from device.vm.analysis.values import State
from device.vm.decode import (
    ALU,
    CONSTANT,
    MASK64,
    Step,
)
from device.vm.isa import Sem

Distances = dict[int, list[tuple[int, int]]]
"""For a register that a jump compares, others that are so far above it, modulo 2^64."""

_Sum = tuple[int, int]
"""Something and a constant: a register where the block begins, a value that is new in it, or _NOTHING."""

_NOTHING: Final = -1
_NEW: Final = HIGH_AT
"""New values are from here on: as many for a step as it may change registers."""

_CHANGED: Final = 6

_SWEEPS: Final = 16
"""Times that all blocks are gone over. What loops in loops need more for is left unknown: a sweep of the
largest unit takes some 20 ms, and units could be made that need one for each of their blocks."""

_ADD, _SUB, _MOV = Sem.ADD, Sem.SUB, Sem.MOV


def distances(unit: Unit, entry: State) -> list[Distances]:
    """For every block what is known of registers that its last step compares."""
    blocks = unit.blocks
    through = [_through(block, len(entry)) for block in blocks]
    beginning = [
        (_NOTHING, low) if low == high else (register, 0) for register, (low, high, _) in enumerate(entry)
    ]
    ends: list[list[_Sum] | None] = [None] * len(blocks)
    stale = {0}  # blocks of which something is new where they begin
    for _ in range(_SWEEPS):
        for number, block in enumerate(blocks):
            if number not in stale:
                continue
            stale.remove(number)
            arriving = [found for source in block.before if (found := ends[source]) is not None]
            if not number:
                arriving.append(beginning)
            end = _behind(_meeting(arriving), through[number])
            if end != ends[number]:
                ends[number] = end
                stale.update(block.successors())
        if not stale:
            return [_compared(block, end) for block, end in zip(blocks, ends, strict=True)]
    return [{} for _ in blocks]


def _through(block: Block, registers: int) -> list[_Sum]:
    """The registers at a block's end, by what they are at its beginning."""
    found: list[_Sum] = [(register, 0) for register in range(registers)]
    for new, (_, step) in zip(count(_NEW, _CHANGED), block.steps, strict=False):
        known = _sum(step, found)
        for number, register in enumerate(changed(step)):
            found[register] = known or (new + number, 0)
    return found


def _sum(step: Step, found: Sequence[_Sum]) -> _Sum | None:
    """What an operation gives, if that is one of the registers and a constant, or a constant."""
    case, sem, width, mask, dst, src, _, imm, from_register = step
    if case == CONSTANT:
        return _NOTHING, imm & MASK64
    if case != ALU:
        return None
    if sem is _MOV and not from_register:
        return _NOTHING, imm & mask
    if width == 64 and from_register and sem is _MOV:
        return found[src]
    if width == 64 and not from_register and sem in (_ADD, _SUB):
        base, above = found[dst]
        return base, above + (imm if sem is _ADD else -imm) & MASK64
    return None


def _meeting(arriving: Sequence[Sequence[_Sum]]) -> list[_Sum]:
    """What holds where ways meet: registers that are equally far from each other on all of them.

    It is told by registers alone: what is new in one block means something else in another.
    """
    first = arriving[0]
    if len(arriving) == 1:
        return _alone(first)
    groups: dict[tuple[int, ...], _Sum] = {}
    met: list[_Sum] = []
    for register, (base, above) in enumerate(first):
        others = [way[register] for way in arriving[1:]]
        if base == _NOTHING and all(other == (base, above) for other in others):
            met.append((base, above))
            continue
        key = (base, *(word for at, up in others for word in (at, up - above & MASK64)))
        member, its = groups.setdefault(key, (register, above))
        met.append((member, above - its & MASK64))
    return met


def _alone(way: Sequence[_Sum]) -> list[_Sum]:
    """What holds at the end of a block, told by registers."""
    members: dict[int, _Sum] = {}
    found: list[_Sum] = []
    for register, (base, above) in enumerate(way):
        if base == _NOTHING:
            found.append((base, above))
        else:
            member, its = members.setdefault(base, (register, above))
            found.append((member, above - its & MASK64))
    return found


def _behind(start: Sequence[_Sum], through: Sequence[_Sum]) -> list[_Sum]:
    """The registers at a block's end, by what is known of them at its beginning."""
    return [
        (start[base][0], start[base][1] + above & MASK64) if 0 <= base < _NEW else (base, above)
        for base, above in through
    ]


def _compared(block: Block, end: Sequence[_Sum] | None) -> Distances:
    if block.end != TEST or block.taken == block.next or end is None:
        return {}
    _, _, _, _, dst, src, _, _, from_register = block.steps[-1][1]
    found: Distances = {}
    for register in {dst, src} if from_register else {dst}:
        base, above = end[register]
        if base != _NOTHING:
            found[register] = [
                (other, its - above & MASK64)
                for other, (at, its) in enumerate(end)
                if at == base and other != register
            ]
    return {register: others for register, others in found.items() if others}


def tell(related: Distances, before: State, state: State) -> State:
    """What is known of other registers too, on a way where `state` says more than `before` the jump."""
    found = state
    for register, others in related.items():
        low, high, _ = state[register]
        if (low, high) == before[register][:2]:
            continue
        for other, above in others:
            start, end = low + above, high + above
            if end > MASK64:
                start, end = start - MASK64 - 1, end - MASK64 - 1
            known_low, known_high, place = found[other]
            if start < 0 or (start <= known_low and known_high <= end):
                continue
            low_now, high_now = max(start, known_low), min(end, known_high)
            if low_now > high_now:
                continue  # nobody goes this way
            if found is state:
                found = state.copy()
            found[other] = low_now, high_now, place
    return found
