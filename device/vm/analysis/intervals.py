"""Between which bounds every register lies, and which region a pointer points into.

A value is (low, high, place): an unsigned interval of 64-bit numbers, and the window of the memory map that
the value was derived from, or NOWHERE. The place is a guess that pays when it is right and is checked when
the value is used; the interval is a fact, for every run of the unit that starts within the assumptions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Final

from device.vm.analysis.lift import TEST, Block, Unit
from device.vm.analysis.structure import Structure
from device.vm.decode import (
    ALU,
    ATOMIC,
    ATOMIC_FETCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    LOAD,
    LOAD_SIGNED,
    MASK32,
    MASK64,
    RODATA_ADDRESS,
    STORE,
    Step,
)
from device.vm.isa import REGISTERS, Sem
from device.vm.memory import MAP_END, MAP_START, RODATA_BASE, window_of

NOWHERE: Final = -1
Value = tuple[int, int, int]
State = list[Value]

ANY: Final[Value] = (0, MASK64, NOWHERE)
WORD: Final[Value] = (0, MASK32, NOWHERE)
_SIGN: Final = {32: 1 << 31, 64: 1 << 63}

_WAKEUP: Final = 0x61
_PATIENCE: Final = (1, 2, 4)
"""Visits of a loop's header up to which bounds are joined as they are, then widened to what the unit compares
with, then to the borders of types and of the map; later, to what 32 or 64 bits can hold."""

_BORDERS: Final = (
    *(0, 1, 0xFF, 0xFFFF, MAP_START, MAP_END),
    *(2**31 - 2, 2**31 - 1, MASK32 - 1, MASK32, 2**63 - 2, 2**63 - 1, MASK64 - 1, MASK64),
)
"""Those of types are there less one too: a counter that is compared with something stays that much below."""

_WORDS: Final = (0, MASK32 - 1, MASK32, MASK64)


def constant(value: int) -> Value:
    """One number; a guess at its place where it looks like an address."""
    return value, value, window_of(value)


def alu(sem: Sem, width: int, a: Value, b: Value) -> Value:
    """The result of an operation on operands that are already cut to `width`."""
    rule = _RULES.get(sem)
    if rule is None:
        return (0, (1 << width) - 1, NOWHERE)
    return rule(a, b, width)


def cut(value: Value, width: int) -> Value:
    """The low `width` bits."""
    mask = (1 << width) - 1
    low, high, place = value
    if high <= mask:
        return value
    if low == high:
        return low & mask, low & mask, place
    return (0, mask, place if width >= 32 else NOWHERE)


def _add(a: Value, b: Value, width: int) -> Value:
    low, high = a[0] + b[0], a[1] + b[1]
    place = a[2] if b[2] < 0 else b[2] if a[2] < 0 else NOWHERE
    top = 1 << width
    if high < top:
        return low, high, place
    if low >= top:
        return low - top, high - top, place
    return 0, top - 1, place


def _subtract(a: Value, b: Value, width: int) -> Value:
    low, high = a[0] - b[1], a[1] - b[0]
    place = a[2] if b[2] < 0 else NOWHERE
    if low >= 0:
        return low, high, place
    if high < 0:
        return low + (1 << width), high + (1 << width), place
    return 0, (1 << width) - 1, place


def _multiply(a: Value, b: Value, width: int) -> Value:
    high = a[1] * b[1]
    return (a[0] * b[0], high, NOWHERE) if high >> width == 0 else (0, (1 << width) - 1, NOWHERE)


def _divide(a: Value, b: Value, _width: int) -> Value:
    if b[0] > 0:
        return a[0] // b[1], a[1] // b[0], NOWHERE
    return 0, a[1], NOWHERE


def _remainder(a: Value, b: Value, _width: int) -> Value:
    if b[0] > 0:
        return (a[0], a[1], NOWHERE) if a[1] < b[0] else (0, min(a[1], b[1] - 1), NOWHERE)
    return 0, a[1], NOWHERE


def _and(a: Value, b: Value, _width: int) -> Value:
    if a[0] == a[1] and b[0] == b[1]:
        return a[0] & b[0], a[0] & b[0], NOWHERE
    return 0, min(a[1], b[1]), NOWHERE


def _or(a: Value, b: Value, _width: int) -> Value:
    return max(a[0], b[0]), (1 << max(a[1], b[1]).bit_length()) - 1, NOWHERE


def _xor(a: Value, b: Value, _width: int) -> Value:
    return 0, (1 << max(a[1], b[1]).bit_length()) - 1, NOWHERE


def _left(a: Value, b: Value, width: int) -> Value:
    if b[1] < width:
        high = a[1] << b[1]
        if high >> width == 0:
            return a[0] << b[0], high, NOWHERE
    return 0, (1 << width) - 1, NOWHERE


def _right(a: Value, b: Value, width: int) -> Value:
    if b[1] < width:
        return a[0] >> b[1], a[1] >> b[0], NOWHERE
    return 0, a[1], NOWHERE


def _arithmetic_right(a: Value, b: Value, width: int) -> Value:
    if a[1] < _SIGN[width]:
        return _right(a, b, width)
    return 0, (1 << width) - 1, NOWHERE


def _negate(a: Value, _b: Value, width: int) -> Value:
    return _subtract((0, 0, NOWHERE), a, width)


def _move(_a: Value, b: Value, _width: int) -> Value:
    return b


def _extending(bits: int) -> Callable[[Value, Value, int], Value]:
    def extend(_a: Value, b: Value, width: int) -> Value:
        if b[1] < 1 << (bits - 1):
            return b[0], b[1], b[2] if bits == 32 else NOWHERE
        return 0, (1 << width) - 1, NOWHERE

    return extend


def _keep(a: Value, _b: Value, _width: int) -> Value:
    return a


_RULES: Final[dict[Sem, Callable[[Value, Value, int], Value]]] = {
    Sem.ADD: _add,
    Sem.SUB: _subtract,
    Sem.MUL: _multiply,
    Sem.DIV: _divide,
    Sem.MOD: _remainder,
    Sem.AND: _and,
    Sem.OR: _or,
    Sem.XOR: _xor,
    Sem.LSH: _left,
    Sem.RSH: _right,
    Sem.ARSH: _arithmetic_right,
    Sem.NEG: _negate,
    Sem.MOV: _move,
    Sem.MOVSX8: _extending(8),
    Sem.MOVSX16: _extending(16),
    Sem.MOVSX32: _extending(32),
    Sem.LE16: _keep,
    Sem.LE32: _keep,
    Sem.LE64: _keep,
}


def reached(value: Value, off: int, size: int) -> Value:
    """What is known of a base register behind a legal access: the address was inside the map."""
    low, high, place = value
    if low + off < 0 or high + off > MASK32:
        return value
    low, high = max(low, MAP_START - off), min(high, MAP_END - size - off)
    return (low, high, place) if low <= high else value  # no address fits: it faults, whatever follows


def step_over(step: Step, state: State, data_base: int) -> None:
    """Change `state` to what holds behind the step. Control flow is not its business."""
    case, sem, width, mask, dst, src, off, imm, from_register = step
    if case == ALU:
        a = cut(state[dst], width)
        b = cut(state[src], width) if from_register else (imm & mask, imm & mask, NOWHERE)
        state[dst] = alu(sem, width, a, b)
    elif case in (LOAD, LOAD_SIGNED):
        state[src] = reached(state[src], off, width // 8)
        state[dst] = loaded(width, case == LOAD_SIGNED)
    elif case == STORE:
        state[dst] = reached(state[dst], off, width // 8)
    elif case == CONSTANT:
        state[dst] = constant(imm)
    elif case == DATA_ADDRESS:
        state[dst] = constant((data_base + imm) & MASK32)
    elif case == RODATA_ADDRESS:
        state[dst] = constant((RODATA_BASE + imm) & MASK32)
    elif case == CALL_HELPER:
        state[0] = ANY
    elif case == CALL_LOCAL:
        state[0:6] = [ANY] * 6
    elif case == ATOMIC:
        state[dst] = reached(state[dst], off, width // 8)
    elif case == ATOMIC_FETCH:
        state[dst] = reached(state[dst], off, width // 8)
        state[src] = loaded(width, sign=False)
    elif case == COMPARE_EXCHANGE:
        state[dst] = reached(state[dst], off, width // 8)
        state[0] = loaded(width, sign=False)


def loaded(width: int, sign: bool) -> Value:
    """What a load can give."""
    return ANY if sign else (0, (1 << width) - 1, NOWHERE)


def solve(
    unit: Unit, shape: Structure, entry: State, data_base: int, narrowings: int = 0
) -> list[State | None]:
    """The state at the start of every block, None for blocks that cannot be reached within `entry`.

    Holds for runs of fewer than 2^32 instructions (see _counters). `narrowings` are the times that bounds are
    narrowed again where widening went too far: one for each level of loops finds what can be found.
    """
    blocks = unit.blocks
    limits = _limits(blocks)
    counters = _counters(unit, shape)
    entering: dict[int, State] = {}
    states: list[State | None] = [None] * len(blocks)
    visits = [0] * len(blocks)
    states[0] = list(entry)
    entering[0] = list(entry)
    pending = [0]  # a heap: in reverse postorder what comes before is settled first
    while pending:
        number = heappop(pending)
        while pending and pending[0] == number:
            heappop(pending)
        block = blocks[number]
        state = list(states[number] or ())
        for _, step in block.steps:
            step_over(step, state, data_base)
        for target, leaving in _edges(block, state):
            outgoing, known, back = leaving, states[target], target <= number
            if target in counters:
                if back:
                    outgoing = _counted(entering[target], outgoing, counters[target])
                else:
                    entering[target] = _join(entering.get(target, outgoing), outgoing, None)
            if known is None:
                states[target] = list(outgoing)
                heappush(pending, target)
                continue
            visits[target] += back
            joined = _join(known, outgoing, _widening(visits[target], limits) if back else None)
            if back and target in counters:
                joined = _counted(entering[target], joined, counters[target])
            if joined != known:
                states[target] = joined
                heappush(pending, target)
    if shape.headers:
        for _ in range(narrowings):
            _narrow_all(blocks, states, entry, data_base)
    return states


def _narrow_all(blocks: Sequence[Block], states: list[State | None], entry: State, data_base: int) -> None:
    """Take back what widening went too far: a block begins in what one of the blocks before it ends in.

    The states hold already, so that what follows from them does too, and both together.
    """
    arriving: list[State | None] = [None] * len(blocks)
    arriving[0] = entry
    for number, block in enumerate(blocks):
        known = states[number]
        if known is None:
            continue
        found = arriving[number]
        if found is not None and all(source < number for source in block.before):
            known = states[number] = _meet(known, found)
            if known is None:
                continue
        ends = list(known)
        for _, step in block.steps:
            step_over(step, ends, data_base)
        for target, leaving in _edges(block, ends):
            joined = arriving[target]
            arriving[target] = list(leaving) if joined is None else _join(joined, leaving, None)
    for number, state in enumerate(states):
        found = arriving[number]
        states[number] = _meet(state, found) if state is not None and found is not None else None


def _meet(known: State, other: State) -> State | None:
    """What holds where both do; of the places, the one that is known. None where that cannot be."""
    met = [
        (max(a[0], b[0]), min(a[1], b[1]), a[2] if a[2] >= 0 else b[2]) if a != b else a
        for a, b in zip(known, other, strict=True)
    ]
    return None if any(low > high for low, high, _ in met) else met


def _join(known: State, other: Sequence[Value], limits: Sequence[int] | None) -> State:
    """The state that holds for both; `known` itself when it covers the other. With limits, widened."""
    joined = None
    for register, (old, new) in enumerate(zip(known, other, strict=True)):
        if old == new:
            continue
        low, high = min(old[0], new[0]), max(old[1], new[1])
        place = old[2] if old[2] == new[2] else NOWHERE
        if (low, high, place) == old:
            continue
        if limits is not None:
            if low < old[0]:
                low = limits[bisect_right(limits, low) - 1]
            if high > old[1]:
                high = limits[bisect_left(limits, high)]
        if joined is None:
            joined = list(known)
        joined[register] = (low, high, place)
    return known if joined is None else joined


Counters = dict[int, int]
"""Registers that a loop only ever increments: how far they can get from where they were before it."""


def _counters(unit: Unit, shape: Structure) -> dict[int, Counters]:
    """The counters of every loop, by header.

    A run executes fewer than 2^32 instructions. What is only changed by adding constants below 2^31 therefore
    grows by less than 2^63, so that it cannot wrap when it began below that; with 32 bits the same holds for
    steps of 1, as a round has at least two instructions. Bounds of counters come from this and not from
    widening, which knows nothing of time. A helper that renews the budget makes it void.
    """
    if not shape.structured or any(step[0] == CALL_HELPER and step[7] == _WAKEUP for step in _steps(unit)):
        return {}
    grows: dict[int, list[int | None]] = {header: [0] * REGISTERS for header in shape.headers}
    for number, block in enumerate(unit.blocks):
        header = shape.loop[number]
        if header == -1:
            continue
        own: list[int | None] = [0] * REGISTERS
        for _, step in block.steps:
            _note_growth(step, own)
        while header != -1:
            grows[header] = [_worse(old, new) for old, new in zip(grows[header], own, strict=True)]
            header = shape.outer[header]
    return {
        header: {register: growth for register, growth in enumerate(found) if growth}
        for header, found in grows.items()
    }


def _steps(unit: Unit) -> Iterable[Step]:
    return (step for block in unit.blocks for _, step in block.steps)


def _worse(old: int | None, new: int | None) -> int | None:
    """The growth under both: None (unknown) wins, then the narrower kind of counter."""
    if old is None or new is None:
        return None
    return min(old, new) if old and new else old or new


def _note_growth(step: Step, growth: list[int | None]) -> None:
    """What a step does to the registers: 0 nothing, a bound of a counter's growth, None anything else."""
    case, sem, width, _, dst, src, _, imm, from_register = step
    if case == ALU:
        counts = sem is Sem.ADD and not from_register and 0 < imm < (2**31 if width == 64 else 2)
        growth[dst] = _worse(growth[dst], 1 << (width - 1) if counts else None)
    elif case in (LOAD, LOAD_SIGNED, CONSTANT, DATA_ADDRESS, RODATA_ADDRESS):
        growth[dst] = None
    elif case in (CALL_HELPER, COMPARE_EXCHANGE):
        growth[0] = None
    elif case == ATOMIC_FETCH:
        growth[src] = None
    elif case == CALL_LOCAL:
        growth[0:6] = [None] * 6


def _counted(entering: State, state: State, counters: Counters) -> State:
    """A state at a header with its counters no further than they can get from `entering`."""
    bounded = list(state)
    for register, growth in counters.items():
        low, high, _ = entering[register]
        if high < growth >> 1:
            _, found, place = state[register]
            bounded[register] = (low, max(high, min(found, high + growth)), place)
    return bounded


def _limits(blocks: Iterable[Block]) -> list[int]:
    """Where widening stops first: the borders, and what the unit compares with."""
    limits = set(_BORDERS)
    for block in blocks:
        if block.end == TEST:
            _, _, _, mask, _, _, _, imm, from_register = block.steps[-1][1]
            if not from_register:
                limits.update(((imm & mask) - 1 & MASK64, imm & mask, (imm & mask) + 1 & MASK64))
    return sorted(limits)


def _widening(visits: int, limits: Sequence[int]) -> Sequence[int] | None:
    """Where a bound that still moves at this visit of its header stops next."""
    exact, compared, borders = _PATIENCE
    if visits <= exact:
        return None
    if visits <= compared:
        return limits
    return _BORDERS if visits <= borders else _WORDS


def _edges(block: Block, state: State) -> Iterable[tuple[int, State]]:
    """Where the block goes on, with what is known there; edges that cannot be taken are left out."""
    if block.end != TEST:
        for target in block.successors():
            yield target, state
        return
    step = block.steps[-1][1]
    taken, other = refine(step, state, taken=True), refine(step, state, taken=False)
    if block.taken == block.next:
        yield block.next, state
        return
    if other is not None:
        yield block.next, other
    if taken is not None:
        yield block.taken, taken


_OPPOSITE: Final = {
    Sem.JEQ: Sem.JNE,
    Sem.JNE: Sem.JEQ,
    Sem.JGT: Sem.JLE,
    Sem.JLE: Sem.JGT,
    Sem.JGE: Sem.JLT,
    Sem.JLT: Sem.JGE,
    Sem.JSGT: Sem.JSLE,
    Sem.JSLE: Sem.JSGT,
    Sem.JSGE: Sem.JSLT,
    Sem.JSLT: Sem.JSGE,
}
_UNSIGNED: Final = {Sem.JSGT: Sem.JGT, Sem.JSGE: Sem.JGE, Sem.JSLT: Sem.JLT, Sem.JSLE: Sem.JLE}


def refine(step: Step, state: State, *, taken: bool) -> State | None:
    """The state on one edge of a conditional jump; None when that edge cannot be taken."""
    _, sem, width, mask, dst, src, _, imm, from_register = step
    a = state[dst]
    b = state[src] if from_register else (imm & mask, imm & mask, NOWHERE)
    if a[1] > mask or b[1] > mask:
        return state  # the comparison does not see these values whole
    if sem is Sem.JSET:
        return state
    test = sem if taken else _OPPOSITE[sem]
    if test in _UNSIGNED:
        half = 1 << (width - 1)
        if a[1] >= half or b[1] >= half:
            return state
        test = _UNSIGNED[test]
    narrowed = _narrow(test, a, b)
    if narrowed is None:
        return None
    if narrowed == (a, b) or (from_register and dst == src):
        return state
    refined = list(state)
    refined[dst] = narrowed[0]
    if from_register:
        refined[src] = narrowed[1]
    return refined


def _narrow(test: Sem, a: Value, b: Value) -> tuple[Value, Value] | None:
    """The operands where the (unsigned) test holds; None where it cannot."""
    (a_low, a_high, a_place), (b_low, b_high, b_place) = a, b
    if test is Sem.JEQ:
        a_low = b_low = max(a_low, b_low)
        a_high = b_high = min(a_high, b_high)
    elif test is Sem.JNE:
        if b_low == b_high:
            a_low += a_low == b_low
            a_high -= a_high == b_low
        elif a_low == a_high:
            b_low += b_low == a_low
            b_high -= b_high == a_low
    elif test in (Sem.JLT, Sem.JLE):
        strict = test is Sem.JLT
        a_high, b_low = min(a_high, b_high - strict), max(b_low, a_low + strict)
    else:
        strict = test is Sem.JGT
        a_low, b_high = max(a_low, b_low + strict), min(b_high, a_high - strict)
    if a_low > a_high or b_low > b_high:
        return None
    return (a_low, a_high, a_place), (b_low, b_high, b_place)
