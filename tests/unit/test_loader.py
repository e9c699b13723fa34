"""The loader: layouts, placement, every relocation kind, the entry, and every refusal with its id."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from client.build import compile_source, compilers
from device.errors import LoadError
from device.vm import loader
from device.vm.memory import DATA_BASE, RODATA_BASE
from device.vm.program import Function, Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.elf_objects import (
    ABS,
    ALLOC,
    COMMON,
    EXEC,
    EXIT,
    LOCAL,
    NOBITS,
    NOTYPE,
    OBJECT,
    SECTION,
    WEAK,
    WRITE,
    Obj,
    call,
    lddw,
    minimal,
    mov,
    slot,
)
from tests.timing import best_of

needs_compiler = pytest.mark.skipif(
    not compilers(), reason="no clang and no ziglang: objects of a real compiler were NOT loaded"
)

R64_64, ABS64, ABS32, NODYLD32, R64_32 = 1, 2, 3, 4, 10


def refused(image: bytes, **options: object) -> LoadError:
    with pytest.raises(LoadError) as caught:
        loader.load(image, **options)  # type: ignore[arg-type]  # a table of keyword arguments
    assert caught.value.where
    assert caught.value.hint
    return caught.value


def result(program: Program) -> int | None:
    """r0 of a run without helpers and context."""
    outcome = SwitchEngine().run(program, Run(build_memory(program, program.fresh_data())))
    assert outcome.fault is None, outcome.fault
    return outcome.r0_signed


def imm(program: Program, index: int) -> int:
    """The imm field of a slot of the linked text."""
    (value,) = struct.unpack_from("<i", program.text, 8 * index + 4)
    return int(value)


# ---- Layouts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "layout"),
    [
        pytest.param(minimal().build(), Layout.ELF, id="object"),
        pytest.param(b"\x7fELF", Layout.ELF, id="only the magic"),
        pytest.param(EXIT, Layout.TEXT, id="exit"),
        pytest.param(b"", Layout.TEXT, id="nothing"),
        pytest.param(b"\x7fEL", Layout.TEXT, id="part of a magic"),
        pytest.param(b"\x72\x42\x50", Layout.TEXT, id="part of another"),
        pytest.param(bytes.fromhex("efbeadde") + bytes(40), Layout.TEXT, id="unknown magic"),
    ],
)
def test_detection(image: bytes, layout: Layout) -> None:
    assert loader.detect_layout(image) is layout


@pytest.mark.parametrize(
    ("image", "declared", "code", "message"),
    [
        pytest.param(EXIT, Layout.ELF, "load-layout", "declared elf, the bytes are text", id="text as elf"),
        pytest.param(
            minimal().build(),
            Layout.TEXT,
            "load-layout",
            "declared text, the bytes are elf",
            id="elf as text",
        ),
        pytest.param(
            minimal().build(),
            Layout.FEMTO,
            "load-layout",
            "declared femto, the bytes are elf",
            id="elf as femto",
        ),
        pytest.param(
            bytes.fromhex("efbeadde") + EXIT,
            Layout.FEMTO,
            "load-magic",
            "magic is 0xdeadbeef",
            id="unknown magic",
        ),
        pytest.param(EXIT, Layout.EXTENDED, "load-magic", "magic is 0x00000095", id="text as extended"),
    ],
)
def test_declared_layouts(image: bytes, declared: Layout, code: str, message: str) -> None:
    error = refused(image, declared=declared)
    assert error.code == code
    assert message in error.detail


def test_right_declarations() -> None:
    assert loader.load(EXIT, declared=Layout.TEXT).layout is Layout.TEXT
    assert loader.load(minimal().build(), declared=Layout.ELF).layout is Layout.ELF


class TestText:
    def test_program(self) -> None:
        program = loader.load(mov(0, 7) + EXIT)
        assert program == Program(
            text=mov(0, 7) + EXIT,
            layout=Layout.TEXT,
            digest=hashlib.sha256(mov(0, 7) + EXIT).digest(),
            functions=(Function(0, None),),
        )
        assert result(program) == 7

    def test_targets_of_local_calls_are_functions(self) -> None:
        text = call(1) + EXIT + mov(0, 5) + EXIT
        assert loader.load(text).functions == (Function(0, None), Function(2, None))

    def test_targets_outside_are_none(self) -> None:
        """They are the verifier's finding (`call-range`)."""
        text = call(100) + call(-100) + slot(0x85, imm=1) + EXIT
        assert loader.load(text).functions == (Function(0, None),)

    @pytest.mark.parametrize("length", [1, 5, 7, 9, 12])
    def test_odd_lengths_are_the_verifiers(self, length: int) -> None:
        """`text-len`, as the profile vectors have it."""
        assert loader.load((EXIT + EXIT)[:length]).text == (EXIT + EXIT)[:length]

    def test_has_no_names(self) -> None:
        error = refused(EXIT, entry="main")
        assert (error.code, "'main'" in error.detail) == ("load-entry", True)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(b"", "the image has 0 bytes", id="nothing"),
        pytest.param(b"\x7fELF", "the image has 4 bytes, an ELF header and one instruction 72", id="magic"),
        pytest.param(minimal().build()[:71], "the image has 71 bytes", id="header and a bit"),
    ],
)
def test_short(image: bytes, message: str) -> None:
    error = refused(image)
    assert error.code == "load-short"
    assert message in error.detail


def test_larger_than_the_slot() -> None:
    image = minimal().build()
    assert loader.load(image, slot_size=len(image)).slots == 2
    error = refused(image, slot_size=len(image) - 1)
    assert error.code == "load-size"
    assert f"the image has {len(image)} bytes, the slot {len(image) - 1}" in error.detail


def test_the_digest_is_of_the_image() -> None:
    image = minimal().build()
    assert loader.load(image).digest == hashlib.sha256(image).digest()


def test_loading_again_gives_the_same() -> None:
    """The stored bytes are never patched."""
    image = _linked_object().build()
    copy = bytes(bytearray(image))
    assert loader.load(image) == loader.load(image)
    assert image == copy


# ---- Placement -----------------------------------------------------------------------------------


class TestPlacement:
    def test_text_first_then_header_order(self) -> None:
        obj = Obj()
        obj.symbol("late", obj.text(mov(0, 2) + EXIT, "b.late"))
        obj.symbol("early", obj.text(mov(0, 3) + EXIT, "a.early"))
        obj.symbol("main", obj.text(mov(0, 1) + EXIT))
        program = loader.load(obj.build())
        assert program.text == b"".join(mov(0, value) + EXIT for value in (1, 2, 3))
        assert program.functions == (Function(0, "main"), Function(2, "late"), Function(4, "early"))

    def test_rodata_first_then_header_order_each_aligned(self) -> None:
        obj = minimal()
        obj.rodata(b"abc", ".rodata.str1.1")
        obj.rodata(b"de", ".rodata", align=4)
        obj.rodata(b"fghijklm", ".rodata.cst8", align=8)
        program = loader.load(obj.build())
        assert program.rodata == b"de" + b"abc" + bytes(3) + b"fghijklm"

    def test_data_then_bss_then_common(self) -> None:
        obj = minimal()
        obj.bss(3, align=1)
        obj.data(b"a", ".data", align=1)
        obj.data(b"bcde", "license", align=4)
        obj.symbol("shared", COMMON, 8, type=OBJECT, size=5)
        program = loader.load(obj.build())
        assert program.data == b"a\0\0\0bcde"
        assert program.bss_size == 3 + 5 + 5
        assert program.fresh_data() == b"a\0\0\0bcde" + bytes(13)

    def test_eh_frame_and_debug_information_stay_out(self) -> None:
        obj = minimal()
        obj.rodata(b"unwind", ".eh_frame")
        obj.section(".debug_info", b"debug", 0)
        program = loader.load(obj.build())
        assert (program.rodata, program.data, program.bss_size) == (b"", b"", 0)

    def test_half_a_slot_at_the_end_is_the_verifiers(self) -> None:
        obj = Obj()
        obj.symbol("main", obj.text(EXIT + bytes(3)))
        assert loader.load(obj.build()).text == EXIT + bytes(3)

    def test_half_a_slot_before_other_code(self) -> None:
        obj = Obj()
        obj.symbol("main", obj.text(EXIT + bytes(3)))
        obj.text(EXIT, "more")
        error = refused(obj.build())
        assert (error.code, "more would start at byte 11" in error.detail) == ("load-elf", True)


class TestRam:
    def test_limit(self) -> None:
        obj = minimal()
        obj.data(bytes(96))
        obj.bss(4000)
        assert loader.load(obj.build()).bss_size == 4000
        error = refused(obj.build(), ram_limit=4095)
        assert error.code == "load-ram"
        assert ".data and .bss need 4096 bytes, the device has 4095" in error.detail

    @pytest.mark.parametrize("size", [4097, 2**31, 2**63, 2**64 - 1])
    def test_is_checked_before_anything_is_allocated(self, size: int) -> None:
        obj = minimal()
        obj.bss(size, align=1)
        error = refused(obj.build())
        assert (error.code, f"need {size} bytes" in error.detail) == ("load-ram", True)

    def test_padding_counts(self) -> None:
        obj = minimal()
        obj.data(b"x", align=1)
        obj.bss(1, align=4096)
        assert "need 4097 bytes" in refused(obj.build()).detail

    def test_common_symbols_count(self) -> None:
        obj = minimal()
        obj.symbol("huge", COMMON, 1, type=OBJECT, size=2**40)
        assert refused(obj.build()).code == "load-ram"

    def test_alignment_of_a_common_symbol(self) -> None:
        obj = minimal()
        obj.symbol("odd", COMMON, 2**40, type=OBJECT, size=1)
        error = refused(obj.build())
        assert (error.code, "odd: alignment is 1099511627776" in error.detail) == ("load-elf", True)

    def test_read_only_data_is_not_ram(self) -> None:
        obj = minimal()
        obj.rodata(bytes(10_000))
        assert len(loader.load(obj.build()).rodata) == 10_000


# ---- Relocations ---------------------------------------------------------------------------------


def _address_in(section: Callable[[Obj], int], value: int, addend: int, *, named: bool) -> Program:
    """A program whose first instruction loads the address of a place in a section."""
    obj = Obj()
    text = obj.text(lddw(1, addend) + EXIT)
    obj.symbol("main", text)
    index = section(obj)
    symbol = obj.symbol("thing", index, value, type=OBJECT) if named else obj.section_symbol(index)
    obj.rel(text, (0, R64_64, symbol))
    return loader.load(obj.build())


SECTIONS = [
    pytest.param(lambda obj: obj.rodata(bytes(64)), RODATA_BASE, id="rodata"),
    pytest.param(lambda obj: obj.rodata(bytes(64), ".rodata.str1.1"), RODATA_BASE, id="strings"),
    pytest.param(lambda obj: obj.data(bytes(64)), DATA_BASE, id="data"),
    pytest.param(lambda obj: obj.bss(64), DATA_BASE, id="bss"),
]


class TestAddresses:
    """Type 1 (64_64) on lddw."""

    @pytest.mark.parametrize(("section", "base"), SECTIONS)
    def test_named(self, section: Callable[[Obj], int], base: int) -> None:
        assert imm(_address_in(section, 24, 0, named=True), 0) == base + 24

    @pytest.mark.parametrize(("section", "base"), SECTIONS)
    def test_through_the_section_symbol(self, section: Callable[[Obj], int], base: int) -> None:
        assert imm(_address_in(section, 0, 40, named=False), 0) == base + 40

    def test_symbol_and_addend_add_up(self) -> None:
        program = _address_in(lambda obj: obj.data(bytes(64)), 16, -8, named=True)
        assert imm(program, 0) == DATA_BASE + 8

    def test_the_upper_half_becomes_0(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1, 4, high=-1) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, R64_64, obj.section_symbol(obj.data(bytes(8)))))
        assert loader.load(obj.build()).text[:16] == lddw(1, DATA_BASE + 4)

    def test_the_second_section_of_its_kind(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + lddw(2) + EXIT)
        obj.symbol("main", text)
        obj.data(bytes(10), align=1)
        data, bss = obj.data(bytes(8), "more"), obj.bss(8, align=32)
        obj.rel(text, (0, R64_64, obj.section_symbol(data)), (16, R64_64, obj.section_symbol(bss)))
        program = loader.load(obj.build())
        assert (imm(program, 0), imm(program, 2)) == (DATA_BASE + 16, DATA_BASE + 32)

    def test_common_symbols(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + lddw(2, 2) + EXIT)
        obj.symbol("main", text)
        obj.bss(6, align=1)
        first = obj.symbol("first", COMMON, 8, type=OBJECT, size=4)
        second = obj.symbol("second", COMMON, 4, type=OBJECT, size=4)
        obj.rel(text, (0, R64_64, first), (16, R64_64, second))
        program = loader.load(obj.build())
        assert (imm(program, 0), imm(program, 2)) == (DATA_BASE + 8, DATA_BASE + 12 + 2)
        assert program.bss_size == 16

    def test_in_code_of_another_section(self) -> None:
        obj = Obj()
        obj.symbol("main", obj.text(mov(0, 1) + EXIT))
        other = obj.text(mov(0, 1) + lddw(1) + EXIT, "other")
        obj.rel(other, (8, R64_64, obj.section_symbol(obj.rodata(b"x"))))
        program = loader.load(obj.build())
        assert (imm(program, 0), imm(program, 2), imm(program, 3)) == (1, 1, RODATA_BASE)

    def test_one_past_the_end_is_a_place(self) -> None:
        assert imm(_address_in(lambda obj: obj.data(bytes(8)), 8, 0, named=True), 0) == DATA_BASE + 8


class TestPointers:
    """Types 1 and 2 (64_ABS64) and 3 (64_ABS32) in data and read-only data."""

    @pytest.mark.parametrize(("kind", "size"), [(R64_64, 8), (ABS64, 8), (ABS32, 4)])
    @pytest.mark.parametrize("place", ["data", "rodata"])
    @pytest.mark.parametrize(("addend", "value"), [(0, 0), (3, 0), (0, 5), (3, 5)])
    def test_symbol_plus_what_is_there(
        self, kind: int, size: int, place: str, addend: int, value: int
    ) -> None:
        obj = minimal()
        content = b"\xaa" * 4 + addend.to_bytes(size, "little") + b"\xbb" * 4
        section = obj.data(content) if place == "data" else obj.rodata(content)
        strings = obj.rodata(b"0123456789", ".rodata.str1.1", align=16)
        obj.rel(section, (4, kind, obj.symbol("text", strings, value, type=OBJECT)))
        program = loader.load(obj.build())
        linked = program.data if place == "data" else program.rodata
        pointer = RODATA_BASE + (0 if place == "data" else 16) + addend + value
        assert linked[: size + 8] == b"\xaa" * 4 + pointer.to_bytes(size, "little") + b"\xbb" * 4

    def test_to_itself(self) -> None:
        obj = minimal()
        data = obj.data(bytes(16))
        obj.rel(data, (8, ABS64, obj.symbol("head", data, 8, type=OBJECT)))
        assert loader.load(obj.build()).data[8:] == (DATA_BASE + 8).to_bytes(8, "little")

    def test_negative_addends_wrap(self) -> None:
        obj = minimal()
        data = obj.data((2**64 - 4).to_bytes(8, "little") + (2**32 - 4).to_bytes(4, "little"))
        symbol = obj.symbol("mid", data, 8, type=OBJECT)
        obj.rel(data, (0, ABS64, symbol), (8, ABS32, symbol))
        pointer = DATA_BASE + 4
        assert loader.load(obj.build()).data == pointer.to_bytes(8, "little") + pointer.to_bytes(4, "little")

    def test_to_common_symbols(self) -> None:
        obj = minimal()
        data = obj.data(bytes(8))
        obj.rel(data, (0, ABS64, obj.symbol("shared", COMMON, 4, type=OBJECT, size=4)))
        assert loader.load(obj.build()).data == (DATA_BASE + 8).to_bytes(8, "little")


class TestCalls:
    """Type 10 (64_32) on call."""

    def test_global_function_of_the_same_section(self) -> None:
        obj = Obj()
        text = obj.text(call() + EXIT + mov(0, 5) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, R64_32, obj.symbol("five", text, 16)))
        program = loader.load(obj.build())
        assert program.text[:8] == call(1)
        assert result(program) == 5

    @pytest.mark.parametrize("source", [0, 1])
    def test_function_of_another_section(self, source: int) -> None:
        obj = Obj()
        other = obj.text(mov(0, 1) + EXIT + mov(0, 6) + EXIT, "other")
        text = obj.text(mov(0, 0) + slot(0x85, src=source, imm=-1) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (8, R64_32, obj.symbol("six", other, 16)))
        program = loader.load(obj.build())
        assert program.text[8:16] == call(3)
        assert result(program) == 6

    def test_backwards(self) -> None:
        obj = Obj()
        text = obj.text(mov(0, 9) + EXIT)
        main = obj.text(call() + EXIT, "other")
        nine = obj.symbol("nine", text, bind=LOCAL)
        obj.symbol("main", main)
        obj.rel(main, (0, R64_32, nine))
        program = loader.load(obj.build())
        assert program.text[16:24] == call(-3)
        assert (program.entry, result(program)) == (2, 9)

    def test_static_function_through_the_section_symbol(self) -> None:
        """clang gives the place in imm: slot 2 of `other` is imm 1."""
        obj = Obj()
        text = obj.text(call(1) + EXIT)
        other = obj.text(mov(0, 1) + EXIT + mov(0, 8) + EXIT, "other")
        obj.symbol("main", text)
        obj.rel(text, (0, R64_32, obj.section_symbol(other)))
        program = loader.load(obj.build())
        assert result(program) == 8
        assert program.functions == (Function(0, "main"), Function(4, None))

    def test_static_function_of_the_same_section_needs_none(self) -> None:
        obj = Obj()
        text = obj.text(call(1) + EXIT + mov(0, 4) + EXIT)
        obj.symbol("main", text)
        obj.symbol("four", text, 16, bind=LOCAL)
        program = loader.load(obj.build())
        assert result(program) == 4
        assert program.functions == (Function(0, "main"), Function(2, "four"))

    def test_other_fields_stay_for_the_verifier(self) -> None:
        obj = Obj()
        text = obj.text(slot(0x85, dst=3, src=1, off=7, imm=-1) + EXIT)
        obj.rel(text, (0, R64_32, obj.symbol("main", text)))
        assert loader.load(obj.build()).text[:8] == slot(0x85, dst=3, src=1, off=7, imm=-1)

    @pytest.mark.parametrize(
        ("value", "addend", "shown"),
        [
            pytest.param(0, 1, "instruction 2 of .text, which has 2", id="first of the next section"),
            pytest.param(16, -1, "instruction 2 of .text, which has 2", id="symbol at the end"),
            pytest.param(0, -2, "instruction -1 of .text, which has 2", id="before the section"),
            pytest.param(0, 2**31 - 1, "instruction 2147483648", id="farthest ahead"),
            pytest.param(0, -(2**31), "instruction -2147483647", id="farthest back"),
        ],
    )
    @pytest.mark.parametrize("kind", [NOTYPE, SECTION])
    def test_targets_outside_the_symbols_section(
        self, value: int, addend: int, shown: str, kind: int
    ) -> None:
        obj = Obj()
        obj.symbol("zero", obj.text(mov(0, 98) + EXIT, "before"))
        text = obj.text(call(addend) + EXIT)
        obj.symbol("after", obj.text(mov(0, 99) + EXIT, "after"))
        obj.symbol("main", text)
        obj.rel(text, (0, R64_32, obj.symbol("symbol", text, value, type=kind, bind=LOCAL)))
        error = refused(obj.build())
        assert (error.code, error.where) == ("load-reloc", ".text+0x0")
        assert f"call to {shown}" in error.detail

    def test_the_last_instruction_of_the_section(self) -> None:
        obj = Obj()
        text = obj.text(call(0) + EXIT)
        obj.symbol("after", obj.text(mov(0, 99) + EXIT, "after"))
        obj.rel(text, (0, R64_32, obj.symbol("main", text)))
        assert loader.load(obj.build()).functions[1].start == 1


class TestIgnored:
    def test_type_4(self) -> None:
        obj = minimal()
        obj.rel(1, (0, NODYLD32, 1), (2**40, NODYLD32, 1))
        assert loader.load(obj.build()).text == mov(0, 7) + EXIT

    @pytest.mark.parametrize("symbol", [0, 9, 2**32 - 1])
    def test_type_4_of_no_symbol(self, symbol: int) -> None:
        obj = minimal()
        obj.rel(1, (0, NODYLD32, symbol))
        assert loader.load(obj.build()).text == mov(0, 7) + EXIT

    def test_sections_that_are_not_loaded(self) -> None:
        obj = minimal()
        debug = obj.section(".debug_line", bytes(8), 0)
        frame = obj.rodata(bytes(8), ".eh_frame")
        obj.rel(debug, (2**40, 99, 0))
        obj.rel(frame, (2**40, 99, 0))
        assert loader.load(obj.build()).rodata == b""


def _linked_object() -> Obj:
    """Everything at once: 3 functions in 2 sections, strings, pointers, bss."""
    obj = Obj()
    text = obj.text(
        lddw(1) + slot(0x79, 1, 1) + slot(0x71, 0, 1) + slot(0xBF, 6, 0) + call() + slot(0x0F, 0, 6) + EXIT
    )
    other = obj.text(lddw(1) + slot(0x62, 1, off=4, imm=100) + slot(0x61, 0, 1, off=4) + EXIT, "other")
    data, bss, strings = obj.data(bytes(8)), obj.bss(8), obj.rodata(b"A\0B\0", ".rodata.str1.1")
    obj.symbol("main", text)
    obj.rel(text, (0, R64_64, obj.section_symbol(data)), (40, R64_32, obj.symbol("hundred", other)))
    obj.rel(other, (0, R64_64, obj.symbol("counter", bss, type=OBJECT, size=8)))
    obj.rel(data, (0, ABS64, obj.symbol("letter", strings, 2, bind=LOCAL, type=OBJECT)))
    return obj


def test_all_of_it_runs() -> None:
    assert result(loader.load(_linked_object().build())) == ord("B") + 100


def _in_text(kind: int, offset: int = 0, *, symbol: str = "data", content: bytes | None = None) -> bytes:
    obj = Obj()
    text = obj.text(lddw(1) + call() + EXIT if content is None else content)
    data = obj.data(bytes(16))
    debug = obj.section(".debug_str", bytes(16), 0)
    symbols = {
        "data": obj.symbol("data", data, type=OBJECT),
        "function": obj.symbol("function", text),
        "half": obj.symbol("half", text, 4),
        "beyond": obj.symbol("beyond", data, 17, type=OBJECT),
        "far": obj.symbol("far", text, 2**63, bind=LOCAL),
        "missing": obj.symbol("missing", 0, type=NOTYPE),
        "absolute": obj.symbol("absolute", ABS, 4096, type=NOTYPE),
        "extended": obj.symbol("extended", 0xFFFF, type=NOTYPE),
        "debug": obj.symbol("debug", debug, type=OBJECT),
    }
    obj.rel(text, (offset, kind, symbols[symbol]))
    return obj.build()


def _in_data(kind: int, offset: int = 0, *, symbol: str = "data", where: str = "data") -> bytes:
    obj = minimal()
    sections = {"data": obj.data(bytes(16)), "rodata": obj.rodata(bytes(16)), "bss": obj.bss(16)}
    symbols = {
        "data": obj.symbol("data", sections["data"], type=OBJECT),
        "function": obj.symbol("function", 1),
        "missing": obj.symbol("missing", 0, type=NOTYPE),
        "beyond": obj.symbol("beyond", sections["data"], 2**64 - 1, type=OBJECT),
    }
    obj.rel(sections[where], (offset, kind, symbols[symbol]))
    return obj.build()


RELOC = [
    pytest.param(_in_text(R64_64, symbol="function"), "address of function function", id="function pointer"),
    pytest.param(
        _in_text(R64_64, 16), "type is 1 on opcode 0x85 at insn #2 (offset 0x10)", id="address in a call"
    ),
    pytest.param(_in_text(R64_64, 8), "type is 1 on opcode 0x00", id="address in a second half"),
    pytest.param(_in_text(R64_64, 4), "r_offset is 0x4, which is no instruction", id="in mid-slot"),
    pytest.param(_in_text(R64_64, 32), "r_offset is 0x20", id="just outside"),
    pytest.param(_in_text(R64_64, 2**63), "r_offset is 0x8000000000000000", id="far outside"),
    pytest.param(_in_text(R64_64, 2**64 - 8), "r_offset is 0xfffffffffffffff8", id="before, if it wrapped"),
    pytest.param(
        _in_text(R64_64, 8, content=EXIT + lddw(1)[:8]), "type is 1 on opcode 0x18", id="lddw cut in half"
    ),
    pytest.param(
        _in_text(R64_64, symbol="beyond"), "beyond: st_value is 0x11, .data has 16", id="no such place"
    ),
    pytest.param(_in_text(R64_32, symbol="function"), "type is 10 on opcode 0x18", id="call of an lddw"),
    pytest.param(_in_text(R64_32, 16), "call to data at 0x0 of .data: no code there", id="call of data"),
    pytest.param(_in_text(R64_32, 16, symbol="half"), "call to half at 0x4", id="call into mid-slot"),
    pytest.param(
        _in_text(R64_32, 16, symbol="far"), "far: st_value is 0x8000000000000000", id="call of nothing"
    ),
    pytest.param(
        _in_text(R64_32, 8, symbol="function", content=EXIT + call(-(2**31))),
        "call to instruction -2147483647 of .text, which has 2",
        id="too far",
    ),
    pytest.param(_in_text(ABS64), "type is 2 on opcode 0x18", id="pointer in code"),
    pytest.param(_in_text(ABS32), "type is 3 on opcode 0x18", id="short pointer in code"),
    pytest.param(_in_text(0), "type is 0", id="no type"),
    pytest.param(_in_text(5), "type is 5", id="unknown type in code"),
    pytest.param(_in_text(2**32 - 1), "type is 4294967295", id="greatest type"),
    pytest.param(_in_data(R64_32), "type is 10, which has no place in .data", id="call in data"),
    pytest.param(
        _in_data(77, where="rodata"), "type is 77, which has no place in .rodata", id="unknown in rodata"
    ),
    pytest.param(_in_data(ABS64, where="bss"), "type is 2, which has no place in .bss", id="pointer in bss"),
    pytest.param(_in_data(ABS64, symbol="function"), "address of function function", id="function table"),
    pytest.param(_in_data(ABS64, 9), "r_offset is 0x9 for 8 bytes, the section has 16", id="across the end"),
    pytest.param(_in_data(ABS32, 13), "r_offset is 0xd for 4 bytes", id="short across the end"),
    pytest.param(_in_data(ABS64, 2**64 - 8), "r_offset is 0xfffffffffffffff8", id="data far outside"),
    pytest.param(_in_data(ABS64, symbol="beyond"), "st_value is 0xffffffffffffffff", id="no such data"),
]


@pytest.mark.parametrize(("image", "message"), RELOC)
def test_refused_relocations(image: bytes, message: str) -> None:
    error = refused(image)
    assert error.code == "load-reloc"
    assert message in error.detail
    assert "+0x" in error.where


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(_in_text(R64_64, symbol="missing"), "missing is not defined", id="address"),
        pytest.param(_in_text(R64_32, 16, symbol="missing"), "missing is not defined", id="call"),
        pytest.param(_in_data(ABS64, symbol="missing"), "missing is not defined", id="pointer"),
        pytest.param(_in_text(R64_64, symbol="absolute"), "absolute is a number, 0x1000", id="absolute"),
        pytest.param(_in_text(R64_64, symbol="extended"), "st_shndx 0xffff", id="extended index"),
        pytest.param(
            _in_text(R64_64, symbol="debug"), "debug lies in .debug_str, which is not loaded", id="debug"
        ),
    ],
)
def test_undefined_symbols(image: bytes, message: str) -> None:
    error = refused(image)
    assert error.code == "load-symbol"
    assert message in error.detail


def test_relocation_of_a_missing_symbol() -> None:
    obj = minimal()
    obj.rel(1, (0, R64_32, 50))
    assert refused(obj.build()).code == "load-elf"


@pytest.mark.parametrize("kind", [0, 5, 77])
@pytest.mark.parametrize("symbol", [0, 50])
def test_unknown_relocation_of_a_missing_symbol(kind: int, symbol: int) -> None:
    obj = minimal()
    data = obj.data(bytes(8))
    for target in (1, data):
        obj.rel(target, (0, kind, symbol))
        assert refused(obj.build()).code == "load-reloc"


def test_common_code_is_none() -> None:
    obj = Obj()
    text = obj.text(call() + EXIT)
    obj.symbol("main", text)
    obj.rel(text, (0, R64_32, obj.symbol("shared", COMMON, 8, type=OBJECT, size=8)))
    assert refused(obj.build()).code == "load-symbol"


# ---- Entry and functions -------------------------------------------------------------------------

BODY = mov(0, 1) + EXIT


def _functions(*symbols: tuple[str, str, int], **options: int) -> Obj:
    """Three functions' worth of .text and of `other`, and symbols (name, section, slot)."""
    obj = Obj()
    sections = {".text": obj.text(BODY * 3), "other": obj.text(BODY * 3, "other")}
    for name, section, start in symbols:
        obj.symbol(name, sections[section], 8 * start, **options)
    return obj


class TestEntry:
    @pytest.mark.parametrize(
        ("symbols", "entry"),
        [
            pytest.param([("a", ".text", 0)], 0, id="only one"),
            pytest.param([("a", ".text", 4), ("b", ".text", 0), ("c", ".text", 2)], 0, id="start of .text"),
            pytest.param([("a", "other", 0), ("b", ".text", 0)], 0, id="two starts, .text wins"),
            pytest.param([("a", ".text", 2)], 2, id="the only one, further back"),
            pytest.param([("a", "other", 4)], 10, id="the only one, in another section"),
            pytest.param([("a", "other", 2), ("alias", "other", 2)], 8, id="two names of one function"),
        ],
    )
    def test_rules(self, symbols: list[tuple[str, str, int]], entry: int) -> None:
        assert loader.load(_functions(*symbols).build()).entry == entry

    @pytest.mark.parametrize(("name", "entry"), [("a", 2), ("b", 0), ("c", 6)])
    def test_by_name(self, name: str, entry: int) -> None:
        obj = _functions(("a", ".text", 2), ("b", ".text", 0), ("c", "other", 0))
        assert loader.load(obj.build(), entry=name).entry == entry

    def test_without_symbols(self) -> None:
        obj = Obj(with_symtab=False)
        obj.text(BODY, "other")
        obj.text(mov(0, 2) + EXIT)
        program = loader.load(obj.build())
        assert (program.entry, result(program), program.functions) == (0, 2, (Function(0, None),))

    def test_with_an_empty_symbol_table(self) -> None:
        obj = Obj()
        obj.text(BODY)
        assert loader.load(obj.build()).entry == 0

    def test_assembler_labels_have_no_type(self) -> None:
        obj = _functions(("start", ".text", 2), type=NOTYPE)
        program = loader.load(obj.build())
        assert (program.entry, program.functions) == (2, (Function(2, "start"),))

    def test_weak_functions_count(self) -> None:
        assert loader.load(_functions(("start", ".text", 2), bind=WEAK).build()).entry == 2

    def test_an_empty_text_section_does_not_start(self) -> None:
        """clang leaves an empty .text behind when all code is in named sections."""
        obj = Obj()
        obj.text(b"")
        other = obj.text(BODY * 2, "other")
        obj.symbol("a", other)
        obj.symbol("b", other, 16)
        assert refused(obj.build()).code == "load-entry"
        assert loader.load(obj.build(), entry="b").entry == 2

    @pytest.mark.parametrize(
        ("obj", "wanted", "message"),
        [
            pytest.param(
                _functions(("b", ".text", 2), ("a", "other", 0)), None, "candidates: a, b", id="ambiguous"
            ),
            pytest.param(
                _functions(("s", ".text", 0), bind=LOCAL), None, "candidates: none", id="all static"
            ),
            pytest.param(
                _functions(("o", ".text", 0), type=OBJECT), None, "candidates: none", id="only objects"
            ),
            pytest.param(
                _functions(("h", ".text", 6)), None, "candidates: none", id="at the end of the text"
            ),
            pytest.param(
                _functions(("a", ".text", 0)),
                "nope",
                "no global function 'nope'; candidates: a",
                id="unknown name",
            ),
            pytest.param(
                _functions(("s", ".text", 0), bind=LOCAL),
                "s",
                "no global function 's'",
                id="name of a static one",
            ),
        ],
    )
    def test_refused(self, obj: Obj, wanted: str | None, message: str) -> None:
        error = refused(obj.build(), entry=wanted)
        assert error.code == "load-entry"
        assert message in error.detail

    def test_a_symbol_in_mid_slot_is_no_function(self) -> None:
        obj = Obj()
        obj.symbol("half", obj.text(BODY), 4)
        assert refused(obj.build()).code == "load-entry"

    def test_long_lists_are_cut(self) -> None:
        names = [(f"f{number:03}" + "x" * 500, "other", 2 * (number % 3)) for number in range(200)]
        error = refused(_functions(*names).build())
        assert "and 184 more" in error.detail
        assert len(error.detail) < 1500


class TestFunctions:
    def test_static_ones_have_their_names(self) -> None:
        obj = _functions(("main", ".text", 0))
        obj.symbol("quiet", 1, 16, bind=LOCAL)
        obj.symbol("label", 1, 32, bind=LOCAL, type=NOTYPE)
        assert loader.load(obj.build()).functions == (Function(0, "main"), Function(2, "quiet"))

    def test_of_two_names_the_global_one(self) -> None:
        obj = Obj()
        text = obj.text(BODY)
        obj.symbol("inner", text, bind=LOCAL)
        obj.symbol("outer", text)
        assert loader.load(obj.build()).functions == (Function(0, "outer"),)

    def test_in_ascending_order(self) -> None:
        obj = _functions(("z", "other", 4), ("a", ".text", 0), ("m", ".text", 4))
        assert [function.start for function in loader.load(obj.build()).functions] == [0, 4, 10]


# ---- Real objects --------------------------------------------------------------------------------

SOURCE = """
static const char *names[] = {"ab", "cde"};
static int history[3];
int counter;
const int table[4] = {1, 2, 3, 4};
const int *third = &table[2];
static __attribute__((noinline)) int triple(int a) { history[a % 3u] += a; return 3 * a + history[0]; }
__attribute__((noinline, section("other"))) int five(int a) { return 5 * a + triple(a); }
static __attribute__((noinline, section("other"))) int seven(int a) { return 7 * a + five(a); }
__attribute__((section("entry"))) long start(long *context) {
    long n = context ? context[0] : 1;
    counter++;
    return triple(n) + five(n) + seven(3) + *third + names[n & 1][2] + counter;
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    folder = tmp_path_factory.mktemp("objects")

    def build(source: str, *flags: str, cpu: str = "v3") -> bytes:
        path: Path = folder / "source.c"
        path.write_text(source, encoding="utf-8")
        return compile_source(path, cpu=cpu, flags=list(flags)).object

    return build


@needs_compiler
class TestCompiled:
    @pytest.mark.parametrize("cpu", ["v1", "v2", "v3", "v4"])
    @pytest.mark.parametrize("flags", [[], ["-ffunction-sections", "-fdata-sections"], ["-O1"], ["-g0"]])
    def test_sections_statics_strings_and_pointers(
        self, compiled: Callable[..., bytes], cpu: str, flags: list[str]
    ) -> None:
        source = SOURCE.replace("int five", "static int five")
        program = loader.load(compiled(source, *flags, cpu=cpu))
        # triple(1) = 3, five(1) = 5 + 3, seven(3) = 21 + 15 + (9 + 3), 3, 'e', 1; history[0] is 3 by then.
        assert result(program) == 3 + 8 + 48 + 3 + ord("e") + 1
        names = {function.name for function in program.functions}
        assert {"start", "triple", "five", "seven"} <= names
        assert program.function_at(program.entry) == "start"

    def test_two_global_functions_need_a_name(self, compiled: Callable[..., bytes]) -> None:
        image = compiled(SOURCE)
        assert "candidates: five, start" in refused(image).detail
        assert (
            loader.load(image, entry="start").function_at(loader.load(image, entry="start").entry) == "start"
        )

    def test_common_symbols(self, compiled: Callable[..., bytes]) -> None:
        source = "int a, b; int main(void) { a = 40; b += 2; return a + b; }"
        program = loader.load(compiled(source, "-fcommon"))
        assert program.bss_size == 8
        assert result(program) == 42

    @pytest.mark.parametrize(
        ("source", "code", "message"),
        [
            ("int missing(int); int f(int a) { return missing(a); }", "load-symbol", "missing"),
            ("extern int away; int f(void) { return away; }", "load-symbol", "away"),
            ("int f(void) { return 1; } int (*table)(void) = f;", "load-reloc", "address of function f"),
            ('int m __attribute__((section("maps"))); int f(void) { return m; }', "load-map", "section maps"),
            ("char big[5000]; char f(int i) { return big[i]; }", "load-ram", "need 5000 bytes"),
            ("int data = 3;", "load-entry", "candidates: none"),
        ],
        ids=["undefined function", "undefined object", "function pointer", "map", "ram", "no function"],
    )
    def test_refused(self, compiled: Callable[..., bytes], source: str, code: str, message: str) -> None:
        error = refused(compiled(source))
        assert error.code == code
        assert message in error.detail


# ---- Time ----------------------------------------------------------------------------------------


def _many_relocations(count: int) -> bytes:
    obj = Obj()
    text = obj.text(lddw(1) * count + EXIT)
    obj.symbol("main", text)
    symbol = obj.section_symbol(obj.data(bytes(8)))
    obj.rel(text, *((16 * index, R64_64, symbol) for index in range(count)))
    return obj.build()


def _many_calls(count: int) -> bytes:
    obj = Obj()
    text = obj.text(call() * count + EXIT)
    main = obj.symbol("main", text)
    obj.rel(text, *((8 * index, R64_32, main) for index in range(count)))
    return obj.build()


def _many_pointers(count: int) -> bytes:
    obj = minimal()
    data = obj.rodata(bytes(8 * count))
    symbol = obj.section_symbol(data)
    obj.rel(data, *((8 * index, ABS64, symbol) for index in range(count)))
    return obj.build()


def _many_sections(count: int) -> bytes:
    """Each with a relocation section of its own."""
    obj = Obj()
    text = [obj.text(call() + EXIT, "f") for _ in range(count)]
    symbols = [obj.symbol(f"f{number}", section) for number, section in enumerate(text)]
    for section, symbol in zip(text, symbols, strict=True):
        obj.rel(section, (0, R64_32, symbol))
    obj.text(EXIT)
    obj.symbol("main", len(obj.sections))
    return obj.build()


@pytest.mark.parametrize("make", [_many_relocations, _many_calls, _many_pointers, _many_sections])
def test_time_is_linear(make: Callable[[int], bytes]) -> None:
    """Sixteen times as much takes about sixteen times as long, not 256."""
    few, many = make(250), make(4000)
    assert best_of(3, lambda: loader.load(many)) < 80 * best_of(5, lambda: loader.load(few))


def test_alignment_makes_an_image_only_so_much_larger() -> None:
    """One byte in every page: a section header has 64 bytes, so it is at most 64 times."""
    obj = minimal()
    for _ in range(1000):
        obj.rodata(b"x", align=4096)
    image = obj.build()
    assert len(loader.load(image).rodata) < 64 * len(image)


def test_sixty_thousand_relocations() -> None:
    image = _many_relocations(60_000)
    assert imm(loader.load(image), 2 * 59_999) == DATA_BASE
    assert best_of(2, lambda: loader.load(image)) < 2


def test_a_small_object_loads_at_once() -> None:
    """Well under two milliseconds; the bound leaves room for a machine that does other things."""
    image = _linked_object().build()
    assert best_of(20, lambda: loader.load(image)) < 0.002


def test_a_full_slot_loads_at_once() -> None:
    image = _many_calls(130)
    assert 3000 < len(image) <= 4096
    assert best_of(20, lambda: loader.load(image)) < 0.005


def test_kinds_of_sections_that_share_an_index() -> None:
    """Writable code is code: it is neither copied to data nor given an address."""
    obj = Obj()
    obj.symbol("main", obj.section(".text", BODY, ALLOC | EXEC | WRITE, align=8))
    obj.section(".zero", b"", ALLOC, type=NOBITS, size=16)
    program = loader.load(obj.build())
    assert (program.text, program.data, program.rodata, program.bss_size) == (BODY, b"", b"", 16)
