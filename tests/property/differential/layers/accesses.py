"""One load, store or atomic: every row, on all pairs of registers, by what is known of the pointer.

Pointers go into the middle of large regions, so that every offset of an instruction is met without a fault,
aligned and not; what happens at the ends of regions is the layer edges.
"""

from __future__ import annotations

from typing import Final

from device.vm.isa import Form, Op
from device.vm.memory import CONTEXT_BASE, DATA_BASE, EXTRA_BASE
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import (
    FEW_PAIRS,
    PAIRS,
    VALUES,
    Operand,
    constant,
    put,
    words,
)
from tests.property.differential.layers.single import BUDGET, SHOWN, show
from tests.property.differential.layers.trial import Family, Product, Trial
from tests.property.programs import MEMORY, ROWS, WIDE

SIZE: Final = 5000
MIDDLE: Final = 300
"""Bytes of the regions, and where pointers point."""

POINTERS: Final = ("known", "absolute", "read", "indexed", "moved")
OFFSETS: Final = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 62, 63, 64, 123, 124, 127, 128, 252, 255, 256, 511, 512, 1020, 1024, 4088,
    4095, 4096, -1, -2, -4, -8, -124, -255, -256,
)  # fmt: skip
"""Also the ends of what offsets of Thumb-2 can hold."""
FEW_OFFSETS: Final = (0, 3, 124, -8)
FRAME_OFFSETS: Final = (-8, -7, -16, -120, -252, -256, -257, -504, -512)
STORED: Final = (0, 1, 0x7F, 0xFF, 0x8000, 0x12345678, 0x7FFFFFFF, -0x80000000, -2, -1)

_AT_POINTER, _AT_INDEX, _AT_VALUE, _AT_R0 = 0, 8, 16, 24
_BYTES: Final = bytes((7 * number + number // 251) % 256 for number in range(SIZE))
_EXTRA: Final = bytes(255 - byte for byte in _BYTES)


def setups() -> tuple[Setup, ...]:
    """Pointers and values differ: r0 is what a word of memory is in the first, and the pointer elsewhere."""
    found = []
    there = int.from_bytes(_BYTES[MIDDLE : MIDDLE + 8], "little")
    for pointer, index, value, r0 in (
        (CONTEXT_BASE + MIDDLE, 0, 0x01234567_89ABCDEF, there),
        (EXTRA_BASE + MIDDLE + 1, 0xFFFF_FF01, 0x80000000_FFFFFFFF, _BYTES[MIDDLE]),
        (0xFFFFFFFF_00000000 + DATA_BASE + MIDDLE + 2, 0x1_0000_0002, 0xFFFFFFFF_FFFFFFFF, 0),
    ):
        head = words(pointer, index, value, r0)
        found.append(Setup(context=head + _BYTES[len(head) :], extra=((_EXTRA, True),)))
    return tuple(found)


_SETUPS: Final = setups()


def trial(out: Builder) -> Trial:
    """A program in all surroundings."""
    case = Case(out.text(), _SETUPS[0], BUDGET, data=_BYTES)
    return Trial(case, _SETUPS[1:])


def point(out: Builder, pointer: str, base: int, spare: int) -> None:
    """Have `base` point somewhere. r1 is the context, unless it is `base` afterwards."""
    if base == 10:
        return
    if pointer == "absolute":
        out.emit(WIDE, base, imm=DATA_BASE + MIDDLE)
    elif pointer == "read":
        put(out, base, Operand("dw", _AT_POINTER))
    elif pointer == "indexed":
        out.alu_reg("mov", spare, 1)
        put(out, base, Operand("b", _AT_INDEX))
        out.alu_reg("add", base, spare)
        out.alu("add", base, MIDDLE)
    else:
        out.alu_reg("mov", base, 1)
        out.alu("add", base, MIDDLE if pointer == "known" else 2 * MIDDLE)
        if pointer == "moved":
            out.alu("sub32", base, MIDDLE)


def prepare(out: Builder, pointer: str, base: int, value: int | None, operand: Operand) -> None:
    """r0 for those that read it, the value, the pointer."""
    taken = {0, 1, base, value}
    spare = next(register for register in range(2, 10) if register not in taken)
    if 0 not in (base, value):
        put(out, 0, Operand("dw", _AT_R0))
    if value not in (None, 1, 10, base):
        put(out, value, operand)
    point(out, pointer, base, spare)
    if value == 1 and base != 1:
        constant(out, 1, VALUES[-1])


def load(op: Op, pair: tuple[int, int], offset: int, pointer: str, shown: str) -> Trial:
    """`pair` is destination and base."""
    out = Builder()
    prepare(out, pointer, pair[1], None, Operand())
    out.emit(op, *pair, off=offset)
    show(out, shown, pair[0], pair[0])
    out.exit()
    return trial(out)


def store(op: Op, pair: tuple[int, int], offset: int, pointer: str, operand: Operand) -> Trial:
    """`pair` is value and base."""
    value, base = pair
    out = Builder()
    prepare(out, pointer, base, value, operand)
    out.emit(op, base, value, offset)
    out.alu("mov", 0, 1)
    out.exit()
    return trial(out)


def store_constant(op: Op, base: int, offset: int, pointer: str, imm: int) -> Trial:
    """An immediate."""
    out = Builder()
    prepare(out, pointer, base, None, Operand())
    out.emit(op, base, off=offset, imm=imm)
    out.alu("mov", 0, 1)
    out.exit()
    return trial(out)


def atomic(op: Op, pair: tuple[int, int], offset: int, pointer: str, operand: Operand, shown: str) -> Trial:
    """`pair` is operand and base; what both and r0 are afterwards is to be seen."""
    value, base = pair
    out = Builder()
    prepare(out, pointer, base, value, operand)
    out.emit(op, base, value, offset)
    if shown == "whole":
        out.emit(ROWS["stxdw", Form.STORE_REG], 10, 0, -24)
        show(out, shown, value, base)
    else:
        show(out, shown, value if op.writes_src else 0, base)
    out.exit()
    return trial(out)


_LOADS: Final = [op for op in MEMORY if op.form is Form.LOAD]
_STORES: Final = [op for op in MEMORY if op.form is Form.STORE_REG]
_CONSTANT: Final = [op for op in MEMORY if op.form is Form.STORE_IMM]
_ATOMICS: Final = [op for op in MEMORY if op.form is Form.ATOMIC]
_ON_STACK: Final = tuple((register, 10) for register in range(10))
_ON_STACK_FEW: Final = _ON_STACK[::3]
_POINTER_STORED: Final = ((10, 4), (10, 1), (10, 10))
_BASES: Final = (1, 9)
_OPERANDS: Final = (
    Operand("dw", _AT_VALUE),
    Operand("w", _AT_VALUE),
    *(Operand(value=value) for value in VALUES[-3:]),
)

FAMILIES: Final[tuple[Family, ...]] = (
    Product(load, _LOADS, PAIRS, FEW_OFFSETS, POINTERS, SHOWN),
    Product(load, _LOADS, FEW_PAIRS[:3], OFFSETS, POINTERS, SHOWN),
    Product(load, _LOADS, _ON_STACK, FRAME_OFFSETS, POINTERS[:1], SHOWN),
    Product(store, _STORES, PAIRS, FEW_OFFSETS, POINTERS, _OPERANDS),
    Product(store, _STORES, FEW_PAIRS[:3], OFFSETS, POINTERS, _OPERANDS),
    Product(store, _STORES, _ON_STACK, FRAME_OFFSETS, POINTERS[:1], _OPERANDS),
    Product(store, _STORES, _POINTER_STORED, OFFSETS, POINTERS, _OPERANDS[:1]),
    Product(store_constant, _CONSTANT, _BASES, OFFSETS, POINTERS, STORED),
    Product(store_constant, _CONSTANT, (10,), FRAME_OFFSETS, POINTERS[:1], STORED),
    Product(atomic, _ATOMICS, PAIRS, FEW_OFFSETS, POINTERS[::2], _OPERANDS[:3:2], ("whole",)),
    Product(atomic, _ATOMICS, FEW_PAIRS[:3], OFFSETS, POINTERS, _OPERANDS[:1], SHOWN),
    Product(atomic, _ATOMICS, _ON_STACK_FEW, FRAME_OFFSETS, POINTERS[:1], _OPERANDS, SHOWN),
)
