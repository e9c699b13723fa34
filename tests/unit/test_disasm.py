"""The disassembler: what its lines show, and that no bytes are too odd for it."""

from __future__ import annotations

import pytest

from device.vm.asm import assemble
from device.vm.disasm import DisassembledLine, disassemble, to_source
from device.vm.isa import SLOT_SIZE, Op
from device.vm.program import Function, Layout, Program
from tests.isa_rows import HELPERS, SLOT, each_row, example, program_with

NAMES = {0x13: "bpf_fetch_global", 0x01: "bpf_printf"}


def lines(
    text: str | bytes,
    *,
    functions: tuple[Function, ...] = (),
    sources: dict[int, str] | None = None,
    helpers: dict[int, str] = NAMES,
) -> list[DisassembledLine]:
    raw = assemble(text) if isinstance(text, str) else text
    program = Program(raw, Layout.TEXT, b"", functions=functions, lines=sources or {})
    return disassemble(program, helpers=helpers)


@each_row
def test_every_row_is_shown_as_it_is_written(op: Op) -> None:
    program = program_with(op)
    (line,) = (line for line in disassemble(program) if line.slot == SLOT)
    assert line.text.split()[0] == op.mnemonic.split()[0]
    assert line.raw == assemble(example(op))
    assert line.slots == op.form.slots
    assert line.note is None


@each_row
def test_every_row_assembles_to_the_same_bytes_again(op: Op) -> None:
    program = program_with(op)
    helpers = {name: number for number, name in HELPERS.items()}
    assert assemble(to_source(disassemble(program, helpers=HELPERS)), helpers=helpers) == program.text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("mov r0, 4095", "mov r0, 4095"),
        ("mov r0, 4096", "mov r0, 0x1000"),
        ("mov r0, 0x80000000", "mov r0, -0x80000000"),
        ("lddw r1, 0xffffffffffffffff", "lddw r1, 0xffffffffffffffff"),
        ("lddwd r1, -8", "lddwd r1, -8"),
        ("lddwd r1, 0xfffffff8", "lddwd r1, 0xfffffff8"),
        ("ldxdw r1, [r10]", "ldxdw r1, [r10+0]"),
        ("stxb [r10-8], r1", "stxb [r10-8], r1"),
        ("lock fetch_add32 [r1+8], r2", "lock fetch add32 [r1+8], r2"),
        ("movsx832 r1, r2", "movsx832 r1, r2"),
        ("swap16 r3", "bswap16 r3"),
        ("jeq r1, 0, +5", "jeq r1, 0, +5"),
        ("call 0x60", "call 0x60"),
        ("call 0x13", "call bpf_fetch_global"),
        ("exit", "exit"),
    ],
)
def test_text(source: str, text: str) -> None:
    assert lines(source)[0].text == text


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        ("8d00000000000000", "unknown opcode 0x8d"),
        ("0700010001000000", "add with a field that must be 0"),
        ("0c21000001000000", "add32 with a field that must be 0"),
        ("b70b000001000000", "mov with a field that must be 0"),
        ("bf21050000000000", "mov with field off 5"),
        ("d401000008000000", "le16 with field imm 8"),
        ("8520000000000000", "call with field src 2"),
        ("1801000000000000", "second half of lddw is missing"),
        ("18010000000000009500000000000000", "lddw with a field that must be 0"),
        ("b8010000080000000000000001000000", "lddwd with a field that must be 0"),
        ("95000000", "incomplete slot at the end"),
    ],
)
def test_what_is_no_instruction_is_shown_as_bytes(raw: str, note: str) -> None:
    (line,) = lines(bytes.fromhex(raw))
    assert (line.text, line.note) == (f".bytes {raw}", note)
    assert assemble(to_source([line])).hex() == raw


def test_labels_names_and_sources() -> None:
    shown = lines(
        "jeq r1, 0, a\ncall 0x13\ncall local f\na: ja b\nb: exit\nf: lddw r0, 1\nja -4\nexit",
        functions=(Function(0, "main"), Function(5, "double")),
        sources={0: "a.c:1", 4: "a.c:7"},
    )
    assert [(line.slot, line.label, line.text, line.note, line.source) for line in shown] == [
        (0, "main", "jeq r1, 0, L3", None, "a.c:1"),
        (1, None, "call bpf_fetch_global", "0x13", None),
        (2, None, "call local double", None, None),
        (3, "L3", "ja L4", None, None),
        (4, "L4", "exit", None, "a.c:7"),
        (5, "double", "lddw r0, 1", None, None),
        (7, None, "ja L4", None, None),
        (8, None, "exit", None, None),
    ]


def test_a_function_without_a_name_gets_one() -> None:
    assert [line.label for line in lines("call local f\nexit\nf: exit")] == [None, None, "fn_2"]


@pytest.mark.parametrize(
    ("source", "text"),
    [("ja +1\nlddw r0, 1", "ja +1"), ("ja +1\nexit", "ja +1"), ("ja -2\nexit", "ja -2")],
    ids=["into a second half", "past the end", "before the start"],
)
def test_targets_that_are_no_instruction_stay_distances(source: str, text: str) -> None:
    assert lines(source)[0].text == text


@pytest.mark.parametrize(
    "functions",
    [
        (Function(0, "L2"), Function(3, "L2_")),
        (Function(0, "same"), Function(2, "same")),
        (Function(0, "no label"), Function(2, "1x")),
        (Function(0, ""), Function(2, None)),
        (Function(-1, "a"), Function(99, "b")),
        (Function(2, "r1"), Function(3, "exit")),
        (Function(2, "a\nexit"), Function(3, "a;b")),
    ],
    ids=["like a label", "twice", "with spaces", "without name", "outside", "reserved", "hostile"],
)
def test_names_never_break_the_text(functions: tuple[Function, ...]) -> None:
    source = "jeq r1, r2, +1\ncall local +0\njne r1, 1, -1\nexit"
    assert assemble(to_source(lines(source, functions=functions))) == assemble(source)


@pytest.mark.parametrize(
    "helpers",
    [{0x13: "a", 0x14: "a"}, {0x13: "two words"}, {0x13: "local"}, {0x13: "Helper"}, {0x13: ""}],
    ids=["ambiguous", "spaces", "local", "helper", "empty"],
)
def test_helper_names_that_cannot_be_written(helpers: dict[int, str]) -> None:
    assert lines("call 0x13\nexit", helpers=helpers)[0].text == "call 0x13"


def test_a_line_as_people_see_it() -> None:
    (line, _) = lines("lddw r1, 0x1122334455667788\nexit", sources={0: "a.c:3"})
    assert str(line) == ("    0  1801000088776655 0000000044332211  lddw r1, 0x1122334455667788     ; a.c:3")
    assert line.hex == "1801000088776655 0000000044332211"


def test_all_bytes_are_shown_once() -> None:
    raw = bytes(range(256)) * 3 + b"\x18"
    shown = lines(raw)
    assert b"".join(line.raw for line in shown) == raw
    assert [line.slot for line in shown][-1] == len(raw) // SLOT_SIZE
