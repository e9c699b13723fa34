"""One instruction on registers: every ALU and branch row, on all registers, by what is known of them.

Results are shown whole, as the low half alone or as the high half alone: compiled code keeps a half only
where somebody reads it. A straight program runs on two contexts that its text chooses; a sweep goes through
all pairs of corner values in a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final
from zlib import crc32

from device.vm.isa import Form, Op
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import (
    FEW_PAIRS,
    IMMEDIATES,
    KINDS,
    PAIRS,
    SOME_KINDS,
    VALUES,
    Operand,
    put,
    put_all,
    words,
)
from tests.property.differential.layers.trial import Family, Product, Trial
from tests.property.programs import ALU, BRANCHES, ROWS, WIDE

BUDGET: Final = 100
SHOWN: Final = ("whole", "low", "high")
KNOWN: Final = tuple(Operand(value=value) for value in VALUES)
UNKNOWN: Final = tuple(Operand(kind) for kind in KINDS)
FEW_UNKNOWN: Final = tuple(Operand(kind) for kind in ("dw", "w", "sw", "b"))
SOME_UNKNOWN: Final = tuple(Operand(kind) for kind in SOME_KINDS)
EVERY_PAIR: Final = tuple(product(VALUES, VALUES))
SWEEP: Final = b"".join(words(*pair) for pair in EVERY_PAIR)
MIXED: Final = tuple((dst, src) for dst in ("dw", "w", "sw") for src in ("dw", "w", "sw"))
"""Kinds of both operands where all registers are gone through."""

_WORD: Final = ROWS["stxw", Form.STORE_REG]
_WHOLE: Final = ROWS["stxdw", Form.STORE_REG]


def rows(among: Sequence[Op], *forms: Form) -> list[Op]:
    """The rows of some forms."""
    return [op for op in among if op.form in forms]


def trial(out: Builder) -> Trial:
    """A program on two pairs of corner values."""
    text = out.text()
    chosen = crc32(text)
    setups = [
        Setup(context=words(*EVERY_PAIR[number % len(EVERY_PAIR)])) for number in (chosen, chosen // 500)
    ]
    return Trial(Case(text, setups[0], BUDGET), tuple(setups[1:]))


def show(out: Builder, shown: str, dst: int, src: int) -> None:
    """What the registers hold, in r0 and on the stack. What is read of them is all that is read."""
    if shown == "whole":
        out.emit(_WHOLE, 10, dst, -8)
        if src not in (dst, 10):
            out.emit(_WHOLE, 10, src, -16)
        out.alu_reg("mov", 0, dst)
        return
    if shown == "high":
        out.alu("rsh", dst, 32)
    out.emit(_WORD, 10, dst, -8)
    out.alu("mov", 0, 1)


def _operands(pair: tuple[int, int], dst: Operand, src: Operand) -> dict[int, Operand]:
    """Of a pair of registers; the source's word is the context's second."""
    second = src if src.value is not None else Operand(src.kind, 8)
    return {pair[1]: second, pair[0]: dst}


def alu_of_registers(op: Op, pair: tuple[int, int], dst: Operand, src: Operand, shown: str) -> Trial:
    """dst and src both have a value of their own, unless they are the same register."""
    out = Builder()
    put_all(out, _operands(pair, dst, src))
    out.emit(op, *pair)
    show(out, shown, *pair)
    out.exit()
    return trial(out)


def mixed(op: Op, pair: tuple[int, int], kinds: tuple[str, str], shown: str) -> Trial:
    """Both from memory."""
    return alu_of_registers(op, pair, Operand(kinds[0]), Operand(kinds[1]), shown)


def alu_of_constant(op: Op, register: int, operand: Operand, imm: int, shown: str) -> Trial:
    """dst alone, with an immediate where the row has one."""
    out = Builder()
    put(out, register, operand)
    out.emit(op, register, imm=imm)
    show(out, shown, register, register)
    out.exit()
    return trial(out)


def wide(op: Op, register: int, value: int, shown: str) -> Trial:
    """A wide load; the data-relative ones are shown as what they load from."""
    out = Builder()
    out.emit(op, register, imm=value)
    if op is not WIDE:
        out.emit(ROWS["ldxb", Form.LOAD], register, register)
    show(out, shown, register, register)
    out.exit()
    return Trial(Case(out.text(), Setup(), BUDGET, rodata=bytes(range(1, 41)), data=bytes(range(51, 91))))


def branch(op: Op, pair: tuple[int, int], dst: Operand, src: Operand, imm: int, shown: str) -> Trial:
    """A branch, and on either side what its operands are believed to be from there on."""
    out = Builder()
    taken = out.label()
    put_all(out, _operands(pair, dst, src))
    out.emit(op, *pair, imm=imm, label=taken)
    for number in (1, 2):
        if shown == "low":
            out.alu("mov", 0, number)
        else:
            other = pair[1] if op.form is Form.BRANCH_REG else pair[0]
            out.alu_reg("mul", pair[0], other)
            show(out, shown, *pair)
            out.alu("add", 0, number)
        out.exit()
        if number == 1:
            out.place(taken)
    return trial(out)


def branch_of_registers(op: Op, pair: tuple[int, int], dst: Operand, src: Operand, shown: str) -> Trial:
    """See branch."""
    return branch(op, pair, dst, src, 0, shown)


def branch_mixed(op: Op, pair: tuple[int, int], kinds: tuple[str, str], shown: str) -> Trial:
    """Both from memory."""
    return branch(op, pair, Operand(kinds[0]), Operand(kinds[1]), 0, shown)


def branch_of_constant(op: Op, register: int, operand: Operand, imm: int, shown: str) -> Trial:
    """See branch."""
    return branch(op, (register, register), operand, operand, imm, shown)


def sweep(op: Op, pair: tuple[int, int], kinds: tuple[str, str], imm: int, shown: str) -> Trial:
    """All pairs of corner values, one after the other; results take the place of operands."""
    out = Builder()
    place, left = [register for register in (9, 8, 7, 6) if register not in pair][:2]
    again = out.label()
    out.alu_reg("mov", place, 1)
    out.alu("mov", left, len(EVERY_PAIR))
    out.place(again)
    put(out, pair[1], Operand(kinds[1], 8), place)
    put(out, pair[0], Operand(kinds[0]), place)
    if op.form.jumps:
        _swept_branch(out, op, pair, imm, place)
    else:
        _swept(out, op, pair, imm, shown, place)
    out.alu("add", place, 16)
    out.alu("add", left, -1)
    out.emit(ROWS["jne", Form.BRANCH_IMM], left, label=again)
    if shown != "whole":
        out.alu("mov", 0, 1)
    out.exit()
    return Trial(Case(out.text(), Setup(context=SWEEP), 16 * len(EVERY_PAIR)))


def _swept(out: Builder, op: Op, pair: tuple[int, int], imm: int, shown: str, place: int) -> None:
    out.emit(op, *pair, imm=imm)
    if shown == "high":
        out.alu("rsh", pair[0], 32)
    out.emit(_WHOLE if shown == "whole" else _WORD, place, pair[0])
    if shown == "whole" and pair[0] != pair[1]:
        out.emit(_WHOLE, place, pair[1], 8)


def _swept_branch(out: Builder, op: Op, pair: tuple[int, int], imm: int, place: int) -> None:
    taken, behind = out.label(), out.label()
    out.emit(op, *pair, imm=imm, label=taken)
    out.emit(ROWS["stw", Form.STORE_IMM], place, imm=1)
    out.jump(behind)
    out.place(taken)
    out.emit(ROWS["stw", Form.STORE_IMM], place, imm=2)
    out.place(behind)


_REGISTERS: Final = range(10)
_TWO: Final = rows(ALU, Form.ALU_REG)
_IMMEDIATE: Final = rows(ALU, Form.ALU_IMM)
_ONE: Final = rows(ALU, Form.ALU_UNARY, Form.BYTE_ORDER)
_BRANCHES_TWO: Final = rows(BRANCHES, Form.BRANCH_REG)
_BRANCHES_ONE: Final = rows(BRANCHES, Form.BRANCH_IMM)
_RELATIVE: Final = [ROWS[name, Form.WIDE_RELATIVE] for name in ("lddwd", "lddwr")]
_ALIASED: Final = ((0, 1), (3, 2), (5, 5))
_SWEPT: Final = tuple(product(("dw", "w", "sw"), SOME_KINDS))
_BOTH_WAYS: Final = ("whole", "low")

FAMILIES: Final[tuple[Family, ...]] = (
    Product(mixed, _TWO, PAIRS, MIXED, SHOWN),
    Product(alu_of_registers, _TWO, FEW_PAIRS, KNOWN, SOME_UNKNOWN, SHOWN),
    Product(alu_of_registers, _TWO, FEW_PAIRS, SOME_UNKNOWN, KNOWN, SHOWN),
    Product(alu_of_registers, _TWO, ((2, 3), (6, 0)), KNOWN, KNOWN, ("whole",)),
    Product(sweep, _TWO, _ALIASED, _SWEPT, (0,), SHOWN),
    Product(alu_of_constant, _IMMEDIATE, _REGISTERS, FEW_UNKNOWN, IMMEDIATES, SHOWN),
    Product(alu_of_constant, _IMMEDIATE, (0, 4), KNOWN, IMMEDIATES, SHOWN),
    Product(sweep, _IMMEDIATE, ((3, 3),), tuple((kind, kind) for kind in KINDS), IMMEDIATES, SHOWN),
    Product(alu_of_constant, _ONE, _REGISTERS, (*UNKNOWN, *KNOWN), (0,), SHOWN),
    Product(sweep, _ONE, ((0, 0), (3, 3)), tuple((kind, kind) for kind in KINDS), (0,), SHOWN),
    Product(wide, [WIDE], _REGISTERS, (*VALUES, *(1 << bit for bit in range(64))), SHOWN),
    Product(wide, _RELATIVE, _REGISTERS, (0, 1, 31, 39, 40, 0xFFFFFFFF), SHOWN),
    Product(branch_mixed, _BRANCHES_TWO, PAIRS, MIXED, _BOTH_WAYS),
    Product(branch_of_registers, _BRANCHES_TWO, FEW_PAIRS, KNOWN, SOME_UNKNOWN, _BOTH_WAYS),
    Product(branch_of_registers, _BRANCHES_TWO, FEW_PAIRS, SOME_UNKNOWN, KNOWN, _BOTH_WAYS),
    Product(branch_of_registers, _BRANCHES_TWO, ((2, 3),), KNOWN, KNOWN, ("low",)),
    Product(sweep, _BRANCHES_TWO, _ALIASED, _SWEPT, (0,), ("whole",)),
    Product(branch_of_constant, _BRANCHES_ONE, _REGISTERS, FEW_UNKNOWN, IMMEDIATES, _BOTH_WAYS),
    Product(branch_of_constant, _BRANCHES_ONE, (4,), KNOWN, IMMEDIATES, _BOTH_WAYS),
    Product(sweep, _BRANCHES_ONE, ((3, 3),), tuple((kind, kind) for kind in KINDS), IMMEDIATES, ("whole",)),
)
