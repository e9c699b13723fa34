"""`dump --jit`: native code beside what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from client import examples, listing
from client.bench import kernels
from client.cli import cli
from client.listing import Listing, native, side_by_side
from device.vm import asm, disasm, loader
from device.vm.isa import walk
from tests.unit.jit_listing import to_bytes

WORDS = pytest.mark.skipif(not listing.available(), reason="needs capstone")
TEXT = """
    mov r0, 0
    mov r3, 0
here:
    ldxb r4, [r1+2]
    add r0, r4
    add r3, 1
    jlt r3, 100, here
    lddw r4, 0x123456789abcdef0
    xor r0, r4
    exit
"""
NAMES = ["calls", "crc32", "siphash", "sort", "divide", "helper_calls", "small"]


def of(text: str, context: int = 16) -> Listing:
    return native(loader.load(asm.assemble(text)), context)


def object_of(name: str) -> str:
    return str(examples.load()[name].object)


def client(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_the_code_byte_for_byte(name: str) -> None:
    shown = native(kernels.program(name), 256)
    assert b"".join(line.raw for line in shown.lines) == shown.code.text
    offsets = [line.offset for line in shown.lines]
    assert offsets == sorted(set(offsets))
    assert sum(4 for line in shown.lines if line.text.startswith(".word")) == sum(
        n for _, n in shown.code.pools
    )


@WORDS
@pytest.mark.parametrize("name", NAMES)
def test_every_instruction_has_its_words(name: str) -> None:
    assert [line.offset for line in native(kernels.program(name), 256).lines if not line.text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_bytecode_instruction_is_there_and_in_order(name: str) -> None:
    program = kernels.program(name)
    lines = disasm.disassemble(program)
    rows = list(side_by_side(lines, native(program, 256)))
    seen = {row.bytecode.slot for row in rows if row.bytecode is not None}
    assert seen == {slot for slot, _ in walk(program.text)}
    for row in rows:
        if row.native is not None and row.bytecode is not None:
            assert row.native.slot == row.bytecode.slot


def test_code_is_beside_what_it_is_for() -> None:
    shown = of(TEXT)
    by_slot: dict[int | None, list[str]] = {}
    for line in shown.lines:
        by_slot.setdefault(line.slot, []).append(line.text.split(" ")[0].partition(".")[0])
    assert "ldrb" in by_slot[2]
    assert by_slot[3][0].startswith("add")
    assert "cmp" in by_slot[5]
    assert any(name.startswith("eor") for name in by_slot[8])
    assert "push" in by_slot[None]
    assert {line.leaves for line in shown.lines if line.leaves is not None} >= {2}
    assert all(line.raw == to_bytes(0xDE00) for line in shown.lines if line.leaves is not None)


def test_the_context_is_what_code_is_compiled_for() -> None:
    """Two bytes do not have a third one: that access may have to be left to the interpreter."""
    short, long = of(TEXT, 2), of(TEXT, 16)
    leaving = [sum(line.leaves == 2 for line in shown.lines) for shown in (short, long)]
    assert leaving[0] > leaving[1]
    assert len(short.code.text) > len(long.code.text)


@WORDS
def test_the_verb_shows_both_with_source_lines() -> None:
    shown = client("dump", "--jit", "--context-length", "8", object_of("inlined_calls"))
    assert shown.exit_code == 0
    assert "for runs with 8 bytes of context" in shown.stdout
    assert "; inlined_calls.c:" in shown.stdout
    assert "udf #0  ; leaves, to go on at 0" in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("    7  ldxw r1, [r10-20]")]
    assert "ldr" in line


def test_json_has_the_native_code_too() -> None:
    shown = json.loads(client("dump", "--jit", "-o", "json", object_of("add")).stdout)
    code = shown["results"][0]["result"]["native"]
    assert code.keys() == {"context", "size", "literals", "instructions"}
    assert sum(len(line["bytes"]) for line in code["instructions"]) == 2 * code["size"]
    assert {line["slot"] for line in code["instructions"] if "slot" in line}
    plain = json.loads(client("dump", "-o", "json", object_of("add")).stdout)
    assert "native" not in plain["results"][0]["result"]


def test_without_a_disassembler_bytes_are_shown_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.listing.available", lambda: False)
    shown = client("dump", "--jit", object_of("add"))
    assert shown.exit_code == 0
    assert listing.HINT in shown.stderr
    assert "de00" in shown.stdout
    assert "udf" not in shown.stdout


def test_a_refused_program_is_not_compiled(tmp_path: Path) -> None:
    wild = tmp_path / "wild.s"
    wild.write_text("mov r10, 1\nexit\n")
    assert client("dump", str(wild)).exit_code == 0
    refused = client("dump", "--jit", str(wild))
    assert refused.exit_code == 1
    assert "verifier" in refused.stderr
