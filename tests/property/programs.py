"""Random programs, and the parts that all generators of programs are made of."""

from __future__ import annotations

import random

from device.vm.isa import TABLE, Form, Instruction, Op
from device.vm.memory import CONTEXT_BASE

ALU = [op for op in TABLE if op.form in (Form.ALU_IMM, Form.ALU_REG, Form.ALU_UNARY, Form.BYTE_ORDER)]
BRANCHES = [op for op in TABLE if op.form in (Form.BRANCH_IMM, Form.BRANCH_REG)]
MEMORY = [op for op in TABLE if op.form in (Form.LOAD, Form.STORE_IMM, Form.STORE_REG, Form.ATOMIC)]
ROWS = {(op.mnemonic, op.form): op for op in TABLE}
"""A row of the table by how it is written."""
JUMP = ROWS["ja", Form.JUMP]
EXIT = ROWS["exit", Form.EXIT]
WIDE = ROWS["lddw", Form.WIDE]
CONSTANTS = (0, 1, 2, 3, 7, 8, 16, 31, 32, 33, 63, 64, 255, 4096, 2**31 - 1, -1, -2, -8, -(2**31))
VALUES = (0, 1, 5, 255, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, CONTEXT_BASE, CONTEXT_BASE + 9)


PREAMBLE = 20
"""Slots of `text_of` that set r0 to r9."""


def text_of(source: random.Random, values: list[int]) -> bytes:
    """A program that sets r0 to r9 and goes on with anything."""
    parts = [Instruction(0, WIDE, r, 0, 0, value).encode() for r, value in enumerate(values)]
    length = source.randrange(3, 24)
    body: list[Instruction] = []
    for place in range(length):
        kind = source.random()
        op: Op = JUMP
        dst, src = source.randrange(10), source.randrange(11)
        off, imm = 0, source.choice(CONSTANTS)
        if kind < 0.55:
            op = source.choice(ALU)
        elif kind < 0.75:
            op, off = source.choice(BRANCHES), source.randrange(-place - 1, length - place)
        elif kind < 0.93:
            op, off = source.choice(MEMORY), source.choice((0, 0, 1, 4, 8, -8))
            base = source.choice((1, 2, 10))
            dst, src = (source.randrange(10), base) if op.form is Form.LOAD else (base, source.randrange(10))
        elif kind < 0.97:
            off = source.randrange(-place - 1, length - place)
        else:
            op = EXIT
        body.append(shaped(Instruction(0, op, dst, src, off, imm)))
    body.append(Instruction(0, EXIT, 0, 0, 0, 0))
    return b"".join([*parts, *(one.encode() for one in body)])


def shaped(one: Instruction) -> Instruction:
    """With the fields that its form wants to be 0, and the selector of its row."""
    op = one.op
    fields = {"dst": one.dst, "src": one.src, "off": one.off, "imm": one.imm}
    for name in op.form.zero:
        fields[name] = 0
    if op.form.selector is not None:
        fields[op.form.selector] = op.select
    return Instruction(0, op, fields["dst"], fields["src"], fields["off"], fields["imm"])
