"""The assembler: what it understands, and what it says about everything else."""

from __future__ import annotations

import pytest

from device.errors import AssemblyError
from device.vm.asm import assemble, assemble_functions
from device.vm.isa import Op, Slot
from tests.isa_rows import SLOT, each_row, example, source_with

HELPERS = {"bpf_fetch_global": 0x13, "bpf_printf": 0x01}

UNDERSTOOD = [
    ("mov r0, 5", "b700000005000000"),
    ("mov64 r0, 5", "b700000005000000"),
    ("mov r0, -1", "b7000000ffffffff"),
    ("mov r0, 0xffffffff", "b7000000ffffffff"),
    ("mov r0, -0x80000000", "b700000000000080"),
    ("mov32 r0, 4294967295", "b4000000ffffffff"),
    ("mov %r3, %r10", "bfa3000000000000"),
    ("MOV R3, R10", "bfa3000000000000"),
    ("add64 r1, r2", "0f21000000000000"),
    ("add32 r1, 7", "0401000007000000"),
    ("sdiv r1, 3", "3701010003000000"),
    ("smod32 r1, r2", "9c21010000000000"),
    ("movsx8 r1, r2", "bf21080000000000"),
    ("movsx864 r1, r2", "bf21080000000000"),
    ("movsx1632 r1, r2", "bc21100000000000"),
    ("movsx3264 r1, r2", "bf21200000000000"),
    ("neg r1", "8701000000000000"),
    ("neg32 r1", "8401000000000000"),
    ("be16 r1", "dc01000010000000"),
    ("le64 r1", "d401000040000000"),
    ("bswap32 r1", "d701000020000000"),
    ("swap32 r1", "d701000020000000"),
    ("ldxdw r1, [r2+8]", "7921080000000000"),
    ("ldxdw r1, [r2]", "7921000000000000"),
    ("ldxb r1, [ %r2 - 0x10 ]", "7121f0ff00000000"),
    ("ldxsw r1, [r2+32767]", "8121ff7f00000000"),
    ("stxw [r10-4], r1", "631afcff00000000"),
    ("stdw [r10-8], 7", "7a0af8ff07000000"),
    ("lddw r1, 0x1122334455667788", "18010000887766550000000044332211"),
    ("lddw r1, -1", "18010000ffffffff00000000ffffffff"),
    ("lddw r1, 18446744073709551615", "18010000ffffffff00000000ffffffff"),
    ("lddwd r1, 8", "b8010000080000000000000000000000"),
    ("lddwd r1, 0xfffffff8", "b8010000f8ffffff0000000000000000"),
    ("lddwr r1, -8", "d8010000f8ffffff00000000ffffffff"),
    ("lock add [r1+0], r2", "db21000000000000"),
    ("lock add64 [r1], r2", "db21000000000000"),
    ("lock fetch add32 [r1-4], r2", "c321fcff01000000"),
    ("lock fetch_xor [r1], r2", "db210000a1000000"),
    ("lock xchg32 [r1], r2", "c3210000e1000000"),
    ("lock cmpxchg [r1], r2", "db210000f1000000"),
    ("jeq r1, 0, +3", "1501030000000000"),
    ("jsgt32 r1, r2, -2", "6e21feff00000000"),
    ("jne64 r1, 0xffffffff, +0", "55010000ffffffff"),
    ("ja +1", "0500010000000000"),
    ("ja32 -65536", "060000000000ffff"),
    ("call 0x13", "8500000013000000"),
    ("call 19", "8500000013000000"),
    ("call helper 0x13", "8500000013000000"),
    ("call bpf_fetch_global", "8500000013000000"),
    ("call 0xffffffff", "85000000ffffffff"),
    ("call -1", "85000000ffffffff"),
    ("call local +2", "8510000002000000"),
    ("exit", "9500000000000000"),
    ("  \t exit\r", "9500000000000000"),
    ("exit ; done", "9500000000000000"),
    ("exit # done: jeq", "9500000000000000"),
    ("exit // done", "9500000000000000"),
    ("; nothing\n\n# nothing", ""),
    ("", ""),
    (".bytes 8d00000000000000", "8d00000000000000"),
    (".bytes 8d 00 00", "8d0000"),
]

LABELS = [
    ("x: ja x", "0500ffff00000000"),
    ("ja x\nx:", "0500000000000000"),
    ("a: b: exit\njeq r1, 0, a\njeq r1, 0, b", "9500000000000000 1501feff00000000 1501fdff00000000"),
    ("lddw r1, 1\nback: ja32 back", "1801000001000000 0000000000000000 06000000ffffffff"),
    ("call local f\nexit\nf: exit", "8510000001000000 9500000000000000 9500000000000000"),
    ("ja r1\nr1: exit", "0500000000000000 9500000000000000"),
    ("jeq r1, r2, .L_1$x\n.L_1$x: exit", "1d21000000000000 9500000000000000"),
    (
        "jne r0, 1, exit\nmov r0, 0\nexit\nexit",
        "5500010001000000 b700000000000000 9500000000000000 9500000000000000",
    ),
    ("ja exit\nexit\nexit: exit", "0500010000000000 9500000000000000 9500000000000000"),
]


@pytest.mark.parametrize(("source", "encoded"), UNDERSTOOD, ids=[source for source, _ in UNDERSTOOD])
def test_instruction(source: str, encoded: str) -> None:
    assert assemble(source, helpers=HELPERS).hex() == encoded


@pytest.mark.parametrize(("source", "encoded"), LABELS, ids=[source for source, _ in LABELS])
def test_labels(source: str, encoded: str) -> None:
    assert assemble(source).hex(" ", -8) == encoded


@each_row
def test_every_row_is_assembled(op: Op) -> None:
    text = assemble(source_with(op))
    assert text[8 * SLOT] == op.opcode
    assert assemble(example(op)) == text[8 * SLOT : 8 * (SLOT + op.form.slots)]


@each_row
def test_fields_that_are_not_written_are_zero(op: Op) -> None:
    slot = Slot.parse(assemble(example(op)), 0)
    assert {getattr(slot, name) for name in op.form.zero if name != op.form.selector} <= {0}
    assert op.form.selector is None or getattr(slot, op.form.selector) == op.select


# (source, line, a part of the detail, a part of the hint)
REFUSED = [
    ("mvo r0, 1", 1, "expected a mnemonic, found `mvo`", "did you mean `mov`"),
    ("\n\n  frobnicate", 3, "expected a mnemonic, found `frobnicate`", "such as mov"),
    ("callx r1", 1, "expected a mnemonic", "did you mean `call`"),
    ("mov r0", 1, "expected `mov dst, imm` or `mov dst, src`, found operands `r0`", "commas"),
    ("mov r0 5", 1, "expected `mov dst, imm`", "commas"),
    ("mov", 1, "found no operands", "commas"),
    ("exit 0", 1, "expected `exit`, found operands `0`", "commas"),
    ("mov r11, 1", 1, "expected a register, found `r11`", "r0 to r10"),
    ("mov r0, r11", 1, "expected a register, found `r11`", "r0 to r10"),
    ("mov 5, r0", 1, "expected `mov dst, imm`", "r0 to r10"),
    ("neg r99999999999", 1, "expected `neg dst`", "r0 to r10"),
    ("mov r0, foo", 1, "expected a number, found `foo`", "decimal or hexadecimal"),
    ("mov r0, 1_0", 1, "expected a number", "decimal or hexadecimal"),
    ("mov r0, ٣", 1, "expected a number", "decimal or hexadecimal"),
    ("mov r0, 0x", 1, "expected a number", "decimal or hexadecimal"),
    ("mov r0, " + "9" * 5000, 1, "expected a number", "decimal or hexadecimal"),
    ("mov r0, 2147483648", 1, "out of range, expected -2147483648 to 2147483647", "lddw takes 64 bits"),
    ("mov r0, 0x100000000", 1, "out of range", "lddw takes 64 bits"),
    ("mov32 r0, 4294967296", 1, "out of range, expected -2147483648 to 4294967295", ""),
    ("lddw r0, 18446744073709551616", 1, "out of range", ""),
    ("ldxw r1, r2", 1, "expected a memory operand, found `r2`", "[r1+8]"),
    ("ldxw r1, [r2+x]", 1, "expected a memory operand, found `[r2+x]`", "[r1+8]"),
    ("ldxw r1, [r2+32768]", 1, "offset `+32768` is out of range, expected -32768 to 32767", ""),
    ("stw 5, [r1]", 1, "expected a memory operand, found `5`", "[r1+8]"),
    ("ja 3", 1, "expected a target, found `3`", "+3"),
    ("ja +32768", 1, "distance `+32768` is out of range", "ja32"),
    ("jeq r1, 0", 1, "expected `jeq dst, imm, target` or `jeq dst, src, target`", "commas"),
    ("exit\nja nowhere\nfoo bar", 3, "expected a mnemonic", ""),
    ("exit\nja nowhere", 2, "expected a label, `nowhere` is not defined", "a name and a colon"),
    ("start: exit\nja strat", 2, "expected a label, `strat` is not defined", "did you mean `start`"),
    ("ja exit", 1, "expected a label, `exit` is not defined", ""),
    ("x: exit\nx: exit", 2, "expected a new label, `x` is defined already", "another name"),
    ("call bpf_fetch_globa", 1, "found `bpf_fetch_globa`", "did you mean `bpf_fetch_global`"),
    ("f: call f", 1, "expected a helper, found `f`", "call local f"),
    ("call 0x100000000", 1, "helper id `0x100000000` is out of range", ""),
    ("call local", 1, "expected `call local function`, found no operands", ""),
    (".quad 1", 1, "expected .bytes and hexadecimal bytes, found `.quad 1`", ".bytes 95"),
    (".bytes 9", 1, "expected .bytes and hexadecimal bytes", ".bytes 95"),
    (".bytes 95\nexit", 2, "expected the end, the slot before this is incomplete", "multiple of 8"),
    ("\udcff", 1, "expected a mnemonic", ""),
    ("a" * 100, 1, "`" + "a" * 40 + "…`", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "line", "detail", "hint"), REFUSED, ids=[ascii(source[:30]) for source, *_ in REFUSED]
)
def test_refusal(source: str, line: int, detail: str, hint: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(source, helpers=HELPERS)
    assert caught.value.where == str(line)
    assert detail in caught.value.detail
    assert "expected" in caught.value.detail
    assert caught.value.hint
    assert hint in caught.value.hint


def test_a_label_too_far_for_a_jump() -> None:
    far = "jeq r1, 0, far\n" + "mov r0, 0\n" * 32768 + "far: exit"
    with pytest.raises(AssemblyError, match="32768 slots away") as caught:
        assemble(far)
    assert (caught.value.where, caught.value.hint) == ("1", "ja32 reaches further")
    assert assemble(far.replace("jeq r1, 0, far", "ja32 far"))[:8].hex() == "0600000000800000"


def test_labels_that_are_called_are_functions() -> None:
    made = assemble_functions("call local f\nja end\nf: mov r0, 1\nend: exit\nalso: exit")
    assert made.text == assemble("call local f\nja end\nf: mov r0, 1\nend: exit\nalso: exit")
    assert made.functions == {2: "f"}
