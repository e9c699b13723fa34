"""What a conditional jump says of its operands, where it is taken and where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.analysis.values import State, Value, number
from device.vm.decode import Step
from device.vm.isa import Sem

_Pair = tuple[Value, Value]
_Narrow = Callable[[Value, Value], _Pair | None]
"""The operands where a comparison holds; None where it cannot."""


def ways(step: Step, state: State) -> tuple[State | None, State | None]:
    """The states where the jump is taken, and where not; None for a way that cannot be gone."""
    _, sem, width, mask, dst, src, _, imm, from_register = step
    a, b = state[dst], state[src] if from_register else number(imm & mask)
    if a[1] > mask or b[1] > mask or sem not in _TESTS:
        return state, state  # the comparison does not see these values whole, or only some bits of them
    taken, other, signed = _TESTS[sem]
    if signed and (a[1] | b[1]) >> (width - 1):
        return state, state
    second = src if from_register else -1
    return _way(state, dst, second, (a, b), taken), _way(state, dst, second, (a, b), other)


def _way(state: State, dst: int, src: int, operands: _Pair, narrow: _Narrow) -> State | None:
    """A state with the operands as a comparison leaves them; `src` is -1 where the second is a constant."""
    narrowed = narrow(*operands)
    if narrowed is None:
        return None
    if narrowed == operands or dst == src:
        return state
    refined = state.copy()
    refined[dst] = narrowed[0]
    if src >= 0:
        refined[src] = narrowed[1]
    return refined


def _equal(a: Value, b: Value) -> _Pair | None:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return ((low, high, a[2]), (low, high, b[2])) if low <= high else None


def _different(a: Value, b: Value) -> _Pair | None:
    if b[0] == b[1]:
        found = _without(a, b[0])
        return None if found is None else (found, b)
    if a[0] == a[1]:
        found = _without(b, a[0])
        return None if found is None else (a, found)
    return a, b


def _without(value: Value, bound: int) -> Value | None:
    low, high, place = value
    if bound not in (low, high):
        return value
    low, high = low + (low == bound), high - (high == bound)
    return (low, high, place) if low <= high else None


def _less(a: Value, b: Value) -> _Pair | None:
    return _ordered(a, b, 1)


def _at_most(a: Value, b: Value) -> _Pair | None:
    return _ordered(a, b, 0)


def _greater(a: Value, b: Value) -> _Pair | None:
    found = _ordered(b, a, 1)
    return None if found is None else (found[1], found[0])


def _at_least(a: Value, b: Value) -> _Pair | None:
    found = _ordered(b, a, 0)
    return None if found is None else (found[1], found[0])


def _ordered(less: Value, more: Value, distance: int) -> _Pair | None:
    """Operands that are so far apart at least."""
    low, high, place = less
    more_low, more_high, more_place = more
    if high > more_high - distance:
        high = more_high - distance
    if more_low < low + distance:
        more_low = low + distance
    if low > high or more_low > more_high:
        return None
    return (low, high, place), (more_low, more_high, more_place)


_TESTS: Final[dict[Sem, tuple[_Narrow, _Narrow, bool]]] = {
    Sem.JEQ: (_equal, _different, False),
    Sem.JNE: (_different, _equal, False),
    Sem.JGT: (_greater, _at_most, False),
    Sem.JGE: (_at_least, _less, False),
    Sem.JLT: (_less, _at_least, False),
    Sem.JLE: (_at_most, _greater, False),
    Sem.JSGT: (_greater, _at_most, True),
    Sem.JSGE: (_at_least, _less, True),
    Sem.JSLT: (_less, _at_least, True),
    Sem.JSLE: (_at_most, _greater, True),
}
"""What holds where the jump is taken, what where it is not, and whether the comparison is signed: unsigned
intervals say the same then only where no operand is negative."""
