"""The rows of the instruction table as test parameters, with an example of each.

Whatever consumes the table is parametrised with `each_row`: a row that it misses is a failing test.
"""

from __future__ import annotations

import pytest

from device.vm.asm import assemble
from device.vm.isa import TABLE, Form, Op
from device.vm.program import Layout, Program

_EXAMPLES = {
    Form.ALU_IMM: "r1, 7",
    Form.ALU_REG: "r1, r2",
    Form.ALU_UNARY: "r1",
    Form.BYTE_ORDER: "r1",
    Form.LOAD: "r1, [r10-8]",
    Form.STORE_IMM: "[r10-8], 5",
    Form.STORE_REG: "[r10-8], r2",
    Form.ATOMIC: "[r10-8], r2",
    Form.WIDE: "r1, 0x1122334455667788",
    Form.WIDE_RELATIVE: "r1, 4",
    Form.JUMP: "+1",
    Form.JUMP_FAR: "+1",
    Form.BRANCH_IMM: "r1, -1, +1",
    Form.BRANCH_REG: "r1, r2, +1",
    Form.CALL_HELPER: "0x13",
    Form.CALL_LOCAL: "+3",
    Form.EXIT: "",
}

HELPERS = {0x13: "bpf_fetch_global"}
"""What a program of `program_with` may call."""


def row_id(op: Op) -> str:
    """How a row is called in the list of tests."""
    return f"{op.mnemonic.replace(' ', '_')}-{op.form.name.lower()}"


each_row = pytest.mark.parametrize("op", TABLE, ids=row_id)


def example(op: Op) -> str:
    """An instruction of this row as assembler text."""
    return f"{op.mnemonic} {_EXAMPLES[op.form]}".strip()


def source_with(op: Op) -> str:
    """A program that is accepted and executes an instruction of this row; the last two are a function.

    r0 to r5 hold small numbers before it, and [r10-8] eight bytes of them. The instruction is slot 7.
    """
    return f"""
        mov r0, 3
        mov r1, 100
        mov r2, 2
        mov r3, 5
        mov r4, 6
        mov r5, 7
        stdw [r10-8], 100
        {example(op)}
        mov r6, 1
        mov r0, 0
        exit
        mov r0, 9
        exit
    """


SLOT = 7
"""Where the instruction of `program_with` stands."""


def program_with(op: Op) -> Program:
    """`source_with`, assembled; in a layout with header where the row needs one."""
    layout = Layout.FEMTO if op.form is Form.WIDE_RELATIVE else Layout.TEXT
    return Program(
        assemble(source_with(op)), layout, b"\x01\x02\x03\x04" * 8, rodata=bytes(16), data=bytes(16)
    )
