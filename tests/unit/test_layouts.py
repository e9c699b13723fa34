"""Images with a header: byte-exact examples of each format, what they load to, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from device.errors import LoadError
from device.vm import loader, verifier
from device.vm.layouts import reader
from device.vm.program import Function, Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.elf_objects import call, slot
from tests.headers import BODY, EXIT, MOV, RBPF, UBPF, Header

VARIANTS: Final = ("femto", "sming", "extended")
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def lddwd(dst: int, offset: int, high: int = 0) -> bytes:
    return slot(0xB8, dst, imm=offset) + slot(0, imm=high)


def lddwr(dst: int, offset: int, high: int = 0) -> bytes:
    return slot(0xD8, dst, imm=offset) + slot(0, imm=high)


def refused(image: bytes, **options: Any) -> LoadError:
    with pytest.raises(LoadError) as caught:
        loader.load(image, **options)
    return caught.value


def result(program: Program) -> int | None:
    outcome = SwitchEngine().run(program, Run(build_memory(program, program.fresh_data())))
    assert outcome.fault is None, outcome.fault
    return outcome.r0_signed


# ---- The formats, byte for byte (programs.md section 2.1) ----------------------------------------

EXACT: Final[dict[str, tuple[Header, str]]] = {
    "femto": (
        Header("femto", data=b"DATA\0\0\0\0", rodata=b"hi\0main\0", functions=((3, 0, 8),)),
        "72425046 00000000 00000000 08000000 08000000 10000000 01000000"
        "4441544100000000 6869006d61696e00 b700000007000000 9500000000000000 030000000800",
    ),
    "sming": (
        Header("sming", data=b"DATA\0\0\0\0", bss=12, rodata=b"hi\0main\0", functions=((3, 0, 8),)),
        "72425046 00000000 00000000 08000000 0c000000 08000000 10000000 01000000"
        "4441544100000000 6869006d61696e00 b700000007000000 9500000000000000 030000000800",
    ),
    "extended": (
        Header(
            "extended",
            magic=UBPF,
            rodata=b"mainsub\0",
            text=call(-1) + EXIT + MOV + EXIT,
            functions=((0, 0, 0), (4, 0, 16)),
            calls=((0, 16),),
            helpers=b"\x13\x01",
        ),
        "7b000000 00000000 00000000 00000000 08000000 20000000 02000000 01000000"
        "6d61696e73756200 85100000ffffffff 9500000000000000 b700000007000000 9500000000000000"
        "000000000000 040000001000 0000000010000000 1301",
    ),
}


class TestFormats:
    @each_variant
    def test_bytes(self, variant: str) -> None:
        header, expected = EXACT[variant]
        assert header.build() == bytes.fromhex(expected)
        parts = reader.parse(bytes.fromhex(expected))
        assert parts.layout is Layout(variant)
        assert parts.encode() == bytes.fromhex(expected)

    def test_femto(self) -> None:
        program = loader.load(bytes.fromhex(EXACT["femto"][1]))
        assert (program.data, program.bss_size, program.rodata) == (b"DATA\0\0\0\0", 0, b"hi\0main\0")
        assert (program.text, program.entry) == (BODY, 0)
        assert program.functions == (Function(0, None), Function(1, "main"))
        assert program.declared_helpers is None
        assert result(program) == 7

    def test_sming(self) -> None:
        program = loader.load(bytes.fromhex(EXACT["sming"][1]))
        assert (program.data, program.bss_size) == (b"DATA\0\0\0\0", 12)
        assert program.fresh_data() == b"DATA\0\0\0\0" + bytes(12)
        assert result(program) == 7

    def test_extended(self) -> None:
        """Names end where the next begins, the call is resolved, the list is known."""
        image = bytes.fromhex(EXACT["extended"][1])
        program = loader.load(image)
        assert program.functions == (Function(0, "main"), Function(2, "sub"))
        assert program.text[:8] == call(1)
        assert program.declared_helpers == frozenset({0x01, 0x13})
        assert result(program) == 7
        assert loader.load(image) == program

    def test_an_empty_list_allows_nothing(self) -> None:
        assert loader.load(Header("extended").build()).declared_helpers == frozenset()

    @each_variant
    @pytest.mark.parametrize("magic", [RBPF, UBPF], ids=["rBPF", "123"])
    def test_both_magics(self, variant: str, magic: bytes) -> None:
        assert loader.load(Header(variant, magic=magic).build()).layout is Layout(variant)

    @pytest.mark.parametrize(
        ("functions", "rodata", "names"),
        [
            pytest.param(((0, 0, 0), (2, 0, 8)), b"a\0b\0", {0: "a", 1: "b"}, id="NUL"),
            pytest.param(((0, 0, 0), (1, 0, 8)), b"ab", {0: "a", 1: "b"}, id="next name, end of .rodata"),
            pytest.param(((1, 0, 0), (0, 0, 8)), b"ab", {0: "b", 1: "a"}, id="in another order"),
            pytest.param(((0, 0, 0), (0, 0, 8)), b"ab", {0: "ab", 1: "ab"}, id="two with one name"),
            pytest.param(((0, 0, 0), (1, 0, 0)), b"ab", {0: "a"}, id="two names of one"),
            pytest.param(((1, 0, 0),), b"a\0", {0: None}, id="no name"),
            pytest.param(((0, 0, 0),), b"\xff\0", {0: "\\xff"}, id="no text"),
        ],
    )
    def test_names(
        self, functions: tuple[tuple[int, int, int], ...], rodata: bytes, names: dict[int, str | None]
    ) -> None:
        program = loader.load(Header("femto", functions=functions, rodata=rodata).build())
        assert {function.start: function.name for function in program.functions} == names


class TestBases:
    """What `lddwd` and `lddwr` count from (programs.md section 1.3, section 7's vectors)."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            pytest.param(
                Header("femto", text=lddwr(1, 0) + slot(0x71, 0, 1) + EXIT, rodata=b"ABCDEFGH"),
                0x41,
                id="rodata",
            ),
            pytest.param(
                Header("femto", text=lddwd(1, 0) + slot(0x71, 0, 1) + EXIT, data=b"ABCDEFGH"), 0x41, id="data"
            ),
            pytest.param(
                Header("femto", text=lddwd(1, 2) + slot(0x71, 0, 1) + EXIT, rodata=b"ABCDEFGH"),
                0x43,
                id="literal of µBPF's tool, which writes lddwd",
            ),
            pytest.param(
                Header("sming", text=lddwd(1, 0) + slot(0x71, 0, 1) + EXIT, bss=8, rodata=b"ABCDEFGH"),
                0,
                id="bss",
            ),
            pytest.param(
                Header("extended", text=lddwr(1, 7, -1) + slot(0x71, 0, 1) + EXIT, rodata=b"ABCDEFGH"),
                0x48,
                id="imm_high -1",
            ),
        ],
    )
    def test_load(self, header: Header, expected: int) -> None:
        program = loader.load(header.build())
        assert verifier.verify(program, helpers=()).errors == ()
        assert result(program) == expected


# ---- Refusals (programs.md section 2.3) ----------------------------------------------------------

SUB: Final = Header("extended", text=call(-1) + EXIT + BODY, calls=((0, 16),))
NAMED: Final = Header("femto", rodata=b"main\0", functions=((0, 0, 0),))

REFUSED: Final[dict[str, tuple[bytes, str, str, str]]] = {
    "nothing but a magic": (RBPF, "load-short", "image", "has 4 bytes"),
    "no instruction": (Header("femto").build()[:35], "load-short", "image", "one instruction 36"),
    "version": (Header("femto").lying(version=1), "load-version", "version", "version is 1"),
    "compressed": (Header("femto").lying(flags=1), "load-flags", "flags", "compressed text is not supported"),
    "flag": (Header("extended").lying(flags=0x80), "load-flags", "flags", "flags is 0x80"),
    "empty text": (
        Header("femto", text=b"", data=bytes(8)).build(),
        "load-text",
        "text_len",
        "text_len is 0",
    ),
    "half a slot": (Header("sming", text=BODY[:12]).build(), "load-text", "text_len", "text_len is 12"),
    "a byte too many": (Header("femto").build() + b"\0", "load-length", "header lengths", "has 45 bytes"),
    "cut": (Header("sming").build()[:-1], "load-length", "header lengths", "sming needs 48"),
    "data_len": (Header("femto").lying(data_len=2**32 - 1), "load-length", "data_len", "data_len 4294967295"),
    "rodata_len": (Header("femto").lying(rodata_len=4000), "load-length", "rodata_len", "rodata_len 4000"),
    "text_len": (Header("femto").lying(text_len=4000), "load-length", "text_len", "text_len 4000"),
    "functions": (Header("femto").lying(functions=100), "load-length", "functions", "functions 100"),
    "more helpers than a byte can name": (
        Header("extended", helpers=bytes(257)).build(),
        "load-length",
        "header lengths",
        "extended needs 48 to 304",
    ),
    "more functions than slots": (
        Header("femto", rodata=b"f\0", functions=((0, 0, 0),) * 3).build(),
        "load-length",
        "functions",
        "functions is 3 in the femto header, the text has 2 slots",
    ),
    "more calls than slots": (
        Header("extended", calls=((0, 0),) * 3).build(),
        "load-length",
        "relocated_calls",
        "relocated_calls is 3",
    ),
    "name_offset": (
        replace(NAMED, functions=((5, 0, 0),)).build(),
        "load-function",
        "function 0, name_offset",
        "name_offset is 5, .rodata has 5 bytes",
    ),
    "location_offset": (
        replace(NAMED, functions=((0, 0, 0), (0, 0, 16))).build(),
        "load-function",
        "function 1, location_offset",
        "location_offset is 16, .text has 16 bytes",
    ),
    "location_offset in a slot": (
        replace(NAMED, functions=((0, 0, 4),)).build(),
        "load-function",
        "function 0, location_offset",
        "location_offset is 4, must be a multiple of 8",
    ),
    "flag of a function": (
        replace(NAMED, functions=((0, 2, 0),)).build(),
        "load-flags",
        "function 0, flags",
        "flags is 0x2",
    ),
    "call outside": (
        replace(SUB, calls=((32, 16),)).build(),
        "load-call",
        "relocated call 0, instruction_offset",
        "instruction_offset is 0x20, .text has 32 bytes",
    ),
    "call in a slot": (
        replace(SUB, calls=((4, 16),)).build(),
        "load-call",
        "relocated call 0, instruction_offset",
        "must be a multiple of 8",
    ),
    "callee outside": (
        replace(SUB, calls=((0, 2**32 - 8),)).build(),
        "load-call",
        "relocated call 0, function_text_offset",
        "function_text_offset is 0xfffffff8",
    ),
    "callee in a slot": (
        replace(SUB, calls=((0, 17),)).build(),
        "load-call",
        "relocated call 0, function_text_offset",
        "must be a multiple of 8",
    ),
    "no call": (
        replace(SUB, calls=((8, 16),)).build(),
        "load-call",
        "relocated call 0, instruction_offset",
        "there is opcode 0x95",
    ),
    "call twice": (
        replace(SUB, calls=((0, 16), (0, 16))).build(),
        "load-call",
        "relocated call 1, instruction_offset",
        "another record",
    ),
    "call resolved otherwise": (
        replace(SUB, text=call(0) + EXIT + BODY).build(),
        "load-call",
        "relocated call 0, function_text_offset",
        "has kind 1 and imm 0",
    ),
    "call of a helper": (
        replace(SUB, text=slot(0x85, imm=1) + EXIT + BODY).build(),
        "load-call",
        "relocated call 0, function_text_offset",
        "has kind 0 and imm 1",
    ),
    ".data": (Header("femto", data=bytes(4097)).build(), "load-ram", "data_len", ".data (4097 bytes)"),
    ".bss": (Header("sming", bss=2**32 - 1).build(), "load-ram", "bss_len", ".bss (4294967295)"),
}


class TestRefusals:
    @pytest.mark.parametrize("what", REFUSED)
    def test_refused(self, what: str) -> None:
        image, code, where, message = REFUSED[what]
        error = refused(image)
        assert (error.code, error.where) == (code, where), error.detail
        assert message in error.detail
        assert error.hint

    def test_lengths_say_what_each_variant_needs(self) -> None:
        detail = refused(Header("femto").lying(data_len=8)).detail
        assert "the image has 44 bytes" in detail
        assert "femto needs 52 (data_len 8, rodata_len 0, text_len 16, functions 0)" in detail
        assert "sming needs" in detail
        assert "extended needs" in detail

    @pytest.mark.parametrize(
        ("imm", "src"),
        [
            pytest.param(-1, 0, id="as µBPF's tool leaves it"),
            pytest.param(-1, 1, id="as clang leaves it"),
            pytest.param(1, 1, id="resolved"),
        ],
    )
    def test_calls_that_agree(self, imm: int, src: int) -> None:
        header = replace(SUB, text=slot(0x85, src=src, imm=imm) + EXIT + BODY)
        assert result(loader.load(header.build())) == 7

    def test_a_call_of_itself_is_resolved_already(self) -> None:
        program = loader.load(replace(SUB, calls=((0, 0),)).build())
        assert program.text[:8] == call(-1)

    def test_a_function_that_is_asked_for(self) -> None:
        assert refused(NAMED.build(), entry="main").code == "load-entry"

    def test_slot_size(self) -> None:
        assert refused(NAMED.build(), slot_size=54).code == "load-size"


BUILD: Final[dict[str, Callable[[], bytes]]] = {name: Header(name).build for name in VARIANTS}


class TestDeclared:
    @pytest.mark.parametrize("declared", [None, *Layout])
    @each_variant
    def test_only_what_it_is(self, variant: str, declared: Layout | None) -> None:
        """Sming's header has the code of the other one, so it may be declared as that."""
        image, detected = BUILD[variant](), Layout(variant)
        femto = declared is Layout.FEMTO and detected is Layout.SMING
        if declared in (None, detected) or femto:
            assert loader.load(image, declared=declared).layout is detected
        else:
            error = refused(image, declared=declared)
            assert (error.code, error.where) == ("load-layout", "layout")

    @pytest.mark.parametrize("declared", [Layout.TEXT, Layout.ELF], ids=lambda layout: layout.value)
    def test_a_lying_header_is_no_other_layout(self, declared: Layout) -> None:
        """What is wrong is the declaration, whatever else may be."""
        assert refused(Header("femto").lying(data_len=1), declared=declared).code == "load-layout"
        assert refused(RBPF, declared=declared).code == "load-layout"

    def test_codes(self) -> None:
        assert {layout.value: layout.code for layout in Layout} == {
            "text": 0,
            "femto": 1,
            "sming": 1,
            "extended": 2,
            "elf": 3,
        }
