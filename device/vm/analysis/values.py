"""What is known of one value, and what operations make of it.

A value is (low, high, place): an unsigned interval of 64-bit numbers, and the window of the memory map that
the value was derived from, or NOWHERE. The place is a guess that pays when it is right and is checked when
the value is used; the interval is a fact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.decode import MASK32, MASK64
from device.vm.isa import Sem
from device.vm.memory import MAP_END, MAP_START, window_of

NOWHERE: Final = -1
Value = tuple[int, int, int]
State = list[Value]
"""The values of r0 to r10."""

ANY: Final[Value] = (0, MASK64, NOWHERE)
WORD: Final[Value] = (0, MASK32, NOWHERE)
_SIGN: Final = {32: 1 << 31, 64: 1 << 63}


def constant(value: int) -> Value:
    """One number; a guess at its place where it looks like an address."""
    return value, value, window_of(value)


def number(value: int) -> Value:
    """One number that is no address."""
    return value, value, NOWHERE


def cut(value: Value, width: int) -> Value:
    """The low `width` bits."""
    mask = (1 << width) - 1
    low, high, place = value
    if high <= mask:
        return value
    if low == high:
        return low & mask, low & mask, place
    return (0, mask, place if width >= 32 else NOWHERE)


def loaded(width: int, *, sign: bool) -> Value:
    """What a load can give."""
    return ANY if sign else (0, (1 << width) - 1, NOWHERE)


def reached(value: Value, off: int, size: int) -> Value:
    """What is known of a base register behind a legal access: the address was inside the map."""
    low, high, place = value
    if low + off < 0 or high + off > MASK32:
        return value
    first, last = MAP_START - off, MAP_END - size - off
    if first <= low and high <= last:
        return value
    low, high = max(low, first), min(high, last)
    return (low, high, place) if low <= high else value  # no address fits: it faults, whatever follows


# Operations on operands that are already cut to their width.

Rule = Callable[[Value, Value, int], Value]


def unknown(_a: Value, _b: Value, width: int) -> Value:
    """Anything that fits: the rule of operations that have none of their own."""
    return 0, (1 << width) - 1, NOWHERE


def _add(a: Value, b: Value, width: int) -> Value:
    (a_low, a_high, a_place), (b_low, b_high, b_place) = a, b
    low, high = a_low + b_low, a_high + b_high
    place = a_place if b_place < 0 else b_place if a_place < 0 else NOWHERE
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


def _extending(bits: int) -> Rule:
    def extend(_a: Value, b: Value, width: int) -> Value:
        if b[1] < 1 << (bits - 1):
            return b[0], b[1], b[2] if bits == 32 else NOWHERE
        return 0, (1 << width) - 1, NOWHERE

    return extend


def _keep(a: Value, _b: Value, _width: int) -> Value:
    return a


RULES: Final[dict[Sem, Rule]] = {
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
