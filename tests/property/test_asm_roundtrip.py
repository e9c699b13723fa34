"""Assembler and disassembler undo each other, and neither is ever surprised."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import AssemblyError
from device.vm.asm import assemble
from device.vm.disasm import disassemble, to_source
from device.vm.isa import BY_OPCODE, TABLE, Slot
from device.vm.program import Function, Layout, Program

NAMES = {0x01: "bpf_printf", 0x13: "bpf_fetch_global", 0x60: "bpf_ztimer_now"}
IDS = {name: number for number, name in NAMES.items()}

SMALL = st.integers(-4, 4)
OFFSETS = st.one_of(SMALL, st.integers(-(2**15), 2**15 - 1))
IMMEDIATES = st.one_of(SMALL, st.sampled_from([8, 16, 32, 64, 0x13, -1]), st.integers(-(2**31), 2**31 - 1))
SLOTS = st.builds(
    Slot,
    st.one_of(st.sampled_from(sorted(BY_OPCODE)), st.integers(0, 255), st.just(0)),
    st.one_of(st.just(0), st.integers(0, 15)),
    st.one_of(st.just(0), st.integers(0, 15)),
    st.one_of(st.just(0), OFFSETS),
    st.one_of(st.just(0), IMMEDIATES),
)
TEXTS = st.one_of(
    st.binary(max_size=200), st.lists(SLOTS, max_size=30).map(lambda slots: b"".join(s.pack() for s in slots))
)
FUNCTIONS = st.lists(
    st.builds(Function, st.integers(-1, 20), st.one_of(st.none(), st.text(max_size=6), st.just("L3"))),
    max_size=4,
).map(tuple)

MNEMONIC_WORDS = sorted({word for op in TABLE for word in op.mnemonic.split()})
OPERANDS = ["r1", "%r10", "r11", "[r1+8]", "[r10-8]", "0x10", "-1", "+3", "label"]
MARKS = [",", ":", ";", "label:", ".bytes", "95"]
WORDS = st.sampled_from(MNEMONIC_WORDS + OPERANDS + MARKS)
SOURCES = st.one_of(
    st.text(),
    st.lists(st.one_of(WORDS, st.sampled_from([" ", ", ", "\n", "\n"])), max_size=40).map(" ".join),
    st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=20).map("".join),
)


@settings(max_examples=500)
@given(TEXTS, FUNCTIONS)
def test_any_bytes_come_back(text: bytes, functions: tuple[Function, ...]) -> None:
    shown = disassemble(Program(text, Layout.TEXT, b"", functions=functions), helpers=NAMES)
    assert b"".join(line.raw for line in shown) == text
    assert assemble(to_source(shown), helpers=IDS) == text


@settings(max_examples=500)
@given(SOURCES)
def test_any_text_is_bytes_or_an_assembly_error(source: str) -> None:
    outcome = assembled(source)
    if isinstance(outcome, AssemblyError):
        assert 1 <= int(outcome.where) <= source.count("\n") + 1
        assert outcome.detail
        assert outcome.hint
    else:
        shown = disassemble(Program(outcome, Layout.TEXT, b""))
        assert assemble(to_source(shown)) == outcome


def assembled(source: str) -> bytes | AssemblyError:
    try:
        return assemble(source, helpers=IDS)
    except AssemblyError as error:
        return error
