"""The instruction table against the lists of programs.md section 1, and its encoding."""

from __future__ import annotations

from collections import Counter

import pytest

from device.vm.isa import BY_OPCODE, TABLE, Form, Instruction, Op, Sem, Slot, decode_at, walk
from device.vm.operands import target_field
from tests.isa_rows import SLOT, each_row, program_with

# programs.md section 1.1, written down once more: class by class, as in the document.
ACCEPTED = {
    "ALU64": "07 0f 17 1f 27 2f 37 3f 47 4f 57 5f 67 6f 77 7f 87 97 9f a7 af b7 bf c7 cf",
    "ALU32": "04 0c 14 1c 24 2c 34 3c 44 4c 54 5c 64 6c 74 7c 84 94 9c a4 ac b4 bc c4 cc",
    "byte order": "d4 dc d7",
    "load": "61 69 71 79 81 89 91",
    "store": "62 6a 72 7a 63 6b 73 7b",
    "atomic": "c3 db",
    "wide": "18 b8 d8",
    "JMP": "05 15 1d 25 2d 35 3d 45 4d 55 5d 65 6d 75 7d a5 ad b5 bd c5 cd d5 dd",
    "JMP32": "06 16 1e 26 2e 36 3e 46 4e 56 5e 66 6e 76 7e a6 ae b6 be c6 ce d6 de",
    "call and exit": "85 95",
}

FIELDS = ("dst", "src", "off", "imm")


def test_the_opcodes_are_those_of_the_specification() -> None:
    assert set(BY_OPCODE) == {int(code, 16) for codes in ACCEPTED.values() for code in codes.split()}


def test_a_row_is_named_once() -> None:
    assert max(Counter((op.mnemonic, op.form) for op in TABLE).values()) == 1


def test_a_row_is_encoded_once() -> None:
    assert max(Counter((op.opcode, op.select) for op in TABLE).values()) == 1


@pytest.mark.parametrize(
    ("opcode", "selectors"),
    [
        (0x37, {0, 1}),
        (0x9F, {0, 1}),
        (0xBF, {0, 8, 16, 32}),
        (0xBC, {0, 8, 16}),
        (0xB7, {0}),
        (0xD7, {16, 32, 64}),
        (0xDB, {0x00, 0x40, 0x50, 0xA0, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1}),
        (0x85, {0, 1}),
    ],
    ids=lambda value: f"{value:02x}" if isinstance(value, int) else "",
)
def test_rows_of_one_opcode(opcode: int, selectors: set[int]) -> None:
    assert {op.select for op in BY_OPCODE[opcode]} == selectors


@each_row
def test_a_form_uses_a_field_or_demands_zero(op: Op) -> None:
    used = {field for operand in op.form.operands for field in FIELDS if field in operand}
    if op.form.selector:
        used.add(op.form.selector)
    if {"target", "function"} & set(op.form.operands):
        used.add(target_field(op)[0])
    if "helper" in op.form.operands:
        used.add("imm")
    assert used | set(op.form.zero) == set(FIELDS)


@each_row
def test_decoding_finds_the_row_again(op: Op) -> None:
    text = program_with(op).text
    instruction = decode_at(text, SLOT)
    assert instruction is not None
    assert instruction.op is op
    assert instruction.encode() == text[8 * SLOT : 8 * (SLOT + op.form.slots)]


@each_row
def test_walking_steps_over_second_halves(op: Op) -> None:
    slots = [pc for pc, _ in walk(program_with(op).text)]
    assert slots == [*range(SLOT + 1), *range(SLOT + op.form.slots, slots[-1] + 1)]


@pytest.mark.parametrize(
    ("instruction", "encoded"),
    [
        (
            Instruction(0, BY_OPCODE[0x18][0], 1, 0, 0, 0x1122334455667788),
            "18010000 88776655 00000000 44332211",
        ),
        (Instruction(0, BY_OPCODE[0xB8][0], 2, 0, 0, 0xFFFFFFF8), "b8020000 f8ffffff 00000000 00000000"),
        (Instruction(0, BY_OPCODE[0x85][0], 0, 0, 0, 0xFFFFFFFF), "85000000 ffffffff"),
        (Instruction(0, BY_OPCODE[0x7B][0], 10, 3, -8, 0), "7b3af8ff 00000000"),
        (Instruction(0, BY_OPCODE[0xB7][0], 0, 0, 0, -1), "b7000000 ffffffff"),
    ],
    ids=["lddw", "lddwd", "call", "stxdw", "mov"],
)
def test_encoding(instruction: Instruction, encoded: str) -> None:
    assert instruction.encode() == bytes.fromhex(encoded)


@pytest.mark.parametrize(
    "text",
    ["ff00000000000000", "1800000000000000", "bf00030000000000", "d400000008000000", "8520000000000000"],
    ids=["unknown", "half missing", "movsx 3", "le8", "call of kind 2"],
)
def test_what_is_no_instruction(text: str) -> None:
    assert decode_at(bytes.fromhex(text), 0) is None


READS_R0 = {Sem.ATOMIC_CMPXCHG, Sem.EXIT}
WRITES_R0 = {Sem.ATOMIC_CMPXCHG, Sem.CALL, Sem.CALL_LOCAL}


@each_row
def test_registers_that_are_not_named(op: Op) -> None:
    assert op.reads_r0 == (op.sem in READS_R0)
    assert op.writes_r0 == (op.sem in WRITES_R0)


@pytest.mark.parametrize(
    ("mnemonic", "form", "reads", "writes"),
    [
        ("mov", Form.ALU_REG, "src", "dst"),
        ("mov", Form.ALU_IMM, "", "dst"),
        ("movsx8", Form.ALU_REG, "src", "dst"),
        ("add", Form.ALU_REG, "dst src", "dst"),
        ("neg", Form.ALU_UNARY, "dst", "dst"),
        ("be16", Form.BYTE_ORDER, "dst", "dst"),
        ("ldxw", Form.LOAD, "src", "dst"),
        ("stw", Form.STORE_IMM, "dst", ""),
        ("stxw", Form.STORE_REG, "dst src", ""),
        ("lock add", Form.ATOMIC, "dst src", ""),
        ("lock fetch add", Form.ATOMIC, "dst src", "src"),
        ("lock xchg32", Form.ATOMIC, "dst src", "src"),
        ("lock cmpxchg", Form.ATOMIC, "dst src", ""),
        ("lddw", Form.WIDE, "", "dst"),
        ("jeq", Form.BRANCH_IMM, "dst", ""),
        ("jeq32", Form.BRANCH_REG, "dst src", ""),
        ("ja", Form.JUMP, "", ""),
        ("call", Form.CALL_HELPER, "", ""),
        ("exit", Form.EXIT, "", ""),
    ],
)
def test_registers_that_are_named(mnemonic: str, form: Form, reads: str, writes: str) -> None:
    (op,) = (op for op in TABLE if (op.mnemonic, op.form) == (mnemonic, form))
    assert [name for name in ("dst", "src") if getattr(op, f"reads_{name}")] == reads.split()
    assert [name for name in ("dst", "src") if getattr(op, f"writes_{name}")] == writes.split()


def test_a_slot_is_packed_as_it_was_parsed() -> None:
    raw = bytes.fromhex("7b9a fcff 80ffff7f".replace(" ", ""))
    assert Slot.parse(raw, 0) == (0x7B, 10, 9, -4, 0x7FFFFF80)
    assert Slot.parse(raw, 0).pack() == raw
