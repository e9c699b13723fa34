"""What every operation computes, one line each (RFC 9669 sections 4.1 to 4.3, programs.md section 1.3).

Operands are unsigned and already cut to `width` bits (32 or 64, or the width of a byte order); the caller
cuts the result to `width` bits again, which is all that wrapping and zero extension take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import Sem

Operation = Callable[[int, int, int], int]
"""(a, b, width) → result, to be cut to `width` bits by the caller."""

Condition = Callable[[int, int, int], bool]
"""(a, b, width) → whether the branch is taken."""


def signed(value: int, width: int) -> int:
    """The low `width` bits of `value` as a two's complement number."""
    value &= (1 << width) - 1
    return value - ((value >> (width - 1)) << width)


def _divide_signed(a: int, b: int, width: int) -> int:
    """Truncate towards zero; MIN / -1 wraps to MIN when it is cut."""
    x, y = signed(a, width), signed(b, width)
    if y == 0:
        return 0
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def _remainder_signed(a: int, b: int, width: int) -> int:
    """The remainder has the sign of the dividend."""
    x, y = signed(a, width), signed(b, width)
    if y == 0:
        return x
    remainder = abs(x) % abs(y)
    return -remainder if x < 0 else remainder


def _keep(a: int, _: int, __: int) -> int:
    """The machine is little-endian: `le` only cuts."""
    return a


def _reverse(a: int, _: int, width: int) -> int:
    """The bytes in the opposite order."""
    return int.from_bytes(a.to_bytes(width // 8, "little"), "big")


OPERATIONS: Final[dict[Sem, Operation]] = {
    Sem.ADD: lambda a, b, _: a + b,
    Sem.SUB: lambda a, b, _: a - b,
    Sem.MUL: lambda a, b, _: a * b,
    Sem.DIV: lambda a, b, _: a // b if b else 0,
    Sem.SDIV: _divide_signed,
    Sem.MOD: lambda a, b, _: a % b if b else a,
    Sem.SMOD: _remainder_signed,
    Sem.OR: lambda a, b, _: a | b,
    Sem.AND: lambda a, b, _: a & b,
    Sem.XOR: lambda a, b, _: a ^ b,
    Sem.LSH: lambda a, b, width: a << (b & (width - 1)),
    Sem.RSH: lambda a, b, width: a >> (b & (width - 1)),
    Sem.ARSH: lambda a, b, width: signed(a, width) >> (b & (width - 1)),
    Sem.NEG: lambda a, _, __: -a,
    Sem.MOV: lambda _, b, __: b,
    Sem.MOVSX8: lambda _, b, __: signed(b, 8),
    Sem.MOVSX16: lambda _, b, __: signed(b, 16),
    Sem.MOVSX32: lambda _, b, __: signed(b, 32),
    Sem.LE16: _keep,
    Sem.LE32: _keep,
    Sem.LE64: _keep,
    Sem.BE16: _reverse,
    Sem.BE32: _reverse,
    Sem.BE64: _reverse,
    Sem.BSWAP16: _reverse,
    Sem.BSWAP32: _reverse,
    Sem.BSWAP64: _reverse,
}


def _faulting(operation: Operation) -> Operation:
    """The same division, under profiles in which a zero divisor is a fault."""

    def divide(a: int, b: int, width: int) -> int:
        if b == 0:
            raise GuestFault(FaultCode.ILLEGAL_DIV, "division by zero")
        return operation(a, b, width)

    return divide


DIVISIONS: Final = frozenset({Sem.DIV, Sem.SDIV, Sem.MOD, Sem.SMOD})

FAULTING_OPERATIONS: Final = {
    sem: _faulting(operation) if sem in DIVISIONS else operation for sem, operation in OPERATIONS.items()
}
"""OPERATIONS where a zero divisor is ILLEGAL_DIV."""

CONDITIONS: Final[dict[Sem, Condition]] = {
    Sem.JEQ: lambda a, b, _: a == b,
    Sem.JNE: lambda a, b, _: a != b,
    Sem.JGT: lambda a, b, _: a > b,
    Sem.JGE: lambda a, b, _: a >= b,
    Sem.JLT: lambda a, b, _: a < b,
    Sem.JLE: lambda a, b, _: a <= b,
    Sem.JSET: lambda a, b, _: a & b != 0,
    Sem.JSGT: lambda a, b, width: signed(a, width) > signed(b, width),
    Sem.JSGE: lambda a, b, width: signed(a, width) >= signed(b, width),
    Sem.JSLT: lambda a, b, width: signed(a, width) < signed(b, width),
    Sem.JSLE: lambda a, b, width: signed(a, width) <= signed(b, width),
}

# (what is in memory, src) → what is stored; cmpxchg needs r0 too and is the engine's own case.
ATOMICS: Final[dict[Sem, Callable[[int, int], int]]] = {
    Sem.ATOMIC_ADD: lambda old, source: old + source,
    Sem.ATOMIC_OR: lambda old, source: old | source,
    Sem.ATOMIC_AND: lambda old, source: old & source,
    Sem.ATOMIC_XOR: lambda old, source: old ^ source,
    Sem.ATOMIC_FETCH_ADD: lambda old, source: old + source,
    Sem.ATOMIC_FETCH_OR: lambda old, source: old | source,
    Sem.ATOMIC_FETCH_AND: lambda old, source: old & source,
    Sem.ATOMIC_FETCH_XOR: lambda old, source: old ^ source,
    Sem.ATOMIC_XCHG: lambda _, source: source,
}
