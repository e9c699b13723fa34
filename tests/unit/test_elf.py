"""The ELF reader: what it reads, and every lie of a file that it refuses."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from device.errors import LoadError
from device.vm import elf
from device.vm.elf_format import Relocation
from tests.elf_objects import (
    ALLOC,
    COMMON,
    COMPRESSED,
    EXEC,
    EXIT,
    GLOBAL,
    LOCAL,
    NOBITS,
    OBJECT,
    PROGBITS,
    RELA,
    SYMTAB,
    Obj,
    call,
    minimal,
    patched,
)
from tests.timing import best_of


def refused(image: bytes) -> LoadError:
    with pytest.raises(LoadError) as caught:
        elf.parse(image)
    assert caught.value.where
    assert caught.value.hint
    return caught.value


class TestReads:
    def test_sections_in_header_order(self) -> None:
        obj = minimal()
        obj.rodata(b"abc")
        obj.bss(12)
        parsed = elf.parse(obj.build())
        names = [section.name for section in parsed.sections]
        assert names == ["", ".text", ".rodata", ".bss", ".symtab", ".strtab", ".shstrtab"]
        assert [section.index for section in parsed.sections] == list(range(7))
        assert parsed.sections[2].data == b"abc"
        assert (parsed.sections[3].data, parsed.sections[3].size) == (b"", 12)

    @pytest.mark.parametrize(
        ("name", "kind", "flags", "expected"),
        [
            pytest.param(".text", PROGBITS, ALLOC | EXEC, "text", id="alloc and exec"),
            pytest.param("xdp", PROGBITS, ALLOC | EXEC | 1, "text", id="writable code is code"),
            pytest.param(".data", PROGBITS, ALLOC | 1, "data", id="alloc and write"),
            pytest.param("license", PROGBITS, ALLOC | 1, "data", id="any name"),
            pytest.param(".bss", NOBITS, ALLOC | 1, "bss", id="nobits"),
            pytest.param(".zero", NOBITS, ALLOC, "bss", id="nobits, read-only"),
            pytest.param(".rodata.str1.1", PROGBITS, ALLOC | 0x30, "rodata", id="strings"),
            pytest.param(".eh_frame", PROGBITS, ALLOC, None, id="eh_frame"),
            pytest.param(".debug_info", PROGBITS, 0, None, id="debug information"),
            pytest.param(".comment", PROGBITS, 0x30, None, id="comment"),
        ],
    )
    def test_kinds_by_flags(self, name: str, kind: int, flags: int, expected: str | None) -> None:
        obj = minimal()
        index = obj.section(name, bytes(8) if kind == PROGBITS else b"", flags, type=kind, size=8, align=8)
        section = elf.parse(obj.build()).sections[index]
        kinds = {
            "text": section.is_text,
            "data": section.is_data,
            "bss": section.is_bss,
            "rodata": section.is_rodata,
        }
        assert [kind for kind, holds in kinds.items() if holds] == ([expected] if expected else [])
        assert section.loaded == (expected is not None)

    def test_symbols(self) -> None:
        obj = minimal()
        data = obj.data(bytes(8))
        obj.symbol("count", data, 4, bind=LOCAL, type=OBJECT, size=4)
        obj.symbol("shared", COMMON, 8, type=OBJECT, size=16)
        obj.symbol("elsewhere", 0)
        null, main, count, shared, elsewhere = elf.parse(obj.build()).symbols
        assert (null.name, null.is_defined) == ("", False)
        assert (main.name, main.section, main.bind, main.type) == ("main", 1, GLOBAL, 2)
        assert (count.number, count.section, count.value, count.size) == (2, data, 4, 4)
        assert (shared.is_common, shared.is_defined) == (True, False)
        assert (elsewhere.is_common, elsewhere.is_defined) == (False, False)

    def test_relocations_of_a_section(self) -> None:
        obj = Obj()
        text = obj.text(call() + EXIT)
        main = obj.symbol("main", text)
        obj.rel(text, (0, 10, main), (8, 4, main))
        ((target, entries),) = elf.parse(obj.build()).relocation_tables()
        assert target.name == ".text"
        assert list(entries) == [Relocation(0, 10, main), Relocation(8, 4, main)]

    def test_an_object_without_symbols(self) -> None:
        obj = Obj(with_symtab=False)
        obj.text(EXIT)
        assert elf.parse(obj.build()).symbols == ()

    def test_the_first_header_is_not_looked_at(self) -> None:
        lies = {"sh_type": PROGBITS, "sh_flags": ALLOC | EXEC, "sh_size": 2**63, "sh_offset": 2**63}
        assert elf.parse(minimal().build(headers={0: lies})).sections[0].loaded is False

    def test_names_that_are_no_utf8(self) -> None:
        image = minimal().build()
        image = image.replace(b"\0main\0", b"\0m\xff\xc3n\0")
        assert elf.parse(image).symbols[1].name == "m\\xff\\xc3n"

    def test_unloaded_sections_may_be_odd(self) -> None:
        """Flags and alignment of debug sections are nobody's business, nor are relocations with addends."""
        obj = minimal()
        debug = obj.section(".debug_info", bytes(8), COMPRESSED, align=3)
        obj.section(".rela.debug_info", bytes(24), 0, type=RELA, info=debug, entsize=24)
        assert elf.parse(obj.build()).sections[debug].loaded is False


HEADER_LIES = [
    pytest.param(
        {"e_ident": b"\x7fELG" + bytes([2, 1, 1]) + bytes(9)}, "e_ident magic is 7f454c47", id="magic"
    ),
    pytest.param({"e_ident": b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)}, "e_ident class is 1", id="32 bit"),
    pytest.param({"e_ident": b"\x7fELF" + bytes([2, 2, 1]) + bytes(9)}, "e_ident data is 2", id="big-endian"),
    pytest.param({"e_type": 2}, "e_type is 2, must be 1", id="executable"),
    pytest.param({"e_type": 3}, "e_type is 3, must be 1", id="shared object"),
    pytest.param({"e_machine": 62}, "e_machine is 62, must be 247", id="x86-64"),
    pytest.param({"e_machine": 40}, "e_machine is 40, must be 247", id="arm"),
    pytest.param({"e_shentsize": 0}, "e_shentsize is 0", id="entries of 0 bytes"),
    pytest.param({"e_shentsize": 0xFFFF}, "e_shentsize is 65535", id="huge entries"),
    pytest.param({"e_shnum": 0}, "e_shnum is 0", id="no sections"),
    pytest.param({"e_shnum": 0xFEFF}, "reach beyond the file", id="many sections"),
    pytest.param({"e_shnum": 0xFFFF}, "e_shnum is 65535", id="reserved count"),
    pytest.param(
        {"e_shoff": 2**64 - 1}, "e_shoff is 0xffffffffffffffff", id="headers at the end of everything"
    ),
    pytest.param({"e_shoff": 2**63}, "reach beyond the file", id="headers far away"),
    pytest.param({"e_shstrndx": 5}, "e_shstrndx is 5, there are 5 sections", id="no such name table"),
    pytest.param({"e_shstrndx": 0xFFFF}, "e_shstrndx is 65535", id="extended name table"),
    pytest.param(
        {"e_shstrndx": 1}, "e_shstrndx is 1, a section of sh_type 1, must be 3", id="names in .text"
    ),
    pytest.param({"e_shstrndx": 0}, "e_shstrndx is 0, a section of sh_type 0", id="names nowhere"),
]


@pytest.mark.parametrize(("fields", "message"), HEADER_LIES)
def test_file_header(fields: dict[str, int | bytes], message: str) -> None:
    error = refused(minimal().build(ehdr=fields))
    assert error.code == "load-elf"
    assert message in error.detail
    assert error.hint


# Sections of `minimal`: 1 .text, 2 .symtab, 3 .strtab, 4 .shstrtab.
SECTION_LIES = [
    pytest.param(
        1, {"sh_offset": 2**64 - 8}, "section 1: sh_offset 0xfffffffffffffff8", id="offset near 2^64"
    ),
    pytest.param(1, {"sh_size": 2**64 - 8}, "sh_size 18446744073709551608", id="size near 2^64"),
    pytest.param(1, {"sh_size": 2**32}, "reach beyond the file", id="size of 4 GiB"),
    pytest.param(2, {"sh_size": 24 * 10**9}, "section 2", id="huge symbol table"),
    pytest.param(4, {"sh_offset": 10**6}, "section 4", id="names outside"),
    pytest.param(1, {"sh_name": 10**6}, "section 1: name at 1000000", id="name outside"),
    pytest.param(1, {"sh_type": NOBITS}, ".text: sh_type is 8, code must be in the file", id="code nowhere"),
    pytest.param(1, {"sh_flags": ALLOC}, "no executable section", id="no code"),
    pytest.param(
        1, {"sh_flags": ALLOC | EXEC | COMPRESSED}, "sh_flags is 0x806, compressed", id="compressed"
    ),
    pytest.param(1, {"sh_type": RELA}, "sh_type is 4, RELA", id="loaded RELA"),
    pytest.param(1, {"sh_addralign": 24}, "sh_addralign is 24", id="alignment of 24"),
    pytest.param(1, {"sh_addralign": 2**63}, "sh_addralign is 9223372036854775808", id="huge alignment"),
    pytest.param(
        2, {"sh_entsize": 0}, ".symtab: sh_entsize is 0, sh_size 48, an entry has 24", id="entsize 0"
    ),
    pytest.param(
        2, {"sh_entsize": 2**64 - 1}, ".symtab: sh_entsize is 18446744073709551615", id="huge entsize"
    ),
    pytest.param(2, {"sh_size": 47}, ".symtab: sh_entsize is 24, sh_size 47", id="half a symbol"),
    pytest.param(2, {"sh_link": 2}, ".symtab: sh_link is 2, which is no string table", id="linked to itself"),
    pytest.param(2, {"sh_link": 0}, ".symtab: sh_link is 0", id="linked to nothing"),
    pytest.param(2, {"sh_link": 99}, ".symtab: sh_link is 99", id="linked beyond"),
    pytest.param(3, {"sh_type": NOBITS}, ".symtab: sh_link is 3", id="strings nowhere"),
    pytest.param(3, {"sh_size": 1}, "symbol 1: name at 1, the string table has 1 bytes", id="short strings"),
    pytest.param(3, {"sh_size": 5}, "symbol 1: name at 1 does not end", id="name without end"),
    pytest.param(3, {"sh_type": SYMTAB}, "2 symbol tables", id="second symbol table"),
]


@pytest.mark.parametrize(("index", "fields", "message"), SECTION_LIES)
def test_section_header(index: int, fields: dict[str, int], message: str) -> None:
    error = refused(minimal().build(headers={index: fields}))
    assert error.code == "load-elf"
    assert message in error.detail


def with_relocation(**fields: int) -> bytes:
    """An object whose section 2 relocates .text, with other fields."""
    obj = minimal()
    obj.rel(1, (0, 4, 1))
    return obj.build(headers={2: fields})


RELOCATION_LIES = [
    pytest.param({"sh_info": 99}, ".rel.text: sh_info is 99, there are 6 sections", id="no such target"),
    pytest.param({"sh_info": 2**32 - 1}, "sh_info is 4294967295", id="target far away"),
    pytest.param(
        {"sh_link": 1}, ".rel.text: sh_link is 1, which is not the symbol table", id="wrong symbols"
    ),
    pytest.param({"sh_link": 2**31}, ".rel.text: sh_link is 2147483648", id="symbols far away"),
    pytest.param({"sh_entsize": 0}, ".rel.text: sh_entsize is 0", id="entries of 0 bytes"),
    pytest.param({"sh_entsize": 2**63}, ".rel.text: sh_entsize is 9223372036854775808", id="huge entries"),
    pytest.param({"sh_size": 15}, ".rel.text: sh_entsize is 16, sh_size 15", id="half an entry"),
    pytest.param({"sh_type": NOBITS, "sh_flags": 6}, "sh_type is 8, code must be", id="code without bytes"),
    pytest.param({"sh_type": RELA}, "sh_type is 4, RELA", id="RELA for loaded code"),
]


@pytest.mark.parametrize(("fields", "message"), RELOCATION_LIES)
def test_relocation_header(fields: dict[str, int], message: str) -> None:
    error = refused(with_relocation(**fields))
    assert error.code == "load-elf"
    assert message in error.detail


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "r_info symbol is 0"), (2, "the symbol table has 2 entries"), (2**32 - 1, "4294967295")],
)
def test_relocation_against_a_missing_symbol(number: int, message: str) -> None:
    obj = minimal()
    obj.rel(1, (0, 10, number))
    ((_, entries),) = elf.parse(obj.build()).relocation_tables()
    with pytest.raises(LoadError, match="r_info symbol") as caught:
        list(entries)
    assert caught.value.code == "load-elf"
    assert message in caught.value.detail


def test_relocations_without_a_symbol_table() -> None:
    obj = Obj(with_symtab=False)
    obj.rel(obj.text(EXIT), (0, 10, 1), link=3)
    assert "which is not the symbol table" in refused(obj.build()).detail


@pytest.mark.parametrize(("section", "shown"), [(5, "st_shndx is 5"), (0xFEFF, "st_shndx is 65279")])
def test_symbol_in_no_section(section: int, shown: str) -> None:
    obj = Obj()
    obj.text(EXIT)
    obj.symbol("main", section)
    error = refused(obj.build())
    assert error.code == "load-elf"
    assert f"symbol 1: {shown}, there are 5 sections" in error.detail


@pytest.mark.parametrize("name", ["maps", ".maps"])
def test_maps(name: str) -> None:
    obj = minimal()
    obj.data(bytes(32), name)
    error = refused(obj.build())
    assert error.code == "load-map"
    assert f"section {name}" in error.detail


@pytest.mark.parametrize("length", range(0, 64, 7))
def test_file_header_cut_off(length: int) -> None:
    assert f"the file has {length} bytes" in refused(minimal().build()[:length]).detail


def test_every_truncation_is_refused() -> None:
    obj = minimal()
    obj.rel(1, (0, 4, 1))
    image = obj.build()
    for length in range(len(image)):
        assert refused(image[:length]).code == "load-elf"


def test_sections_that_share_bytes() -> None:
    """Each may lie in the file, all together would be read many times over."""
    obj = minimal()
    obj.rodata(bytes(4000))
    for index in range(100):
        obj.section(f".rodata.{index}")
    whole = obj.build()
    (start,) = struct.unpack_from("<Q", whole, 40)
    rodata = struct.unpack_from("<Q", whole, start + 64 * 2 + 24)[0]
    lies = {index: {"sh_offset": rodata, "sh_size": 4000} for index in range(3, 103)}
    error = refused(obj.build(headers=lies))
    assert "sections overlap: sh_size adds up to" in error.detail


def test_long_names() -> None:
    obj = Obj()
    text = obj.text(EXIT)
    obj.symbol("f" * elf.MAX_NAME, text)
    assert len(elf.parse(obj.build()).symbols[1].name) == elf.MAX_NAME
    obj.symbol("f" * (elf.MAX_NAME + 1), text)
    assert "does not end within 1023 bytes" in refused(obj.build()).detail


def _many_sections(count: int) -> bytes:
    obj = minimal()
    for _ in range(count):
        obj.section(".s", b"12345678")
    return obj.build()


def _many_symbols(count: int) -> bytes:
    """All of them share one name, of the greatest length."""
    obj = minimal()
    name = "x" * elf.MAX_NAME
    for value in range(count):
        obj.symbol(name, 1, value % 16)
    return obj.build()


@pytest.mark.parametrize("make", [_many_sections, _many_symbols])
def test_time_is_linear(make: Callable[[int], bytes]) -> None:
    """Sixteen times the file takes about sixteen times as long, not 256."""
    few, many = make(2000), make(32000)
    assert best_of(3, lambda: elf.parse(many)) < 80 * best_of(5, lambda: elf.parse(few))


def test_bytes_of_a_section_may_say_anything() -> None:
    """Only the headers are structure: whatever stands in code is the verifier's."""
    image = minimal().build()
    assert elf.parse(patched(image, 1, 0, b"\xff" * 16)).sections[1].data == b"\xff" * 16
