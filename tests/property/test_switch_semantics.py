"""Every row of the instruction table on the switch engine against an oracle written differently.

Each case is one instruction between known registers and known memory; all eleven registers and every byte
are compared. Corner values are tried in all pairs, random ones by hypothesis.
"""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.vm.isa import TABLE, Form, Op, Slot
from device.vm.memory import CONTEXT_BASE, STACK_TOP
from device.vm.program import Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.property import oracle

CORNERS = (
    0, 1, 2, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 0x100000000, 0x80000000_00000001, 0x7FFFFFFF_FFFFFFFF, 0x80000000_00000000,
    0xFFFFFFFF_00000000, 0xFFFFFFFF_80000000, 0xFFFFFFFF_FFFFFFFF, 0x01234567_89ABCDEF, 0xFEDCBA98_76543210,
)  # fmt: skip
IMMEDIATES = (0, 1, 2, 7, 31, 32, 63, 64, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, -0x80000000, -1, -2, 0x12345678)
WORDS = st.one_of(st.sampled_from(CORNERS), st.integers(0, 2**64 - 1))
IMMS = st.one_of(st.sampled_from(IMMEDIATES), st.integers(-(2**31), 2**31 - 1))

ALU_FORMS = (Form.ALU_IMM, Form.ALU_REG, Form.ALU_UNARY, Form.BYTE_ORDER)
BRANCH_FORMS = (Form.BRANCH_IMM, Form.BRANCH_REG)
ALU_ROWS = [op for op in TABLE if op.form in ALU_FORMS]
BRANCH_ROWS = [op for op in TABLE if op.form in BRANCH_FORMS]
LOAD_ROWS = [op for op in TABLE if op.form is Form.LOAD]
STORE_ROWS = [op for op in TABLE if op.form in (Form.STORE_IMM, Form.STORE_REG)]
ATOMIC_ROWS = [op for op in TABLE if op.form is Form.ATOMIC]
CONTROL = (
    Form.WIDE,
    Form.WIDE_RELATIVE,
    Form.JUMP,
    Form.JUMP_FAR,
    Form.CALL_HELPER,
    Form.CALL_LOCAL,
    Form.EXIT,
)

ENGINE = SwitchEngine()
WORK = CONTEXT_BASE + 88
"""Where the memory of a case begins, behind the values of its registers."""


def name(op: Op) -> str:
    return f"{op.mnemonic}-{op.form.name}"


def rows(ops: list[Op]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("op", ops, ids=name)


def encode(op: Op, dst: int, src: int, off: int = 0, imm: int = 0) -> oracle.Encoded:
    """The slot of this row; the field that selects the row overrides what is given."""
    fields = {"dst": dst, "src": src, "off": off, "imm": imm}
    if op.form in (Form.ALU_IMM, Form.ALU_UNARY, Form.BYTE_ORDER, Form.STORE_IMM, Form.BRANCH_IMM):
        fields["src"] = 0
    if op.form.selector is not None:
        fields[op.form.selector] = op.select
    return oracle.Encoded(op.opcode, **fields)


def preamble() -> bytes:
    """r2 to r9, r0 and r1 from the context."""
    loads = [Slot(0x79, register, 1, 8 * register, 0) for register in (0, 2, 3, 4, 5, 6, 7, 8, 9, 1)]
    return b"".join(slot.pack() for slot in loads)


PREAMBLE = preamble()
FIRST = len(PREAMBLE) // 8


def execute(slot: oracle.Encoded, registers: list[int], memory: bytes) -> tuple[Outcome, bytes]:
    """Run `slot` once and fall off the end (or over one more instruction when it jumps)."""
    text = PREAMBLE + Slot(slot.opcode, slot.dst, slot.src, slot.off, slot.imm).pack()
    context = bytearray(b"".join(value.to_bytes(8, "little") for value in registers) + memory)
    program = Program(text, Layout.TEXT, bytes(32))
    outcome = ENGINE.run(program, Run(build_memory(program, bytearray(), context), r1=CONTEXT_BASE))
    return outcome, bytes(context[WORK - CONTEXT_BASE :])


def same(
    slot: oracle.Encoded, registers: list[int], memory: bytes, want: list[int], want_memory: bytes
) -> None:
    outcome, after = execute(slot, registers, memory)
    assert outcome.fault is not None
    assert outcome.fault.name == "NO_RETURN", outcome.fault
    assert list(outcome.fault.registers) == want
    assert after == want_memory


def values(**some: int) -> list[int]:
    """Eleven registers, each with its own bits in the upper and the lower half."""
    registers = [0xA000_0000_B000_0000 + n * 0x0101_0000_0101 for n in range(10)] + [STACK_TOP]
    for register, value in some.items():
        registers[int(register[1:])] = value
    return registers


def check_alu(op: Op, a: int, b: int, imm: int, dst: int = 2, src: int = 3) -> None:
    slot = encode(op, dst, src, imm=imm)
    registers = values(**{f"r{src}": b, f"r{dst}": a})
    want = list(registers)
    want[dst] = oracle.alu(slot, registers[dst], registers[src])
    same(slot, registers, b"", want, b"")


def check_branch(op: Op, a: int, b: int, imm: int, dst: int = 2, src: int = 3) -> None:
    """A branch to a place outside: whether it is taken is whether it faults."""
    slot = encode(op, dst, src, off=100, imm=imm)
    registers = values(**{f"r{src}": b, f"r{dst}": a})
    outcome, _ = execute(slot, registers, b"")
    assert outcome.fault is not None
    taken = oracle.taken(slot, registers[dst], registers[src])
    assert outcome.fault.name == ("ILLEGAL_JUMP" if taken else "NO_RETURN")
    assert list(outcome.fault.registers) == registers


def pairs(op: Op) -> list[tuple[int, int, int]]:
    """(dst, src, imm) to try: all pairs of corners."""
    if op.form in (Form.ALU_REG, Form.BRANCH_REG):
        return [(a, b, 0) for a, b in itertools.product(CORNERS, CORNERS)]
    if op.form in (Form.ALU_IMM, Form.BRANCH_IMM):
        return [(a, 0, imm) for a, imm in itertools.product(CORNERS, IMMEDIATES)]
    return [(a, 0, 0) for a in CORNERS]


def test_no_row_is_forgotten() -> None:
    covered = len(ALU_ROWS) + len(BRANCH_ROWS) + len(LOAD_ROWS) + len(STORE_ROWS) + len(ATOMIC_ROWS)
    control = [op for op in TABLE if op.form in CONTROL]  # unit/test_switch.py
    assert covered + len(control) == len(TABLE)
    assert len(control) == 8


@rows(ALU_ROWS)
def test_alu_corners(op: Op) -> None:
    for a, b, imm in pairs(op):
        check_alu(op, a, b, imm)


@rows([op for op in ALU_ROWS if op.form is Form.ALU_REG])
def test_alu_with_itself(op: Op) -> None:
    for value in CORNERS:
        for register in (0, 9):
            check_alu(op, value, value, 0, dst=register, src=register)


@rows(BRANCH_ROWS)
def test_branch_corners(op: Op) -> None:
    for a, b, imm in pairs(op):
        check_branch(op, a, b, imm)


@rows([op for op in BRANCH_ROWS if op.form is Form.BRANCH_REG])
def test_branch_with_itself(op: Op) -> None:
    for value in CORNERS:
        check_branch(op, value, value, 0, dst=2, src=2)


@given(op=st.sampled_from(ALU_ROWS), a=WORDS, b=WORDS, imm=IMMS, dst=st.integers(0, 9), src=st.integers(0, 9))
@settings(deadline=None, max_examples=500)
def test_alu_random(op: Op, a: int, b: int, imm: int, dst: int, src: int) -> None:
    if op.form is Form.ALU_REG:
        imm = 0
    check_alu(op, a, b, 0 if op.form is Form.ALU_UNARY else imm, dst, src)


@given(
    op=st.sampled_from(BRANCH_ROWS), a=WORDS, b=WORDS, imm=IMMS, dst=st.integers(0, 9), src=st.integers(0, 9)
)
@settings(deadline=None, max_examples=500)
def test_branch_random(op: Op, a: int, b: int, imm: int, dst: int, src: int) -> None:
    check_branch(op, a, b, 0 if op.form is Form.BRANCH_REG else imm, dst, src)


MEMORY = bytes(range(0x70, 0x90)) + bytes.fromhex("00ff7f80ffffffff7fffffffffffffff8000000000000000")


@rows(LOAD_ROWS)
@pytest.mark.parametrize(("dst", "src"), [(2, 3), (4, 4), (0, 9)], ids=str)
def test_loads(op: Op, dst: int, src: int) -> None:
    """At every offset, aligned or not, with and without displacement, in the upper half any garbage."""
    for at, off in itertools.product(range(len(MEMORY) - op.size + 1), (0, 5, -9)):
        slot = encode(op, dst, src, off=off)
        registers = values(**{f"r{src}": (0xDEAD << 32) | (WORK + at - off)})
        want = list(registers)
        want[dst] = oracle.load(slot, MEMORY, at)
        same(slot, registers, MEMORY, want, MEMORY)


@rows(STORE_ROWS)
@pytest.mark.parametrize(("dst", "src"), [(2, 3), (4, 4), (0, 9)], ids=str)
def test_stores(op: Op, dst: int, src: int) -> None:
    """dst == src stores the address itself."""
    cases = itertools.product(range(0, 20, 3), (0, -7), CORNERS if op.form is Form.STORE_REG else IMMEDIATES)
    for at, off, value in cases:
        imm = value if op.form is Form.STORE_IMM else 0
        slot = encode(op, dst, src, off=off, imm=imm)
        registers = values(**{f"r{src}": value & (2**64 - 1), f"r{dst}": WORK + at - off})
        want = bytearray(MEMORY)
        oracle.store(slot, want, at, registers[src])
        same(slot, registers, MEMORY, registers, bytes(want))


@rows(ATOMIC_ROWS)
@pytest.mark.parametrize(
    ("dst", "src"),
    [(2, 3), (4, 4), (0, 3), (2, 0), (0, 0)],
    ids=["apart", "alike", "dst is r0", "src is r0", "both are r0"],
)
def test_atomics(op: Op, dst: int, src: int) -> None:
    """Each old value against each operand; for cmpxchg r0 equal, equal in its low half, and different."""
    for old, source, off in itertools.product(CORNERS, CORNERS[::2], (0, 3)):
        for r0 in (old, old ^ (0x5 << 32), old ^ 1) if op.mnemonic.startswith("lock cmpxchg") else (7,):
            slot = encode(op, dst, src, off=off)
            registers = values(r0=r0)
            registers[src] = source
            registers[dst] = WORK + 1 - off
            memory = b"\xcc" + old.to_bytes(8, "little") + b"\xcc"
            want, want_memory = list(registers), bytearray(memory)
            oracle.atomic(slot, want_memory, 1, want)
            same(slot, registers, memory, want, bytes(want_memory))


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_total(seed: int) -> None:
    """Random bytes, and random bytes with known opcodes, from any entry: r0 or a fault, within the budget."""
    rng = random.Random(seed)
    opcodes = sorted({op.opcode for op in TABLE})
    for _ in range(100):
        count = rng.randrange(0, 30)
        text = bytearray(rng.randbytes(count * 8 + rng.choice([0, 0, 0, 0, 3])))
        for at in range(0, count * 8, 8):
            if rng.random() < 0.8:
                text[at] = rng.choice(opcodes)
                text[at + 1] = rng.randrange(11) | rng.randrange(11) << 4
                small = rng.randrange(-6, 6), rng.choice([0, 0, 1, 8, 16, 32, 64, 0xE1, 0xF1, -3, 2])
                text[at + 2 : at + 8] = small[0].to_bytes(2, "little", signed=True) + small[1].to_bytes(
                    4, "little", signed=True
                )
        program = Program(bytes(text), Layout.TEXT, bytes(32), entry=rng.choice([0, 0, 0, 0, 5, -1, 10**9]))
        budget = rng.choice([0, 1, 50, 2000])
        memory = build_memory(program, bytearray(), bytearray(16))
        outcome = ENGINE.run(program, Run(memory, budget=budget, r1=CONTEXT_BASE, r2=16))
        assert (outcome.r0 is None) != (outcome.fault is None)
        assert 0 <= outcome.instructions <= budget
        if outcome.fault is not None and outcome.fault.name == "OUT_OF_INSTRUCTIONS":
            assert outcome.instructions == budget
