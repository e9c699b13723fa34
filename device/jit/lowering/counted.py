"""Loops of one block that count: how often they will go round is known before the first round.

They are charged for all their rounds at once, as many as the budget lasts for, and compare their counter with
where it will be then (rounds.py). So a round costs one comparison and one jump, and nothing for the budget.
Pointers that walk through a region are tested before the first round too: there are no more rounds than stay
in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.jit.lowering.literals import Wish
from device.jit.lowering.looked import Looked, known, weight_of
from device.jit.lowering.memory import Layout, Way, access_of, way_of
from device.vm.analysis.budget import Segment
from device.vm.analysis.lift import GO, TEST, Unit
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.structure import Structure
from device.vm.decode import ALU, CALL_HELPER, CALL_LOCAL, MASK32
from device.vm.isa import Sem

_WORD: Final = 32
_SAVED: Final = 3
"""Instructions that a round has less."""

_DIVISIONS: Final = frozenset({Sem.DIV, Sem.MOD, Sem.SDIV, Sem.SMOD})
_BELOW: Final = {Sem.JLT: 0, Sem.JLE: 1, Sem.JSLT: 0, Sem.JSLE: 1}
_SIGNED: Final = frozenset({Sem.JSLT, Sem.JSLE})
_INVERSE: Final = {
    Sem.JEQ: Sem.JNE,
    Sem.JGE: Sem.JLT,
    Sem.JGT: Sem.JLE,
    Sem.JSGE: Sem.JSLT,
    Sem.JSGT: Sem.JSLE,
}


@dataclass(frozen=True, slots=True)
class Counted:
    """A loop of the block `header`, maybe `through` a block that only jumps back (else -1).

    It goes on while `counter` is below what `bound` says (`below`), or is not that. `bound` is a register of
    the program, or the constant when that is not one. `step` is added to the counter in each round by the
    step at slot `counts`, `cost` are the instructions of a round and `extra` those of the way back. `walks`
    are the pointers that are tested before.
    """

    header: int
    through: int
    counter: int
    step: int
    counts: int
    bound: int | None
    constant: int
    below: bool
    cost: int
    extra: int
    walks: tuple[Walk, ...] = ()

    @property
    def wish(self) -> int:
        """What stands for its limit among the constants that are kept in registers."""
        return -1 - self.header


@dataclass(frozen=True, slots=True)
class Walk:
    """A register that every round moves by `step`, a power of two or nothing, and what is at that address.

    Where a round begins it is `origin` at least, and no more than `last` above that, for all its `accesses`.
    """

    register: int
    step: int
    origin: int
    last: int
    accesses: tuple[Looked, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """Where the accesses are in the text."""
        return tuple(at.pc for at in self.accesses)


def counted(
    unit: Unit,
    shape: Structure,
    looked: Sequence[Sequence[Looked]],
    segments: Sequence[Sequence[Segment]],
    layout: Layout,
) -> list[Counted]:
    """The loops that count; their walks are not tested where the accesses are."""
    if not shape.structured:
        return []
    found = (_counted(unit, looked, segments, header) for header in shape.headers)
    loops = [loop for loop in found if loop is not None]
    return [replace(loop, walks=tuple(_walks(looked[loop.header], layout))) for loop in loops]


def _walks(steps: Sequence[Looked], layout: Layout) -> Iterator[Walk]:
    """The pointers of a round that are tested, and move by one constant; says so of their accesses."""
    found: dict[tuple[int, int, int], list[tuple[int, int, Looked]]] = {}
    for index, at in enumerate(steps):
        access = None if at.fused is not None else access_of(at)
        if access is None:
            continue
        register, size, write = access
        way = way_of(at, register, size, layout, write=write)
        if way.test == Way.WITHIN:
            moved = sum(_moves(before, register) or 0 for before in steps[:index]) + at.step[6]
            room = way.start - moved, way.end - size - moved, at
            found.setdefault((register, way.start, way.end), []).append(room)
    for (register, _, _), rooms in found.items():
        moves = [_moves(at, register) for at in steps]
        low, high = max(low for low, _, _ in rooms), min(high for _, high, _ in rooms)
        step = sum(by for by in moves if by is not None)
        if None in moves or abs(step) & (abs(step) - 1) or low > high:
            continue
        accesses = tuple(at for _, _, at in rooms)
        for at in accesses:
            at.walked = True
        yield Walk(register, step, low & MASK32, high - low, accesses)


def _moves(at: Looked, register: int) -> int | None:
    """By how much a step moves a register; None where it does something else to it."""
    if not at.written & BOTH[register]:
        return 0
    case, sem, _, _, _, _, _, imm, from_register = at.step
    if case != ALU or from_register or sem not in (Sem.ADD, Sem.SUB):
        return None
    return _signed(imm if sem is Sem.ADD else -imm)


def _signed(value: int) -> int:
    value &= MASK32
    return value - (1 << _WORD) if value >> (_WORD - 1) else value


def limits(loops: Sequence[Counted], shape: Structure) -> list[Wish]:
    """Wishes for registers to keep their limits in."""
    return [
        Wish(loop.header, loop.wish, _SAVED * weight_of(shape, loop.header), _blocks(loop)) for loop in loops
    ]


def _blocks(loop: Counted) -> list[int]:
    return [loop.header, loop.through] if loop.through >= 0 else [loop.header]


def _counted(
    unit: Unit,
    looked: Sequence[Sequence[Looked]],
    segments: Sequence[Sequence[Segment]],
    header: int,
) -> Counted | None:
    block, steps = unit.blocks[header], looked[header]
    if block.end != TEST or block.taken == block.next or not steps or not _simple(steps):
        return None
    through = _way_back(unit, looked, header)
    back = through if through >= 0 else header
    if back not in (block.taken, block.next) or sum(source in (header, back) for source in block.before) != 1:
        return None
    if any(source > header and source != back for source in block.before):
        return None
    _, sem, width, mask, counter, other, _, imm, from_register = steps[-1].step
    if back != block.taken:
        sem = _INVERSE.get(sem, Sem.JSET)
    at = steps[-1].before
    step, counts = _counting(steps, counter)
    written = any(one.written & BOTH[other] for one in steps) if from_register else False
    if not step or written or (from_register and other == counter):
        return None
    constant = None if from_register else imm & mask
    bound_low, bound_high, _ = at[other] if from_register else (constant or 0, constant or 0, 0)
    if width > _WORD and (at[counter][1] > MASK32 or bound_high > MASK32):
        return None
    bound = other if from_register else None
    if from_register and known(at, other, high=False) is not None:
        bound, constant = None, bound_low & MASK32
    extra = 1 if through >= 0 else 0
    cost = segments[header][0].cost + extra
    if sem is Sem.JNE and abs(step) == 1:
        return Counted(header, through, counter, step, counts, bound, constant or 0, False, cost, extra)
    if sem not in _BELOW or step < 1 or step & (step - 1):
        return None
    if sem in _SIGNED and max(at[counter][1], bound_high) >= 1 << 31:
        return None
    more = _BELOW[sem]
    if min(bound_high, MASK32) + more + step > MASK32 or (more and bound is not None):
        return None
    return Counted(header, through, counter, step, counts, bound, (constant or 0) + more, True, cost, extra)


def _way_back(unit: Unit, looked: Sequence[Sequence[Looked]], header: int) -> int:
    """The block that does nothing but jump back to the header; -1 where there is none."""
    block = unit.blocks[header]
    for number in (block.taken, block.next):
        jump = unit.blocks[number]
        back = number > header and jump.end == GO and jump.next == header
        if back and len(looked[number]) == 1 and jump.before == [header]:
            return number
    return -1


def _simple(steps: Sequence[Looked]) -> bool:
    """Whether nobody outside can look at the budget in the middle of them."""
    for at in steps:
        case, sem, width, *_ = at.step
        if case in (CALL_HELPER, CALL_LOCAL) or (case == ALU and sem in _DIVISIONS and width > _WORD):
            return False
    return True


def _counting(steps: Sequence[Looked], counter: int) -> tuple[int, int]:
    """What is added to the counter in a round, and at which slot; 0 where it is not only that."""
    found = [at for at in steps if at.written & BOTH[counter]]
    if len(found) != 1:
        return 0, 0
    return _moves(found[0], counter) or 0, found[0].pc
