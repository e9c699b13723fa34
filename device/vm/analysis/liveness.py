"""Which halves of which registers are still read: low and high 32 bits apart.

A set of halves is a number: bit r is the low half of register r, bit r + HIGH_AT its high half. The halves
matter because 32-bit code lives in 64-bit registers: where nobody reads the high half of a sum, the sum
needs no carry into it. r10 is never written and is left out. Behind it are SPARE registers, which no program
has: they keep what functions that are written where they are called would have saved (inlining.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from device.vm.analysis.lift import Block, Unit
from device.vm.decode import (
    ALU,
    ATOMIC,
    ATOMIC_FETCH,
    BRANCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    EXIT,
    JUMP,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    RODATA_ADDRESS,
    STORE,
    Step,
)
from device.vm.isa import FRAME_POINTER, Sem

HIGH_AT: Final = 16
SPARE: Final = range(FRAME_POINTER + 1, HIGH_AT)
LOW: Final = tuple(0 if r == FRAME_POINTER else 1 << r for r in range(HIGH_AT))
HIGH: Final = tuple(bit << HIGH_AT for bit in LOW)
BOTH: Final = tuple(low | high for low, high in zip(LOW, HIGH, strict=True))
EVERYTHING: Final = sum(BOTH[:FRAME_POINTER])
ARGUMENTS: Final = sum(BOTH[1:6])
RESULT: Final = BOTH[0]
SAVED: Final = sum(BOTH[6:10])
"""What a local call leaves as it was."""

_MOV, _AND, _LSH = Sem.MOV, Sem.AND, Sem.LSH  # looking up an enum's member takes its time
_MOVES: Final = frozenset({Sem.MOV, Sem.MOVSX8, Sem.MOVSX16, Sem.MOVSX32})
_SHIFTS: Final = frozenset({Sem.LSH, Sem.RSH, Sem.ARSH})
_UPWARD: Final = frozenset({Sem.AND, Sem.OR, Sem.XOR, Sem.ADD, Sem.SUB, Sem.MUL, Sem.NEG})
"""Operations whose low half does not depend on the high halves of their operands."""

_LOADS: Final = frozenset({LOAD, LOAD_SIGNED})
_CONSTANTS: Final = frozenset({CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
_HALF: Final = 32

CallNeeds = Callable[[int], int]
"""The halves that a local function reads of what its caller has, by its first slot."""


def before(step: Step, live: int, needs_of: CallNeeds, returned: int) -> int:
    """What is live before a step, given what is live behind it.

    `returned` are the argument registers that a caller may read when a function has returned.
    """
    written, read = effect(step, live, needs_of, returned)
    return live & ~written | read


def effect(step: Step, live: int, needs_of: CallNeeds, returned: int) -> tuple[int, int]:
    """The halves that a step gives new values, and those that it reads for what is live behind it."""
    case, sem, width, _, dst, src, off, imm, from_register = step
    if case == ALU:
        written = BOTH[dst]
        if not live & written:
            return written, 0
        return written, _operands(sem, width, live & HIGH[dst] != 0, dst, src if from_register else -1, imm)
    if case in _LOADS:
        return BOTH[dst], LOW[src]  # a load can fault, so it stays even when nobody reads dst
    if case == STORE:
        value = 0 if not from_register else BOTH[src] if width > _HALF else LOW[src]
        return 0, LOW[dst] | value
    if case == BRANCH:
        halves = BOTH if width > _HALF else LOW
        return 0, halves[dst] | (halves[src] if from_register else 0)
    if case in _CONSTANTS:
        return BOTH[dst], 0
    if case == CALL_HELPER:
        return RESULT, ARGUMENTS
    if case == CALL_LOCAL:
        return RESULT | ARGUMENTS, needs_of(off)
    if case == EXIT:
        return EVERYTHING, RESULT | returned
    if case == JUMP:
        return 0, 0
    operand = BOTH[src] if width > _HALF else LOW[src]
    if case == ATOMIC:
        return 0, LOW[dst] | operand
    if case == ATOMIC_FETCH:
        return BOTH[src], LOW[dst] | operand
    return RESULT, operand | LOW[dst] | (BOTH[0] if width > _HALF else LOW[0])  # COMPARE_EXCHANGE


def changed(step: Step) -> Sequence[int]:
    """The registers that a step changes."""
    case, dst, src = step[0], step[4], step[5]
    if case == ALU or case in _LOADS or case in _CONSTANTS:
        return (dst,)
    if case in (CALL_HELPER, COMPARE_EXCHANGE):
        return (0,)
    if case == ATOMIC_FETCH:
        return (src,)
    return range(6) if case == CALL_LOCAL else ()


def _operands(sem: Sem, width: int, high: bool, dst: int, src: int, imm: int) -> int:
    """The halves that an ALU step reads; `high` says whether the high half of its result is read.

    `src` is -1 where the second operand is the immediate, or where there is none.
    """
    full = width > _HALF
    if sem in _MOVES:
        if src < 0:
            return 0
        return BOTH[src] if full and high and sem is _MOV else LOW[src]
    if sem in _SHIFTS:
        return _shifted(sem, full, high, dst, src, imm)
    if src < 0 and sem is _AND:
        return (LOW[dst] if imm & MASK32 else 0) | (HIGH[dst] if full and high and imm >> _HALF else 0)
    halves = BOTH if full and (high or sem not in _UPWARD) else LOW
    return halves[dst] | (halves[src] if src >= 0 else 0)


def _shifted(sem: Sem, full: bool, high: bool, dst: int, src: int, imm: int) -> int:
    if not full:
        return LOW[dst] | (LOW[src] if src >= 0 else 0)
    if src >= 0:
        return BOTH[dst] | LOW[src] if sem is not _LSH or high else LOW[dst] | LOW[src]
    count = imm & (2 * _HALF - 1)
    if sem is _LSH:
        return BOTH[dst] if high and count < _HALF else LOW[dst]
    return HIGH[dst] if count >= _HALF else BOTH[dst]


class Live(NamedTuple):
    """The halves that are live at the start and at the end of each block."""

    starts: list[int]
    ends: list[int]


def solve(unit: Unit, needs_of: CallNeeds, returned: int) -> Live:
    """What is live around every block of a unit; everything, where the exact engine takes over."""
    blocks = unit.blocks
    starts, ends = [0] * len(blocks), [0] * len(blocks)
    writes = [EVERYTHING] * len(blocks)  # until a block has been walked through
    work = list(range(len(blocks)))
    queued = bytearray(b"\1" * len(blocks))
    while work:
        number = work.pop()
        queued[number] = 0
        block, live = blocks[number], EVERYTHING
        if block.leave < 0:
            live = 0
            for target in block.successors():
                live |= starts[target]
        more = live & ~ends[number]
        ends[number] = live
        if more & writes[number] or writes[number] == EVERYTHING:
            live, writes[number] = _through(block, live, needs_of, returned)
        else:
            live = starts[number] | more
        if live != starts[number]:
            starts[number] = live
            for source in block.before:
                if not queued[source]:
                    queued[source] = 1
                    work.append(source)
    return Live(starts, ends)


def _through(block: Block, live: int, needs_of: CallNeeds, returned: int) -> tuple[int, int]:
    """What is live where a block begins, and the halves that it writes: all others pass through it."""
    writes = 0
    for _, step in reversed(block.steps):
        written, read = effect(step, live, needs_of, returned)
        writes |= written
        live = live & ~written | read
    return live, writes


def around_calls(units: Mapping[int, Unit]) -> tuple[dict[int, int], int]:
    """For functions by their first slot: what each reads of its caller; and what callers read of theirs.

    Where there is no local call nobody asks, and all sets are empty.

    The second is one set for the whole program: every argument register that is read behind some local call,
    with both halves: a return brings back registers, and what they need is to be the same for all who ask.
    Compilers read none, so that returns carry nothing but r0. Where the exact engine takes over somewhere, it
    may call these functions from code that is in no unit, and read all of them behind that.
    """
    needs = dict.fromkeys(units, 0)
    left = any(block.leave >= 0 for unit in units.values() for block in unit.blocks)
    returned = ARGUMENTS if left else 0
    changed = any(_calls(unit) for unit in units.values())
    while changed:
        changed = False
        for start, unit in units.items():
            live = solve(unit, needs.__getitem__, returned)
            entered = live.starts[0]
            halves = _behind_calls(unit, live.ends, needs.__getitem__, returned) & ARGUMENTS
            behind = sum(both for both in BOTH if both & halves)
            if entered != needs[start] or behind | returned != returned:
                needs[start] = entered
                returned |= behind
                changed = True
    return needs, returned


def _calls(unit: Unit) -> bool:
    return any(step[0] == CALL_LOCAL for block in unit.blocks for _, step in block.steps)


def _behind_calls(unit: Unit, ends: list[int], needs_of: CallNeeds, returned: int) -> int:
    found = 0
    for block, end in zip(unit.blocks, ends, strict=True):
        live = end
        for _, step in reversed(block.steps):
            if step[0] == CALL_LOCAL:
                found |= live
            live = before(step, live, needs_of, returned)
    return found
