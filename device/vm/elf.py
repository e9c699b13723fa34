"""Relocatable eBPF objects: a strict reader for bytes that nobody vouches for (programs.md section 2).

ELF64, little-endian, ET_REL, e_machine 247. Every offset, size, count and index is checked against the
file before it is used; `LoadError` is the only exception that leaves, whatever the bytes, and the work is
linear in their number. Field names are those of the ELF specification (gABI chapters 4 and 5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError

MAGIC: Final = b"\x7fELF"
EM_BPF: Final = 247

SHT_PROGBITS: Final = 1
SHT_SYMTAB: Final = 2
SHT_STRTAB: Final = 3
SHT_RELA: Final = 4
SHT_NOBITS: Final = 8
SHT_REL: Final = 9

SHF_WRITE: Final = 0x1
SHF_ALLOC: Final = 0x2
SHF_EXEC: Final = 0x4
SHF_COMPRESSED: Final = 0x800

SHN_UNDEF: Final = 0
SHN_LORESERVE: Final = 0xFF00
SHN_ABS: Final = 0xFFF1
SHN_COMMON: Final = 0xFFF2

STB_LOCAL: Final = 0
STB_GLOBAL: Final = 1
STB_WEAK: Final = 2
STT_NOTYPE: Final = 0
STT_OBJECT: Final = 1
STT_FUNC: Final = 2
STT_SECTION: Final = 3

EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
SHDR: Final = struct.Struct("<IIQQQQIIQQ")
SYM: Final = struct.Struct("<IBBHQQ")
REL: Final = struct.Struct("<QQ")

MAX_ALIGNMENT: Final = 4096


@dataclass(frozen=True, slots=True)
class Section:
    """A section header with its name and, unless it is NOBITS, its bytes."""

    index: int
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int
    data: bytes

    @property
    def loaded(self) -> bool:
        """Whether it becomes part of the program; `.eh_frame` is ALLOC and never does."""
        return bool(self.flags & SHF_ALLOC) and self.name != ".eh_frame"

    @property
    def is_text(self) -> bool:
        """Executable."""
        return self.loaded and bool(self.flags & SHF_EXEC)

    @property
    def is_bss(self) -> bool:
        """Zero bytes that the file does not hold."""
        return self.loaded and not self.is_text and self.type == SHT_NOBITS

    @property
    def is_data(self) -> bool:
        """Writable bytes."""
        return self.loaded and not self.is_text and not self.is_bss and bool(self.flags & SHF_WRITE)

    @property
    def is_rodata(self) -> bool:
        """Read-only bytes."""
        return self.loaded and not self.is_text and not self.is_bss and not self.flags & SHF_WRITE


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol table entry; `section` is a header index or one of the reserved SHN values."""

    index: int
    name: str
    value: int
    size: int
    bind: int
    type: int
    section: int

    @property
    def is_common(self) -> bool:
        """Allocated by the loader, in .bss; `value` is then the alignment."""
        return self.section == SHN_COMMON

    @property
    def is_defined(self) -> bool:
        """Whether it names a place in a section of this file."""
        return SHN_UNDEF < self.section < SHN_LORESERVE


@dataclass(frozen=True, slots=True)
class Relocation:
    """A REL entry: `type` applied at `offset` of the target section, against `symbol`."""

    offset: int
    type: int
    symbol: int


@dataclass(frozen=True, slots=True)
class ElfObject:
    """A parsed object: all sections in header order, all symbols in table order."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def relocations(self, target: Section) -> Iterator[Relocation]:
        """The entries that apply to `target`, from every REL section that names it."""
        for section in self.sections:
            if section.type == SHT_REL and section.info == target.index:
                yield from self.entries(section)

    def entries(self, section: Section) -> Iterator[Relocation]:
        """The entries of one REL section. LoadError for a symbol that is not in the table."""
        for offset, info in REL.iter_unpack(section.data):
            symbol = info >> 32
            if symbol >= len(self.symbols):
                raise refuse(
                    f"{section.name}: symbol {symbol} of a relocation, the table has {len(self.symbols)}"
                )
            yield Relocation(offset, info & 0xFFFFFFFF, symbol)


def refuse(detail: str, *, hint: str = "") -> LoadError:
    """The one refusal of this module."""
    return LoadError(detail, code="load-elf", hint=hint or "compile with clang --target=bpfel -c")


def parse(image: bytes) -> ElfObject:
    """Read an object. Raises LoadError `load-elf` naming the field and its value."""
    section_offset, count, names_index = _file_header(image)
    headers = [SHDR.unpack_from(image, section_offset + i * SHDR.size) for i in range(count)]
    names = _string_section(image, headers, names_index, "e_shstrndx")
    sections = tuple(_section(image, index, header, names) for index, header in enumerate(headers))
    for section in sections:
        _check_section(section, count)
    if not any(section.is_text for section in sections):
        raise refuse("no executable section")
    return ElfObject(sections, _symbols(sections))


def _file_header(image: bytes) -> tuple[int, int, int]:
    """(e_shoff, e_shnum, e_shstrndx), all inside the file."""
    if len(image) < EHDR.size:
        raise refuse(f"{len(image)} bytes, an ELF header has {EHDR.size}")
    ident, kind, machine, _, _, _, offset, _, _, _, _, entsize, count, names = EHDR.unpack_from(image)
    expected = (
        ("e_ident magic", ident[:4].hex(), MAGIC.hex()),
        ("e_ident class", ident[4], 2),
        ("e_ident data", ident[5], 1),
        ("e_type", kind, 1),
        ("e_machine", machine, EM_BPF),
        ("e_shentsize", entsize, SHDR.size),
    )
    for name, value, wanted in expected:
        if value != wanted:
            raise refuse(f"{name} is {value}, must be {wanted}")
    if not 0 < count < SHN_LORESERVE:
        raise refuse(f"e_shnum is {count}")
    if offset + count * SHDR.size > len(image):
        raise refuse(f"{count} section headers at 0x{offset:x} reach beyond the file ({len(image)} bytes)")
    if names >= count:
        raise refuse(f"e_shstrndx is {names}, there are {count} sections")
    return offset, count, names


def _bytes_of(image: bytes, header: tuple[int, ...], what: str) -> bytes:
    kind, offset, size = header[1], header[4], header[5]
    if kind == SHT_NOBITS:
        return b""
    if offset + size > len(image):
        raise refuse(f"{what}: {size} bytes at 0x{offset:x} reach beyond the file ({len(image)} bytes)")
    return image[offset : offset + size]


def _string_section(image: bytes, headers: list[tuple[int, ...]], index: int, what: str) -> bytes:
    if headers[index][1] != SHT_STRTAB:
        raise refuse(f"{what}: section {index} is no string table")
    return _bytes_of(image, headers[index], f"string table {index}")


def _string(table: bytes, offset: int, what: str) -> str:
    if offset >= len(table) and offset:
        raise refuse(f"{what}: name at {offset}, the string table has {len(table)} bytes")
    # A name is bounded so that overlapping names cannot make the work quadratic.
    end = table.find(b"\0", offset, offset + 256)
    if end < 0:
        if offset == 0 and not table:
            return ""
        raise refuse(f"{what}: name at {offset} is longer than 255 bytes or not terminated")
    return table[offset:end].decode("utf-8", "backslashreplace")


def _section(image: bytes, index: int, header: tuple[int, ...], names: bytes) -> Section:
    name_offset, kind, flags, _, offset, size, link, info, align, entsize = header
    name = _string(names, name_offset, f"section {index}")
    # Section 0 is reserved; what it says is not looked at.
    data = b"" if index == 0 else _bytes_of(image, header, f"section {index} {name}")
    return Section(index, name, kind, flags, offset, size, link, info, align, entsize, data)


def _check_section(section: Section, count: int) -> None:
    what = f"section {section.index} {section.name}"
    if section.name in ("maps", ".maps"):
        raise LoadError(
            f"{what}: maps are not supported", code="load-map", hint="use the key-value store helpers"
        )
    if section.flags & SHF_ALLOC:
        if section.flags & SHF_COMPRESSED:
            raise refuse(f"{what}: compressed sections are not supported")
        if section.align > MAX_ALIGNMENT or section.align & (section.align - 1):
            raise refuse(f"{what}: sh_addralign is {section.align}")
        if section.flags & SHF_EXEC and (section.type == SHT_NOBITS or section.size % 8):
            raise refuse(f"{what}: {section.size} bytes of text, must be a multiple of 8 in the file")
    if section.type in (SHT_REL, SHT_RELA) and section.info >= count:
        raise refuse(f"{what}: sh_info is {section.info}, there are {count} sections")
    if section.type == SHT_REL and (section.entsize != REL.size or section.size % REL.size):
        raise refuse(f"{what}: sh_entsize {section.entsize}, sh_size {section.size}, entries have {REL.size}")


def _symbols(sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    tables = [section for section in sections if section.type == SHT_SYMTAB]
    if len(tables) > 1:
        raise refuse(f"{len(tables)} symbol tables")
    if any(s.type == SHT_RELA and sections[s.info].loaded for s in sections):
        raise refuse("RELA relocations are not supported")
    if not tables:
        return ()
    table = tables[0]
    if table.entsize != SYM.size or table.size % SYM.size:
        raise refuse(
            f"symbol table: sh_entsize {table.entsize}, sh_size {table.size}, entries have {SYM.size}"
        )
    if table.link >= len(sections) or sections[table.link].type != SHT_STRTAB:
        raise refuse(f"symbol table: sh_link is {table.link}, no string table")
    strings = sections[table.link].data
    return tuple(
        _symbol(index, fields, strings, len(sections))
        for index, fields in enumerate(SYM.iter_unpack(table.data))
    )


def _symbol(index: int, fields: tuple[int, ...], strings: bytes, sections: int) -> Symbol:
    name_offset, info, _, section, value, size = fields
    if sections <= section < SHN_LORESERVE:
        raise refuse(f"symbol {index}: section {section}, there are {sections}")
    name = _string(strings, name_offset, f"symbol {index}")
    return Symbol(index, name, value, size, info >> 4, info & 0xF, section)
