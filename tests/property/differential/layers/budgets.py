"""Loops under every budget from 1 to beyond their end: none ends early, none late, in any engine.

A loop is a condition, a body and how often; bodies call functions and helpers, divide, branch, load and
store, so that code is left at every instruction there is, in callees and in loops in loops too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from device.vm.isa import Form
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.execute import MIX, SLEEP
from tests.property.differential.layers.operands import words
from tests.property.differential.layers.trial import Budgets, Family, Product, Trial
from tests.property.programs import ROWS

BUDGET: Final = 290
TIMES: Final = (1, 2, 3, 7)
AMPLE: Final = (2**31 - 1, 2**31, 2**31 + 9, 2**32 - 1, 2**32, 2**40)

Body = Callable[[Builder, int | None], None]
"""Emits statements; the label is that of a function that may be called."""


def _alu(out: Builder, _below: int | None) -> None:
    out.alu("add", 0, 7)
    out.alu_reg("xor", 3, 0)
    out.alu("lsh", 3, 3)


def _wide(out: Builder, _below: int | None) -> None:
    out.alu("mul", 3, 0x12345)
    out.alu("add", 3, -3)
    out.alu_reg("add", 0, 3)


def _division(out: Builder, _below: int | None) -> None:
    out.alu("or", 3, 5)
    out.alu_reg("div", 0, 3)
    out.alu("add", 0, -1)
    out.alu_reg("smod", 0, 3)


def _helper(out: Builder, _below: int | None) -> None:
    out.alu_reg("mov", 1, 0)
    out.call(MIX)
    out.alu_reg("xor", 0, 6)


def _call(out: Builder, below: int | None) -> None:
    out.alu_reg("mov", 1, 0)
    out.call_local(_given(below))
    out.alu_reg("add", 0, 7)


def _call_and_memory(out: Builder, below: int | None) -> None:
    out.emit(ROWS["stxdw", Form.STORE_REG], 10, 0, -8)
    out.call_local(_given(below))
    out.emit(ROWS["ldxdw", Form.LOAD], 3, 10, -8)
    out.alu_reg("add", 0, 3)


def _branches(out: Builder, _below: int | None) -> None:
    odd, behind = out.label(), out.label()
    out.emit(ROWS["jset", Form.BRANCH_IMM], 0, imm=1, label=odd)
    out.alu("rsh", 0, 1)
    out.jump(behind)
    out.place(odd)
    out.alu("mul", 0, 3)
    out.alu("add", 0, 1)
    out.place(behind)
    out.alu("add", 3, 1)


def _inner(out: Builder, _below: int | None) -> None:
    again = out.label()
    out.alu("mov", 8, 3)
    out.place(again)
    out.alu_reg("add", 0, 8)
    out.alu("add", 8, -1)
    out.emit(ROWS["jne", Form.BRANCH_IMM], 8, imm=0, label=again)


def _memory(out: Builder, _below: int | None) -> None:
    out.emit(ROWS["ldxb", Form.LOAD], 3, 9)
    out.alu_reg("add", 0, 3)
    out.emit(ROWS["stxb", Form.STORE_REG], 9, 0)
    out.alu("add", 9, 1)


def _faulting(out: Builder, _below: int | None) -> None:
    """Runs out of the context."""
    out.emit(ROWS["ldxdw", Form.LOAD], 3, 9)
    out.alu_reg("add", 0, 3)
    out.alu("add", 9, 8)


def _atomic(out: Builder, _below: int | None) -> None:
    op = ROWS["lock fetch add", Form.ATOMIC]
    out.emit(op, 10, 3, -8, op.select)
    out.alu_reg("add", 0, 3)


def _sleeping(out: Builder, _below: int | None) -> None:
    out.alu("mov", 1, 0)
    out.call(SLEEP)
    out.alu("add", 0, 1)


def _given(label: int | None) -> int:
    assert label is not None
    return label


BODIES: Final[Mapping[str, Body]] = {
    "alu": _alu,
    "wide": _wide,
    "division": _division,
    "helper": _helper,
    "call": _call,
    "call and memory": _call_and_memory,
    "branches": _branches,
    "inner": _inner,
    "memory": _memory,
    "faulting": _faulting,
    "atomic": _atomic,
    "sleeping": _sleeping,
}


def loop(body: str, condition: tuple[str, bool, int], times: int, depth: int, renews: bool) -> Trial:
    """The loop in a function so deep, and the function that its body calls behind it."""
    row, down, step = condition
    out = Builder()
    below = out.label()
    for _ in range(depth):
        inner = out.label()
        out.alu("mov", 7, 9)
        out.call_local(inner)
        out.alu_reg("add", 0, 7)
        out.exit()
        out.place(inner)
    again = out.label()
    out.alu_reg("mov", 9, 1)
    out.alu("mov", 7, 5)
    out.alu("mov", 6, times * step if down else 0)
    out.place(again)
    BODIES[body](out, below)
    out.alu("add32" if row.endswith("32") else "add", 6, -step if down else step)
    out.emit(ROWS[row, Form.BRANCH_IMM], 6, imm=0 if down else times * step, label=again)
    out.exit()
    out.place(below)
    out.alu("mov", 7, 1)
    out.alu_reg("add", 0, 1)
    out.alu_reg("sub", 0, 7)
    out.exit()
    setup = Setup(context=words(0x1122334455667788, 3, 5), renews=renews)
    case = Case(out.text(), setup, BUDGET, data=b"\0" * 8)
    return Trial(case, budgets=Budgets.EVERY)


def ample(body: str, condition: tuple[str, bool, int], budget: int) -> Trial:
    """A loop with so much that a sign or a word ends before it."""
    trial = loop(body, condition, 7, 1, renews=False)
    return Trial(replace(trial.case, budget=budget))


CONDITIONS: Final = (
    ("jne", True, 1),
    ("jgt", True, 1),
    ("jsgt", True, 2),
    ("jne32", True, 1),
    ("jlt", False, 1),
    ("jslt", False, 3),
    ("jne", False, 1),
    ("jlt32", False, 1),
)
"""A branch back, down to 0 or up, in steps of."""

FAMILIES: Final[tuple[Family, ...]] = (
    Product(loop, tuple(BODIES), CONDITIONS, TIMES, (0, 1, 3), (False,)),
    Product(loop, ("sleeping", "call"), CONDITIONS, TIMES, (0, 1), (True,)),
    Product(ample, tuple(BODIES), CONDITIONS, AMPLE),
)
