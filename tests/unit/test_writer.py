"""The writers: what a stripped object still holds, what bare text cannot, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from client.build import compile_source, compilers
from device.errors import LoadError
from device.vm import elf, loader
from device.vm.program import Function, Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from device.vm.writer import object_from_text, strip_object, write_text
from tests.elf_objects import (
    ALLOC,
    COMMON,
    EXEC,
    EXIT,
    LOCAL,
    NOTYPE,
    OBJECT,
    Obj,
    call,
    lddw,
    minimal,
    mov,
    slot,
)

ROOT = Path(__file__).parents[2]
OBJECTS = sorted((ROOT / "examples" / "objects").glob("*.o"))
BODY = mov(0, 1) + EXIT

each_object = pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)


def same(one: Program, other: Program) -> None:
    """Equal in everything but the image they came from."""
    assert replace(one, digest=b"") == replace(other, digest=b"")


def as_seen_by_others(image: bytes) -> ELFFile:
    """By a reader that is not ours."""
    return ELFFile(BytesIO(image))


def section_names(image: bytes) -> list[str]:
    return [section.name for section in as_seen_by_others(image).iter_sections()]


def symbols(image: bytes) -> list[str]:
    """Names of the symbol table; section symbols as [section]."""
    table: Any = as_seen_by_others(image).get_section_by_name(".symtab")
    names = section_names(image)
    # The null symbol is left out. The library gives section symbols the names of their sections.
    return [
        f"[{names[symbol['st_shndx']]}]" if symbol["st_info"]["type"] == "STT_SECTION" else symbol.name
        for symbol in table.iter_symbols()
        if symbol["st_shndx"] != "SHN_UNDEF"
    ]


def test_there_are_objects() -> None:
    assert len(OBJECTS) > 10


class TestStripExamples:
    @each_object
    def test_loads_to_the_same_program(self, path: Path) -> None:
        obj = path.read_bytes()
        same(loader.load(strip_object(obj)), loader.load(obj))

    @each_object
    def test_holds_what_runs_and_nothing_else(self, path: Path) -> None:
        obj = path.read_bytes()
        image = strip_object(obj)
        assert len(image) < len(obj)
        sections = list(as_seen_by_others(image).iter_sections())
        assert sections[1]["sh_flags"] & EXEC
        for section in sections[1:]:
            allocated = section["sh_flags"] & ALLOC
            assert allocated or section["sh_type"] == "SHT_REL" or section.name in TABLES, section.name
            assert section.name != ".eh_frame"
        assert [section.name for section in sections[-3:]] == list(TABLES)

    @each_object
    def test_is_done_after_one_time(self, path: Path) -> None:
        image = strip_object(path.read_bytes())
        assert strip_object(image) == image

    @each_object
    def test_is_deterministic(self, path: Path) -> None:
        obj = path.read_bytes()
        assert strip_object(obj) == strip_object(bytes(bytearray(obj)))


TABLES = (".symtab", ".strtab", ".shstrtab")


class TestStrip:
    def test_drops_what_is_not_loaded(self) -> None:
        obj = Obj()
        debug = obj.section(".debug_line", bytes(40), 0)
        obj.section(".BTF", bytes(40), 0)
        obj.section(".note.x", bytes(16), 0, type=7)
        obj.section(".llvm_addrsig", b"\1", 0x80000000, type=0x6FFF4C03)
        obj.section(".comment", b"clang\0", 0x30)
        frame = obj.rodata(bytes(24), ".eh_frame")
        obj.section_symbol(debug)
        main = obj.symbol("main", obj.text(BODY))
        obj.rel(debug, (0, 2, main))
        obj.rel(frame, (0, 2, main))
        image = strip_object(obj.build())
        assert section_names(image) == ["", ".text", *TABLES]
        assert symbols(image) == ["main"]

    def test_the_first_section_is_the_first_of_the_text(self) -> None:
        obj = Obj()
        obj.rodata(b"abc")
        obj.symbol("other", obj.text(mov(0, 2) + EXIT, "other"), bind=LOCAL)
        obj.symbol("main", obj.text(BODY))
        image = strip_object(obj.build())
        assert section_names(image)[1:4] == [".text", "other", ".rodata"]
        same(loader.load(image), loader.load(obj.build()))

    def test_section_symbols_follow_their_sections(self) -> None:
        obj = Obj()
        data, strings = obj.data(b"datadata"), obj.rodata(b"hello\0", ".rodata.str1.1")
        text = obj.text(lddw(1, 2) + lddw(2, 4) + EXIT)
        unused, in_strings, in_data = (obj.section_symbol(s) for s in (text, strings, data))
        assert unused < in_strings < in_data
        obj.symbol("main", text)
        obj.rel(text, (0, 1, in_strings), (16, 1, in_data))
        image = strip_object(obj.build())
        assert symbols(image) == ["[.rodata.str1.1]", "[.data]", "main"]
        same(loader.load(image), loader.load(obj.build()))

    def test_local_symbols_come_first(self) -> None:
        """As ELF wants it; sh_info says where the others start."""
        obj = Obj()
        text = obj.text(lddw(1) + EXIT + BODY)
        obj.symbol("main", text)
        obj.symbol("quiet", text, 24, bind=LOCAL)
        obj.rel(text, (0, 1, obj.symbol("value", obj.data(bytes(8)), type=OBJECT, bind=LOCAL)))
        image = strip_object(obj.build())
        assert symbols(image) == ["quiet", "value", "main"]
        table: Any = as_seen_by_others(image).get_section_by_name(".symtab")
        assert table["sh_info"] == 3
        same(loader.load(image), loader.load(obj.build()))

    def test_symbols_that_nobody_needs_are_dropped(self) -> None:
        obj = minimal()
        obj.symbol("source.c", 0xFFF1, bind=LOCAL, type=4)
        obj.symbol("label", 1, 8, bind=LOCAL, type=NOTYPE)
        obj.symbol("version", obj.data(bytes(4)), type=OBJECT)
        obj.symbol("unused_extern", 0, type=NOTYPE)
        assert symbols(strip_object(obj.build())) == ["main"]

    def test_common_symbols_stay_in_their_order(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + EXIT)
        obj.symbol("main", text)
        obj.symbol("unused", COMMON, 8, type=OBJECT, size=8)
        obj.rel(text, (0, 1, obj.symbol("used", COMMON, 8, type=OBJECT, size=8)))
        same(loader.load(strip_object(obj.build())), loader.load(obj.build()))

    def test_relocations_of_pointers(self) -> None:
        obj = minimal()
        strings = obj.rodata(b"A\0B\0", ".rodata.str1.1")
        data = obj.data(bytes(16))
        obj.rel(data, (8, 2, obj.section_symbol(strings)), (0, 2, obj.symbol("b", strings, 2, type=OBJECT)))
        image = strip_object(obj.build())
        assert ".rel.data" in section_names(image)
        same(loader.load(image), loader.load(obj.build()))

    def test_relocations_that_nobody_applies_are_dropped(self) -> None:
        obj = minimal()
        obj.rel(1, (0, 4, 1))
        assert ".rel.text" not in section_names(strip_object(obj.build()))

    def test_several_relocation_sections_become_one(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + lddw(2) + EXIT)
        obj.symbol("main", text)
        data = obj.section_symbol(obj.data(bytes(8)))
        obj.rel(text, (0, 1, data))
        obj.rel(text, (16, 1, data))
        image = strip_object(obj.build())
        assert section_names(image).count(".rel.text") == 1
        same(loader.load(image), loader.load(obj.build()))

    def test_an_empty_section_stays_when_a_symbol_lies_in_it(self) -> None:
        obj = Obj()
        text = obj.text(lddw(1) + lddw(2) + EXIT)
        obj.symbol("main", text)
        empty = obj.symbol("empty", obj.data(b"", ".data.empty"), type=OBJECT)
        obj.rel(text, (0, 1, empty), (16, 1, obj.section_symbol(obj.data(bytes(8)))))
        image = strip_object(obj.build())
        assert ".data.empty" in section_names(image)
        same(loader.load(image), loader.load(obj.build()))

    def test_empty_sections_go(self) -> None:
        obj = Obj()
        obj.text(b"")
        obj.symbol("main", obj.text(BODY, "xdp"))
        obj.data(b"")
        image = strip_object(obj.build())
        assert section_names(image) == ["", "xdp", *TABLES]
        same(loader.load(image), loader.load(obj.build()))

    def test_an_object_without_code(self) -> None:
        """The verifier's to refuse (`text-empty`): it loads, so it is stripped."""
        obj = Obj()
        obj.text(b"")
        same(loader.load(strip_object(obj.build())), loader.load(obj.build()))

    def test_flags_of_groups_go(self) -> None:
        """Inline functions of C++ lie in groups; without the group section the flag has no meaning."""
        obj = Obj()
        obj.section(".group", bytes(8), 0, type=17, entsize=4)
        obj.symbol("main", obj.section(".text", BODY, ALLOC | EXEC | 0x200, align=8))
        sections = elf.parse(strip_object(obj.build())).sections
        assert sections[1].flags == ALLOC | EXEC

    def test_alignment_stays(self) -> None:
        obj = minimal()
        obj.rodata(b"abc")
        obj.rodata(b"12345678", ".rodata.cst8", align=64)
        image = strip_object(obj.build())
        section: Any = as_seen_by_others(image).get_section_by_name(".rodata.cst8")
        assert section["sh_addralign"] == 64
        assert section["sh_offset"] % 64 == 0
        same(loader.load(image), loader.load(obj.build()))

    def test_more_ram_than_any_device_has(self) -> None:
        """How much there is, the device knows."""
        obj = minimal()
        obj.bss(2**33)
        image = strip_object(obj.build())
        assert loader.load(image, ram_limit=2**33).bss_size == 2**33

    @pytest.mark.parametrize(
        ("image", "code"),
        [
            pytest.param(BODY, "load-layout", id="text"),
            pytest.param(b"\x7fELF" + bytes(100), "load-elf", id="no object"),
            pytest.param(b"", "load-layout", id="nothing"),
        ],
    )
    def test_what_does_not_load(self, image: bytes, code: str) -> None:
        with pytest.raises(LoadError) as caught:
            strip_object(image)
        assert caught.value.code == code


class TestText:
    def test_of_one_function(self) -> None:
        assert write_text(minimal().build()) == mov(0, 7) + EXIT

    def test_calls_are_linked(self) -> None:
        obj = Obj()
        text = obj.text(call() + EXIT)
        obj.symbol("main", text)
        obj.rel(text, (0, 10, obj.symbol("other", obj.text(mov(0, 3) + EXIT, "other"))))
        assert write_text(obj.build()) == call(1) + EXIT + mov(0, 3) + EXIT

    @pytest.mark.parametrize(
        ("slots", "jump"),
        [
            pytest.param(2, slot(0x05, off=2), id="near"),
            pytest.param(32766, slot(0x05, off=32766), id="as far as 16 bits go"),
            pytest.param(32768, slot(0x06, imm=32768), id="farther"),
        ],
    )
    def test_an_entry_elsewhere_gets_a_jump(self, slots: int, jump: bytes) -> None:
        obj = Obj()
        text = obj.text(BODY * (slots // 2) + mov(0, 9) + EXIT)
        obj.symbol("main", text, 8 * slots)
        image = write_text(obj.build())
        assert image == jump + BODY * (slots // 2) + mov(0, 9) + EXIT
        program = loader.load(image)
        outcome = SwitchEngine().run(program, Run(build_memory(program, bytearray())))
        assert outcome.r0 == 9

    def test_an_entry_by_name(self) -> None:
        obj = Obj()
        text = obj.text(BODY * 2)
        obj.symbol("first", text)
        obj.symbol("second", text, 16)
        assert write_text(obj.build(), entry="first") == BODY * 2
        assert write_text(obj.build(), entry="second") == slot(0x05, off=2) + BODY * 2

    def test_sections_that_no_instruction_needs_are_left_behind(self) -> None:
        obj = minimal()
        obj.data(b"version", "license")
        obj.bss(2**20)
        assert write_text(obj.build()) == mov(0, 7) + EXIT

    @pytest.mark.parametrize("kind", ["data", "rodata", "bss", "common"])
    @pytest.mark.parametrize("named", [True, False], ids=["object symbol", "section symbol"])
    def test_data_is_refused(self, kind: str, named: bool) -> None:
        obj = Obj()
        text = obj.text(mov(0, 0) + lddw(1) + EXIT)
        obj.symbol("main", text)
        match kind:
            case "data":
                section = obj.data(bytes(8))
            case "rodata":
                section = obj.rodata(bytes(8))
            case "bss":
                section = obj.bss(8)
            case _:
                section = COMMON
        if named or kind == "common":
            symbol, shown = obj.symbol("thing", section, type=OBJECT, size=8), "thing"
        else:
            symbol, shown = obj.section_symbol(section), f".{kind}"
        obj.rel(text, (8, 1, symbol))
        with pytest.raises(LoadError) as caught:
            write_text(obj.build())
        assert caught.value.code == "load-reloc"
        assert f"the program needs {shown}" in caught.value.detail
        assert caught.value.where == ".text+0x8"

    @pytest.mark.parametrize(
        ("image", "entry", "code"),
        [
            pytest.param(minimal().build(), "nope", "load-entry", id="no such function"),
            pytest.param(BODY, None, "load-layout", id="text"),
            pytest.param(b"", None, "load-layout", id="nothing"),
        ],
    )
    def test_what_does_not_load(self, image: bytes, entry: str | None, code: str) -> None:
        with pytest.raises(LoadError) as caught:
            write_text(image, entry=entry)
        assert caught.value.code == code


class TestFromText:
    def test_program(self) -> None:
        program = loader.load(object_from_text(BODY, name="blink"))
        assert (program.text, program.entry, program.layout) == (BODY, 0, Layout.ELF)
        assert program.functions == (Function(0, "blink"),)

    def test_static_functions(self) -> None:
        image = object_from_text(BODY * 2, name="blink", functions={0: "start", 2: "again"})
        assert loader.load(image).functions == (Function(0, "blink"), Function(2, "again"))
        assert strip_object(image) == image

    def test_there_and_back(self) -> None:
        assert write_text(object_from_text(BODY)) == BODY

    def test_is_stripped_already(self) -> None:
        assert strip_object(object_from_text(BODY)) == object_from_text(BODY)

    def test_others_can_read_it(self) -> None:
        image = as_seen_by_others(object_from_text(BODY, name="blink"))
        assert (image["e_machine"], image["e_type"], image.little_endian) == ("EM_BPF", "ET_REL", True)
        text: Any = image.get_section_by_name(".text")
        table: Any = image.get_section_by_name(".symtab")
        symbol = table.get_symbol_by_name("blink")[0]
        assert text.data() == BODY
        assert (symbol["st_size"], symbol["st_info"]["type"]) == (len(BODY), "STT_FUNC")


CPP = """
template <typename T> __attribute__((noinline)) T twice(T value) { return value + value; }
struct Counter { int value; __attribute__((noinline)) int add(int n) { return value += n; } };
static Counter counter;
extern "C" long start(void) { return twice(20) + counter.add(2); }
"""


@pytest.mark.skipif(not compilers(), reason="no clang and no ziglang: objects of C++ were NOT stripped")
def test_cpp_with_inline_functions(tmp_path: Path) -> None:
    """They lie in sections and groups of their own."""
    source = tmp_path / "inline.cpp"
    source.write_text(CPP, encoding="utf-8")
    obj = compile_source(source, flags=["-gline-tables-only"]).object
    program = loader.load(obj, entry="start")
    outcome = SwitchEngine().run(program, Run(build_memory(program, program.fresh_data())))
    assert outcome.r0 == 42
    image = strip_object(obj)
    assert ".group" in section_names(obj)
    same(loader.load(image), loader.load(obj))
    assert all(".group" not in name and ".debug" not in name for name in section_names(image))
