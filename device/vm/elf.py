"""Relocatable eBPF objects: a strict reader for bytes that nobody vouches for (programs.md section 2).

Every offset, size, count and index is checked against the file before it is used; `LoadError` is the only
exception that leaves, whatever the bytes, and the work is linear in their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from device.errors import LoadError
from device.vm.elf_format import (
    EHDR,
    EM_BPF,
    MAGIC,
    MAX_ALIGNMENT,
    REL,
    SHDR,
    SHF_ALLOC,
    SHF_COMPRESSED,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SYM,
    ElfObject,
    Section,
    Symbol,
    refuse,
)

MAX_NAME: Final = 1023
"""Bytes of a name; a bound, so that names that overlap cannot make the work quadratic."""

_FILE_HEADER: Final = "ELF header"
_NULL_HEADER: Final = (0,) * 10


def parse(image: bytes) -> ElfObject:
    """Read an object. Raises LoadError `load-elf` (`load-map` for map sections) naming field and value."""
    section_offset, count, names_index = _file_header(image)
    # What the reserved first header says is not looked at.
    headers: list[tuple[int, ...]] = [_NULL_HEADER]
    headers += (SHDR.unpack_from(image, section_offset + index * SHDR.size) for index in range(1, count))
    _check_extents(image, headers)
    names = _string_table(image, headers, names_index)
    sections = tuple(_section(image, index, header, names) for index, header in enumerate(headers))
    symbol_table = _symbol_table(sections)
    for section in sections:
        _check_section(section)
        _check_relocations(section, sections, symbol_table)
    if not any(section.is_text for section in sections):
        raise refuse("no executable section", where="section headers")
    return ElfObject(sections, _symbols(sections, symbol_table))


def _file_header(image: bytes) -> tuple[int, int, int]:
    """(e_shoff, e_shnum, e_shstrndx), all inside the file."""
    if len(image) < EHDR.size:
        raise refuse(f"the file has {len(image)} bytes, an ELF header {EHDR.size}", where=_FILE_HEADER)
    ident, kind, machine, _, _, _, offset, _, _, _, _, entsize, count, names = EHDR.unpack_from(image)
    if ident[:4] != MAGIC:
        raise refuse(f"e_ident magic is {ident[:4].hex()}, must be {MAGIC.hex()}", where=_FILE_HEADER)
    expected = (
        ("e_ident class", ident[4], 2),
        ("e_ident data", ident[5], 1),
        ("e_type", kind, 1),
        ("e_machine", machine, EM_BPF),
        ("e_shentsize", entsize, SHDR.size),
    )
    for name, value, wanted in expected:
        if value != wanted:
            raise refuse(f"{name} is {value}, must be {wanted}", where=_FILE_HEADER)
    if not 0 < count < SHN_LORESERVE:
        raise refuse(f"e_shnum is {count}, must be 1 to {SHN_LORESERVE - 1}", where=_FILE_HEADER)
    if offset + count * SHDR.size > len(image):
        raise refuse(
            f"e_shoff is 0x{offset:x}: {count} section headers there reach beyond the file"
            f" ({len(image)} bytes)",
            where=_FILE_HEADER,
        )
    if names >= count:
        raise refuse(f"e_shstrndx is {names}, there are {count} sections", where=_FILE_HEADER)
    return offset, count, names


def _check_extents(image: bytes, headers: Sequence[tuple[int, ...]]) -> None:
    """Every section lies in the file, and together they are no larger: none is read twice."""
    total = 0
    for index, header in enumerate(headers):
        kind, offset, size = header[1], header[4], header[5]
        if kind == SHT_NOBITS:
            continue
        if offset + size > len(image):
            raise refuse(
                f"section {index}: sh_offset 0x{offset:x}, sh_size {size} reach beyond the file"
                f" ({len(image)} bytes)",
                where=f"section {index}",
            )
        total += size
    if total > len(image):
        raise refuse(
            f"sections overlap: sh_size adds up to {total}, the file has {len(image)} bytes",
            where="section headers",
        )


def _string_table(image: bytes, headers: Sequence[tuple[int, ...]], index: int) -> bytes:
    """The section names. `headers` are checked against the file."""
    kind, offset, size = headers[index][1], headers[index][4], headers[index][5]
    if kind != SHT_STRTAB:
        raise refuse(
            f"e_shstrndx is {index}, a section of sh_type {kind}, must be {SHT_STRTAB}", where=_FILE_HEADER
        )
    return image[offset : offset + size]


def _string(table: bytes, offset: int, what: str) -> str:
    """The name at `offset`, which is 0 for no name, also in an empty table."""
    if offset == 0 and not table:
        return ""
    if offset >= len(table):
        raise refuse(f"{what}: name at {offset}, the string table has {len(table)} bytes", where=what)
    end = table.find(b"\0", offset, offset + MAX_NAME + 1)
    if end < 0:
        raise refuse(f"{what}: name at {offset} does not end within {MAX_NAME} bytes", where=what)
    return table[offset:end].decode("utf-8", "backslashreplace")


def _section(image: bytes, index: int, header: tuple[int, ...], names: bytes) -> Section:
    name_offset, kind, flags, _, offset, size, link, info, align, entsize = header
    name = _string(names, name_offset, f"section {index}")
    data = b"" if kind == SHT_NOBITS else image[offset : offset + size]
    return Section(index, name, kind, flags, offset, size, link, info, align, entsize, data)


def _check_section(section: Section) -> None:
    """What every section has to hold, and the kinds that nobody can load."""
    what = section.label
    if section.name in ("maps", ".maps"):
        raise LoadError(
            f"section {section.name}: eBPF maps are not supported",
            code="load-map",
            where=f"section {section.index}",
            hint="use the key-value store helpers",
        )
    if not section.flags & SHF_ALLOC:
        return
    if section.flags & SHF_COMPRESSED:
        raise refuse(
            f"{what}: sh_flags is 0x{section.flags:x}, compressed sections are not supported", where=what
        )
    if section.type == SHT_RELA:
        raise refuse(f"{what}: sh_type is {SHT_RELA}, RELA relocations are not supported", where=what)
    if section.align > MAX_ALIGNMENT or section.align & (section.align - 1):
        raise refuse(
            f"{what}: sh_addralign is {section.align}, must be a power of 2 to {MAX_ALIGNMENT}", where=what
        )
    if section.is_text and section.type == SHT_NOBITS:
        raise refuse(f"{what}: sh_type is {SHT_NOBITS}, code must be in the file", where=what)


def _check_relocations(section: Section, sections: tuple[Section, ...], symbol_table: Section | None) -> None:
    """A relocation section names its target, its symbol table, and has whole entries."""
    if section.type not in (SHT_REL, SHT_RELA):
        return
    what = section.label
    if section.info >= len(sections):
        raise refuse(f"{what}: sh_info is {section.info}, there are {len(sections)} sections", where=what)
    loaded = sections[section.info].loaded
    if section.type == SHT_RELA:
        if loaded:
            raise refuse(f"{what}: sh_type is {SHT_RELA}, RELA relocations are not supported", where=what)
        return
    if loaded and (symbol_table is None or section.link != symbol_table.index):
        raise refuse(f"{what}: sh_link is {section.link}, which is not the symbol table", where=what)
    _check_entries(section, REL.size)


def _check_entries(section: Section, size: int) -> None:
    if section.entsize != size or section.size % size:
        raise refuse(
            f"{section.label}: sh_entsize is {section.entsize}, sh_size {section.size}, an entry has {size}",
            where=section.label,
        )


def _symbol_table(sections: Iterable[Section]) -> Section | None:
    tables = [section for section in sections if section.type == SHT_SYMTAB]
    if len(tables) > 1:
        raise refuse(f"{len(tables)} symbol tables, there may be one", where=tables[1].label)
    return tables[0] if tables else None


def _symbols(sections: tuple[Section, ...], table: Section | None) -> tuple[Symbol, ...]:
    if table is None:
        return ()
    _check_entries(table, SYM.size)
    if table.link >= len(sections) or sections[table.link].type != SHT_STRTAB:
        raise refuse(f"{table.label}: sh_link is {table.link}, which is no string table", where=table.label)
    strings = sections[table.link].data
    return tuple(
        _symbol(index, fields, strings, len(sections))
        for index, fields in enumerate(SYM.iter_unpack(table.data))
    )


def _symbol(index: int, fields: tuple[int, ...], strings: bytes, sections: int) -> Symbol:
    name_offset, info, _, section, value, size = fields
    if sections <= section < SHN_LORESERVE:
        raise refuse(
            f"symbol {index}: st_shndx is {section}, there are {sections} sections", where=f"symbol {index}"
        )
    name = _string(strings, name_offset, f"symbol {index}")
    return Symbol(index, name, value, size, info >> 4, info & 0xF, section)
