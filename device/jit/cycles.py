"""What an instruction takes on a Cortex-M4, as an estimate: a static table (engines.md, "Cycles").

The numbers are those of the core's reference manual where they are fixed. A division takes 2 to 12 cycles by
its operands and counts as 7; a branch counts 1, and TAKEN more where it is taken. Memory and flash have no
wait states here, loads are not pipelined, an IT instruction is never folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import iter_unpack
from typing import Final

TAKEN: Final = 2
"""What a taken branch adds: the pipeline fills anew."""

_WIDE: Final = 0xE800
_LOAD: Final = 2
_STORE: Final = 1
_DIVISION: Final = 7
_ACCUMULATE: Final = 2
_PAIR: Final = 3
_NO_REGISTER: Final = 15
_DIVISIONS: Final = frozenset({1, 3})


def costs(code: bytes) -> Iterator[int]:
    """Cycles of each instruction of straight code, without what a taken branch adds."""
    halves = iter([half for (half,) in iter_unpack("<H", code)])
    for first in halves:
        yield _narrow(first) if first < _WIDE else _wide(first, next(halves, 0))


def _narrow(half: int) -> int:
    top = half >> 12
    if half >> 11 == 0b01001:  # LDR of a literal
        return _LOAD
    if top == 0b0101:  # by register: three kinds of stores come first
        return _STORE if half >> 9 & 7 < 3 else _LOAD
    if 0b0110 <= top <= 0b1001:
        return _LOAD if half & 0x800 else _STORE
    if half & 0xF600 == 0xB400:  # PUSH and POP, with LR or PC
        return 1 + (half & 0x1FF).bit_count()
    if top == 0b1100:
        return 1 + (half & 0xFF).bit_count()
    return 1


def _wide(first: int, second: int) -> int:
    for mask, value, cost in _TABLE:
        if first & mask == value:
            return cost(first, second)
    return 1


def _multiply(_first: int, second: int) -> int:
    return 1 if second >> 12 == _NO_REGISTER else _ACCUMULATE


def _long(first: int, _second: int) -> int:
    return _DIVISION if first >> 4 & 7 in _DIVISIONS else 1


_TABLE: Final[tuple[tuple[int, int, Callable[[int, int], int]], ...]] = (
    (0xFE40, 0xE800, lambda _first, second: 1 + second.bit_count()),  # LDM, STM
    (0xFFF0, 0xE8D0, lambda _first, second: _LOAD if second & 0xE0 == 0 else _PAIR),  # TBB, TBH; LDRD
    (0xFE40, 0xE840, lambda _first, _second: _PAIR),  # LDRD, STRD
    (0xFE10, 0xF810, lambda _first, _second: _LOAD),
    (0xFE10, 0xF800, lambda _first, _second: _STORE),
    (0xFF80, 0xFB00, _multiply),
    (0xFF80, 0xFB80, _long),
    (0xFE00, 0xEC00, lambda _first, _second: _LOAD),  # VLDR, VSTR, VMOV of two
)
