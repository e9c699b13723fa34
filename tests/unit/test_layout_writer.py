"""What is written, byte for byte, for each reader (programs.md sections 2.4 to 2.6), and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from device.errors import LoadError
from device.vm import loader
from device.vm.layouts import reader
from device.vm.layouts.convert import Converted, Wish, convert
from device.vm.layouts.from_object import FLEET_ONLY
from device.vm.layouts.header import CallRecord, FunctionRecord
from device.vm.program import Layout, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.elf_objects import COMMON, EXIT, LOCAL, OBJECT, Obj, call, lddw, minimal, mov, slot
from tests.headers import RBPF, UBPF, Header

FEMTO, SMING, EXTENDED = Layout.FEMTO, Layout.SMING, Layout.EXTENDED
BODY: Final = mov(0, 1) + EXIT
HEADERS: Final = (FEMTO, SMING, EXTENDED)
each_header = pytest.mark.parametrize("layout", HEADERS, ids=lambda layout: layout.value)


def write(obj: Obj | bytes, layout: Layout, **wish: Any) -> Converted:
    return convert(obj if isinstance(obj, bytes) else obj.build(), Wish(layout, **wish))


def refused(obj: Obj | bytes, layout: Layout, **wish: Any) -> LoadError:
    with pytest.raises(LoadError) as caught:
        write(obj, layout, **wish)
    return caught.value


def result(image: bytes) -> int | None:
    program = loader.load(image)
    outcome = SwitchEngine().run(program, Run(build_memory(program, program.fresh_data())))
    assert outcome.fault is None, outcome.fault
    return outcome.r0_signed


def lddwd(dst: int, offset: int) -> bytes:
    return slot(0xB8, dst, imm=offset) + slot(0)


def lddwr(dst: int, offset: int) -> bytes:
    return slot(0xD8, dst, imm=offset) + slot(0)


def everything() -> Obj:
    """Read-only sections of two kinds, data, bss, a literal, two global functions, calls."""
    obj = Obj()
    other = obj.text(mov(0, 9) + EXIT, "other")
    literal = obj.rodata(b"hi\0", ".rodata.str1.1")
    constant = obj.rodata(b"\x11\x22\x33\x44\x55", ".rodata", align=4)
    wide = obj.rodata(b"12345678", ".rodata.cst8", align=8)
    data, bss = obj.data(b"DATA", align=4), obj.bss(6, align=4)
    text = obj.text(lddw(1) + lddw(2) + lddw(3, 2) + lddw(4, 4) + lddw(5) + call() + EXIT)
    helper = obj.symbol("helper", other)
    obj.symbol("main", text)
    obj.symbol("hidden", other, bind=LOCAL)
    obj.rel(
        text,
        (0, 1, obj.section_symbol(literal)),
        (16, 1, obj.symbol("constant", constant, 1, type=OBJECT)),
        (32, 1, obj.section_symbol(data)),
        (48, 1, obj.section_symbol(bss)),
        (64, 1, obj.section_symbol(wide)),
        (80, 10, helper),
    )
    return obj


TAIL: Final = call(1) + EXIT + mov(0, 9) + EXIT
CONSTANT: Final = b"\x11\x22\x33\x44\x55"
STORED_BSS: Final = b"DATA" + bytes(6) + bytes(6)

EXPECTED: Final[dict[str, tuple[Wish, bytes]]] = {
    # .rodata, .rodata.str1.1, .rodata.cst8 at 8, names without NUL, pad; .bss behind .data at 4
    "ubpf": (
        Wish(FEMTO),
        Header(
            "femto",
            magic=UBPF,
            data=STORED_BSS,
            rodata=CONSTANT + b"hi\0" + b"12345678" + b"helpermain" + bytes(6),
            text=lddwr(1, 5) + lddwr(2, 1) + lddwd(3, 2) + lddwd(4, 4 + 4) + lddwr(5, 8) + TAIL,
            functions=((16, 0, 96), (22, 0, 0)),
        ).build(),
    ),
    # the same with names that end with NUL, and the other magic
    "femto": (
        Wish(FEMTO, profile="femto"),
        Header(
            "femto",
            magic=RBPF,
            data=STORED_BSS,
            rodata=CONSTANT + b"hi\0" + b"12345678" + b"helper\0main\0" + bytes(4),
            text=lddwr(1, 5) + lddwr(2, 1) + lddwd(3, 2) + lddwd(4, 4 + 4) + lddwr(5, 8) + TAIL,
            functions=((16, 0, 96), (23, 0, 0)),
        ).build(),
    ),
    # .rodata, names, then the others; .bss is a number, and starts at the padded end of .data
    "sming": (
        Wish(SMING),
        Header(
            "sming",
            magic=RBPF,
            data=b"DATA" + bytes(4),
            bss=6,
            rodata=CONSTANT + b"helper\0main\0" + b"hi\0" + bytes(4) + b"12345678",
            text=lddwr(1, 17) + lddwr(2, 1) + lddwd(3, 2) + lddwd(4, 8 + 4) + lddwr(5, 24) + TAIL,
            functions=((5, 0, 96), (12, 0, 0)),
        ).build(),
    ),
    # the call is resolved and recorded; ids that are called, ascending: there are none
    "extended": (
        Wish(EXTENDED),
        Header(
            "extended",
            magic=UBPF,
            data=STORED_BSS,
            rodata=CONSTANT + b"hi\0" + b"12345678" + b"helpermain" + bytes(6),
            text=lddwr(1, 5) + lddwr(2, 1) + lddwd(3, 2) + lddwd(4, 4 + 4) + lddwr(5, 8) + TAIL,
            functions=((16, 0, 96), (22, 0, 0)),
            calls=((80, 96),),
        ).build(),
    ),
}


class TestBytes:
    @pytest.mark.parametrize("name", EXPECTED)
    def test_for_each_reader(self, name: str) -> None:
        wish, expected = EXPECTED[name]
        assert convert(everything().build(), wish).image == expected
        assert result(expected) == 9

    @pytest.mark.parametrize("name", EXPECTED)
    def test_deterministic(self, name: str) -> None:
        assert convert(everything().build(), EXPECTED[name][0]) == convert(
            everything().build(), EXPECTED[name][0]
        )

    @each_header
    def test_nothing_but_text(self, layout: Layout) -> None:
        parts = reader.parse(write(minimal(), layout).image)
        assert (parts.data, parts.bss_size, parts.text) == (b"", 0, mov(0, 7) + EXIT)
        assert parts.rodata == (b"main\0\0\0\0")
        assert parts.functions == (FunctionRecord(0, 0, 0),)

    def test_common_symbols_lie_in_bss(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + BODY)
        obj.symbol("main", text)
        obj.data(b"1234567890")
        obj.rel(text, (0, 1, obj.symbol("shared", COMMON, 8, type=OBJECT, size=8)))
        femto, sming = (reader.parse(write(obj, layout).image) for layout in (FEMTO, SMING))
        assert (len(femto.data), femto.bss_size, femto.text[:16]) == (24, 0, lddwd(1, 16))
        assert (len(sming.data), sming.bss_size, sming.text[:16]) == (16, 8, lddwd(1, 16))

    def test_addends_below_a_section(self) -> None:
        """Compilers make &array[-1]: the offset wraps, and so does the address."""
        obj = Obj()
        text = obj.text(lddw(1, -4) + slot(0x61, 0, 1, off=4) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, 1, obj.section_symbol(obj.data(b"\x2a\0\0\0"))))
        image = write(obj, FEMTO).image
        assert reader.parse(image).text[:16] == lddwd(1, -4)
        assert result(image) == 42

    def test_an_address_in_empty_data_stays_an_address(self) -> None:
        """Without .data and .bss, lddwd would count from .rodata."""
        obj = Obj()
        text = obj.text(lddw(1) + slot(0xBF, 0, 1) + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, 1, obj.section_symbol(obj.data(b"", ".data.empty"))))
        assert result(write(obj, FEMTO).image) == result(obj.build()) == 0x20000000


class TestHelpers:
    CALLS: Final = slot(0x85, imm=0x13) + slot(0x85, imm=0x01) + slot(0x85, imm=0x13) + EXIT

    def obj(self, text: bytes = CALLS) -> Obj:
        obj = Obj()
        obj.symbol("main", obj.text(text))
        return obj

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            pytest.param(None, b"\x01\x13", id="those that are called, ascending"),
            pytest.param((0x50, 0x01), b"\x50\x01", id="exactly these, in this order"),
            pytest.param((), b"", id="none"),
            pytest.param(tuple(range(256)), bytes(range(256)), id="all there can be"),
        ],
    )
    def test_list(self, wanted: tuple[int, ...] | None, expected: bytes) -> None:
        image = write(self.obj(), EXTENDED, helpers=wanted).image
        assert reader.parse(image).helpers == expected
        assert loader.load(image).declared_helpers == frozenset(expected)

    @pytest.mark.parametrize("wanted", [(0x100,), (-1,), (*range(256), 1)], ids=len)
    def test_what_a_byte_cannot_name(self, wanted: tuple[int, ...]) -> None:
        assert refused(self.obj(), EXTENDED, helpers=wanted).code == "load-layout"

    def test_calls_of_large_ids(self) -> None:
        error = refused(self.obj(slot(0x85, imm=0x100) + EXIT), EXTENDED)
        assert (error.code, error.where) == ("load-layout", "helpers")

    def test_data_is_no_call(self) -> None:
        """The second half of lddw may look like one."""
        image = write(self.obj(slot(0x18, 1) + slot(0x85, imm=5) + EXIT), EXTENDED).image
        assert reader.parse(image).helpers == b""

    @pytest.mark.parametrize("layout", [Layout.TEXT, FEMTO, SMING, Layout.ELF], ids=lambda item: item.value)
    def test_other_layouts_have_no_list(self, layout: Layout) -> None:
        assert refused(self.obj(), layout, helpers=(1,)).code == "load-layout"


class TestEntry:
    def obj(self) -> Obj:
        obj = Obj()
        text = obj.text(BODY + mov(0, 2) + call() + EXIT)
        obj.symbol("second", text, 16)
        obj.symbol("first", text)
        obj.rel(text, (24, 10, 2))
        return obj

    @each_header
    def test_a_jump_in_front_moves_every_offset(self, layout: Layout) -> None:
        image = write(self.obj(), layout, entry="second").image
        parts = reader.parse(image)
        assert parts.text == slot(0x05, off=2) + BODY + mov(0, 2) + call(-4) + EXIT
        assert [record.location for record in parts.functions] == [24, 8]
        assert parts.calls == ((CallRecord(32, 8),) if layout is EXTENDED else ())
        assert result(image) == 1

    def test_the_first_of_text_needs_none(self) -> None:
        assert result(write(self.obj(), FEMTO).image) == 1

    def test_sming_takes_the_lowest(self) -> None:
        """Others have to be told."""
        obj = Obj()
        text = obj.text(BODY + mov(0, 2) + EXIT + mov(0, 3) + EXIT)
        obj.symbol("third", text, 32)
        obj.symbol("second", text, 16)
        assert result(write(obj, SMING).image) == 2
        assert refused(obj, FEMTO).code == "load-entry"

    @each_header
    def test_no_such_function(self, layout: Layout) -> None:
        assert refused(self.obj(), layout, entry="third").code == "load-entry"

    def test_an_object_cannot_say_it(self) -> None:
        assert refused(self.obj(), Layout.ELF, entry="second").code == "load-entry"
        assert write(self.obj(), Layout.ELF, entry="first") == write(self.obj(), Layout.ELF)

    @each_header
    def test_what_is_linked_cannot_choose(self, layout: Layout) -> None:
        assert refused(Header(layout.value).build(), layout, entry="main").code == "load-entry"


class TestPointers:
    def obj(self) -> Obj:
        obj = Obj()
        text = obj.text(lddw(1) + slot(0x79, 1, 1) + slot(0x71, 0, 1) + EXIT)
        obj.symbol("main", text)
        literal, data = obj.rodata(b"Test\0", ".rodata.str1.1"), obj.data(bytes(8))
        obj.rel(text, (0, 1, obj.section_symbol(data)))
        obj.rel(data, (0, 2, obj.section_symbol(literal)))
        return obj

    @pytest.mark.parametrize("layout", [FEMTO, EXTENDED], ids=lambda layout: layout.value)
    def test_for_this_fleet(self, layout: Layout) -> None:
        converted = write(self.obj(), layout)
        assert converted.notes == (FLEET_ONLY,)
        assert reader.parse(converted.image).data == bytes.fromhex("0000001000000000")
        assert result(converted.image) == ord("T")

    @pytest.mark.parametrize("wish", [Wish(SMING), Wish(FEMTO, profile="femto")], ids=["sming", "femto"])
    def test_for_others(self, wish: Wish) -> None:
        with pytest.raises(LoadError) as caught:
            convert(self.obj().build(), wish)
        assert (caught.value.code, caught.value.where) == ("load-reloc", ".data+0x0")
        assert "elf" in caught.value.hint


class TestLimits:
    def test_names_beyond_16_bits(self) -> None:
        obj = minimal()
        obj.rodata(bytes(65536))
        error = refused(obj, FEMTO)
        assert (error.code, error.where) == ("load-function", "main")
        assert result(write(obj, Layout.ELF).image) == 7

    def test_functions_beyond_16_bits(self) -> None:
        obj = Obj()
        text = obj.text(BODY * 4097)
        obj.symbol("main", text)
        obj.symbol("far", text, 65536)
        assert refused(obj, FEMTO).where == "far"

    def test_more_names_than_slots(self) -> None:
        obj = minimal()
        obj.symbol("one", 1)
        obj.symbol("two", 1)
        error = refused(obj, FEMTO)
        assert (error.code, error.where) == ("load-length", "functions")

    @each_header
    def test_more_bss_than_there_is_room(self, layout: Layout) -> None:
        """Before any of it becomes bytes."""
        obj = minimal()
        obj.bss(2**40)
        assert refused(obj, layout).code == "load-ram"

    @pytest.mark.parametrize("layout", [FEMTO, EXTENDED, Layout.ELF], ids=lambda layout: layout.value)
    def test_more_bss_in_a_header(self, layout: Layout) -> None:
        assert refused(Header("sming", bss=2**32 - 1).build(), layout).code == "load-ram"

    @each_header
    def test_no_text(self, layout: Layout) -> None:
        obj = Obj()
        obj.text(b"")
        obj.rodata(bytes(16))
        assert refused(obj, layout).code == "load-text"

    @pytest.mark.parametrize("layout", [*HEADERS, Layout.ELF], ids=lambda layout: layout.value)
    @pytest.mark.parametrize("text", [b"", BODY[:12]], ids=["nothing", "half a slot"])
    def test_text_that_is_none(self, text: bytes, layout: Layout) -> None:
        assert refused(text, layout).code == "load-text"

    @pytest.mark.parametrize("layout", [*HEADERS, Layout.TEXT, Layout.ELF], ids=lambda layout: layout.value)
    def test_text_that_counts_from_nothing(self, layout: Layout) -> None:
        error = refused(lddwr(1, 0) + EXIT, layout)
        assert (error.code, error.where) == ("load-reloc", "insn #0 (offset 0x0)")


class TestRecast:
    """From an image that is linked already."""

    IMAGE: Final = Header(
        "sming",
        data=b"12345678",
        bss=4,
        rodata=b"lit\0main",
        text=lddwd(1, 8) + lddwr(2, 0) + BODY,
        functions=((4, 0, 0),),
    )

    def test_bss_is_stored_behind_data(self) -> None:
        parts = reader.parse(write(self.IMAGE.build(), FEMTO).image)
        assert (parts.data, parts.bss_size) == (b"12345678" + bytes(8), 0)
        assert parts.text == self.IMAGE.text

    def test_names_are_used_where_they_lie(self) -> None:
        parts = reader.parse(write(self.IMAGE.build(), FEMTO).image)
        assert (parts.rodata, parts.functions) == (b"lit\0main", (FunctionRecord(4, 0, 0),))

    def test_names_without_an_end_are_written_again(self) -> None:
        parts = reader.parse(write(self.IMAGE.build(), FEMTO, profile="femto").image)
        assert (parts.rodata, parts.functions) == (b"lit\0mainmain\0\0\0\0", (FunctionRecord(8, 0, 0),))
        assert parts.names() == {8: "main"}

    def test_to_an_object(self) -> None:
        image = write(self.IMAGE.build(), Layout.ELF).image
        program = loader.load(image)
        assert (program.data, program.bss_size, program.rodata) == (b"12345678", 4, b"lit\0main")
        assert program.text == lddw(1, 0x20000008) + lddw(2, 0x10000000) + BODY
        assert program.functions[0].name == "main"

    def test_bss_alone(self) -> None:
        image = Header("sming", bss=8, text=lddwd(1, 4) + BODY).build()
        assert loader.load(write(image, Layout.ELF).image).text[:16] == lddw(1, 0x20000004)

    def test_literals_of_an_image_without_data(self) -> None:
        """µBPF's tool wrote lddwd for them."""
        image = Header("femto", rodata=b"hi\0", text=lddwd(1, 1) + BODY).build()
        assert loader.load(write(image, Layout.ELF).image).text[:16] == lddw(1, 0x10000001)

    def test_a_section_that_is_empty(self) -> None:
        image = Header("femto", text=lddwr(1, 0) + BODY).build()
        assert refused(image, Layout.ELF).code == "load-reloc"
        assert "lddwr at insn #0" in refused(image, Layout.TEXT).detail

    def test_the_list_of_helpers_stays_in_its_order(self) -> None:
        image = Header("extended", helpers=b"\x13\x01").build()
        assert (
            write(image, EXTENDED).image
            == replace(Header("extended", magic=UBPF), helpers=b"\x13\x01").build()
        )
        assert reader.parse(write(image, EXTENDED, helpers=(5,)).image).helpers == b"\x05"

    def test_calls_are_resolved_on_the_way(self) -> None:
        image = Header("extended", text=call(-1) + EXIT + BODY, calls=((0, 16),)).build()
        assert write(image, Layout.TEXT).image == call(1) + EXIT + BODY

    def test_a_named_function_elsewhere(self) -> None:
        """An object has to have a global function at its start."""
        image = Header("femto", text=BODY * 2, rodata=b"late", functions=((0, 0, 16),)).build()
        program = loader.load(write(image, Layout.ELF).image)
        assert [(f.start, f.name) for f in program.functions] == [(0, "main"), (2, "late")]
