"""Two or three instructions, drawn: few registers, so that each reads what the last one wrote.

Around them many or no other registers are in use, and only some halves of the results are read, so that
homes of halves, flags and scratch registers are shared in many ways.
"""

from __future__ import annotations

import random
from typing import Final

from device.vm.isa import Form, Op
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import IMMEDIATES, KINDS, VALUES, Operand, put_all, words
from tests.property.differential.layers.trial import Budgets, Drawn, Family, Trial
from tests.property.programs import ALU, BRANCHES, MEMORY, ROWS

SIZE: Final = 120_000
INPUTS: Final = 3
WORDS: Final = 10
SLOTS: Final = (-8, -8, -16, -12, -5)
"""Where on the stack sequences store and load."""

_WHOLE: Final = ROWS["stxdw", Form.STORE_REG]
_HALF: Final = ROWS["stxw", Form.STORE_REG]
_ATOMICS: Final = [op for op in MEMORY if op.form is Form.ATOMIC]
_PLAIN: Final = [op for op in MEMORY if op.form is not Form.ATOMIC]
_MOVES: Final = [op for op in ALU if op.mnemonic.startswith("mov")]


def sequence(source: random.Random) -> Trial:
    """One of them."""
    out = Builder()
    used = source.sample(range(10), source.choice((1, 2, 2, 3)))
    held = [register for register in range(10) if register not in used]
    held = source.sample(held, source.choice((0, 0, 3, len(held))))
    put_all(out, {register: _operand(source, register) for register in (*used, *held)})
    step: Op | None = None
    skip: int | None = None
    for _ in range(source.choice((2, 2, 3))):
        landing, skip = skip, None
        step = _row(source)
        skip = _emit(out, source, step, used)
        if landing is not None:
            out.place(landing)
    if skip is not None:
        out.alu("xor", source.choice(used), 1)
        out.place(skip)
    for number, register in enumerate(used):
        _show(out, source, register, -64 - 8 * number)
    for number, register in enumerate(held):
        out.emit(_WHOLE, 10, register, -128 - 8 * number)
    if source.random() < 0.8:
        out.alu("mov", 0, 7)
    out.exit()
    setups = [Setup(context=_context(source)) for _ in range(INPUTS)]
    budgets = Budgets.EVERY if source.random() < 0.02 else Budgets.GIVEN
    return Trial(Case(out.text(), setups[0], 200), tuple(setups[1:]), budgets)


def _operand(source: random.Random, register: int) -> Operand:
    if source.random() < 0.25:
        return Operand(value=source.choice(VALUES))
    return Operand(source.choice(KINDS), 8 * register)


def _row(source: random.Random) -> Op:
    chance = source.random()
    if chance < 0.55:
        return source.choice(ALU)
    if chance < 0.65:
        return source.choice(_MOVES)
    if chance < 0.8:
        return source.choice(BRANCHES)
    return source.choice(_PLAIN if chance < 0.93 else _ATOMICS)


def _emit(out: Builder, source: random.Random, op: Op, used: list[int]) -> int | None:
    """One instruction; the label that it goes to, which is to be placed behind the next."""
    dst, src = source.choice(used), source.choice((*used, *used, 10))
    imm = source.choice(IMMEDIATES)
    if op.form.jumps:
        label = out.label()
        out.emit(op, dst, src, imm=imm, label=label)
        return label
    off = source.choice(SLOTS)
    if op.form is Form.LOAD:
        out.emit(op, dst, 10, off)
    elif op.form in (Form.STORE_REG, Form.STORE_IMM):
        out.emit(op, 10, dst, off, imm)
    elif op.form is Form.ATOMIC:
        out.emit(op, 10, dst, off)
    else:
        out.emit(op, dst, src, imm=imm)
    return None


def _show(out: Builder, source: random.Random, register: int, at: int) -> None:
    """Some halves of a register."""
    match source.randrange(5):
        case 0 | 1:
            out.emit(_WHOLE, 10, register, at)
        case 2:
            out.emit(_HALF, 10, register, at)
        case 3:
            out.alu("rsh", register, 32)
            out.emit(_HALF, 10, register, at)
        case _:
            pass


def _context(source: random.Random) -> bytes:
    return words(
        *(source.choice(VALUES) if source.random() < 0.8 else source.getrandbits(64) for _ in range(WORDS))
    )


def families(seed: str) -> tuple[Family, ...]:
    """Drawn from a seed."""
    return (Drawn(sequence, SIZE, seed),)
