"""Code beyond the range of branches and literals: something far away from what refers to it.

The ranges of Thumb-2 are 126 bytes (cbz), 254 bytes and 2 KiB (16-bit branches), 1 MiB (32-bit ones), 1 KiB
and 4 KiB (literals). Filling is counted so that every distance around the small ones is met, by every kind of
branch and in both directions, and code grows beyond 16 KiB.
"""

from __future__ import annotations

import random
from typing import Final

from device.vm.isa import Form, Op
from device.vm.memory import EXTRA_BASE
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import VALUES, words
from tests.property.differential.layers.trial import Budgets, Drawn, Family, Product, Trial
from tests.property.programs import ALU, BRANCHES, ROWS, WIDE

BUDGET: Final = 30_000
DISTANCES: Final = (*range(1, 140), *range(140, 700, 7), *range(700, 1500, 37), 2000, 2600)
"""Instructions of filling: of two bytes each, and of more."""
LITTLE: Final = (*range(10, 140), *range(480, 530, 2), *range(990, 1030))
LITERALS: Final = (1, 2, 30, 60, 100, *range(118, 132), 200, 250, *range(500, 530, 3), 900)
FILLINGS: Final = ("narrow", "wide", "literals", "stores", "divisions", "calls")

_SETUPS: Final = tuple(
    Setup(context=words(one, other, 3), extra=((bytes(64), True),), r2=EXTRA_BASE)
    for one, other in ((0, 0), (5, 1 << 40), (0xFFFFFFFF, 0x7FFFFFFF))
)


def fill(out: Builder, filling: str, count: int, function: int) -> None:
    """So many instructions that change r0, r3 and r4; `function` may be called."""
    for number in range(count):
        match filling:
            case "narrow":
                out.alu("add32", 3, 1 + number % 7)
            case "wide":
                out.alu("add", 0, 0x12345 + number)
            case "literals":
                out.emit(WIDE, 4, imm=(0x9E3779B97F4A7C15 * (number + 1)) & 2**64 - 1)
                out.alu_reg("xor", 0, 4)
            case "stores":
                out.emit(ROWS["stxdw", Form.STORE_REG], 10, 0, -8 * (number % 60 + 1))
                out.alu("add", 0, 3)
            case "divisions":
                out.alu_reg("div" if number % 2 else "mod32", 3, 0)
            case _:
                if number % 25 == 0:
                    out.call_local(function)
                out.alu("add", 0, 1)


def _begin(out: Builder) -> None:
    """r6 and r7 from the context, r8 counts rounds of loops."""
    out.emit(ROWS["ldxdw", Form.LOAD], 6, 1)
    out.emit(ROWS["ldxdw", Form.LOAD], 7, 1, 8)
    out.emit(ROWS["ldxw", Form.LOAD], 3, 1)
    out.alu("mov", 8, 3)


def _end(out: Builder, function: int) -> Trial:
    out.emit(ROWS["stxdw", Form.STORE_REG], 10, 3, -8)
    out.exit()
    out.place(function)
    out.alu("add", 0, 11)
    out.alu_reg("mov", 9, 0)
    out.exit()
    return Trial(Case(out.text(), _SETUPS[0], BUDGET), _SETUPS[1:], Budgets.ENDS)


def forward(op: Op, filling: str, count: int) -> Trial:
    """A branch over the filling, and one to the same place from its midst."""
    out = Builder()
    over, function = out.label(), out.label()
    _begin(out)
    out.emit(op, 6, 7, imm=5, label=over)
    fill(out, filling, count // 2, function)
    out.emit(op, 7, 6, imm=-1, label=over)
    fill(out, filling, count - count // 2, function)
    out.place(over)
    return _end(out, function)


def backward(op: Op, filling: str, count: int) -> Trial:
    """A loop around the filling, left by a branch in its midst or after some rounds."""
    out = Builder()
    again, behind, function = out.label(), out.label(), out.label()
    _begin(out)
    out.place(again)
    out.alu("add", 6, 1)
    fill(out, filling, count // 2, function)
    out.alu("add", 8, -1)
    out.emit(ROWS["jeq", Form.BRANCH_IMM], 8, imm=0, label=behind)
    fill(out, filling, count - count // 2, function)
    out.emit(op, 6, 7, imm=5, label=again)
    out.place(behind)
    return _end(out, function)


def literals(count: int, distance: int) -> Trial:
    """Many constants that differ, used again far behind; all are known, so what is kept is the compiler's."""
    out = Builder()
    function, skip = out.label(), out.label()
    _begin(out)
    fill(out, "literals", count, function)
    out.emit(ROWS["jeq", Form.BRANCH_REG], 6, 7, label=skip)
    fill(out, "wide", distance, function)
    out.place(skip)
    fill(out, "literals", count, function)
    return _end(out, function)


def big(source: random.Random) -> Trial:
    """Thousands of instructions, drawn, with jumps forward anywhere and a few back; functions far away."""
    out = Builder()
    function, middle = out.label(), out.label()
    pending: list[tuple[int, int]] = []
    _begin(out)
    out.place(middle)
    out.alu("add", 8, -1)
    count = source.choice((300, 800, 1500, 3000))
    for place in range(count):
        for label in [label for at, label in pending if at == place]:
            out.place(label)
        pending = [(at, label) for at, label in pending if at > place]
        chance = source.random()
        if chance < 0.06:
            label = out.label()
            pending.append((min(count, place + source.choice((2, 40, 130, 300, 1200))), label))
            out.emit(source.choice(BRANCHES), source.randrange(8), source.randrange(8), imm=5, label=label)
        elif chance < 0.07:
            out.call_local(function)
        elif chance < 0.2:
            out.emit(WIDE, source.randrange(8), imm=source.choice((*VALUES, source.getrandbits(64))))
        elif chance < 0.3:
            out.emit(ROWS["stxdw", Form.STORE_REG], 10, source.randrange(8), -8 * source.randint(1, 64))
        elif chance < 0.4:
            out.emit(ROWS["ldxdw", Form.LOAD], source.randrange(8), 10, -8 * source.randint(1, 64))
        else:
            out.emit(source.choice(ALU), source.randrange(8), source.randrange(8), imm=source.getrandbits(16))
    for _, label in pending:
        out.place(label)
    out.emit(ROWS["jne", Form.BRANCH_IMM], 8, imm=0, label=middle)
    return _end(out, function)


_SOME: Final = tuple(op for op in BRANCHES if op.mnemonic in ("jeq", "jne32", "jset", "jsgt", "jlt32", "jle"))


def families(seed: str) -> tuple[Family, ...]:
    """Counted, but for those that are drawn from a seed."""
    return (
        Product(forward, _SOME, FILLINGS[:1], LITTLE),
        Product(backward, _SOME, FILLINGS[:1], LITTLE),
        Product(forward, _SOME[::3], FILLINGS, DISTANCES),
        Product(backward, _SOME[1::3], FILLINGS, DISTANCES),
        Product(literals, LITERALS, (1, 40, 120, 500, 1000)),
        Drawn(big, 400, seed),
    )
