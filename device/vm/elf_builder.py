"""Sections and symbols → the bytes of a relocatable eBPF object; the counterpart of elf.py.

File header, sections in the order given, `.symtab`, `.strtab`, `.shstrtab`, section headers. Deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.vm.elf_format import (
    EHDR,
    EM_BPF,
    MAGIC,
    SHDR,
    SHT_NOBITS,
    SHT_REL,
    SHT_STRTAB,
    SHT_SYMTAB,
    STB_LOCAL,
    SYM,
)

_IDENT: Final = MAGIC + bytes([2, 1, 1]) + bytes(9)
_ET_REL: Final = 1


@dataclass(frozen=True, slots=True)
class OutputSection:
    """A section to write. `size` counts for NOBITS, else the content's length; links are set by `build`."""

    name: str
    type: int
    flags: int
    content: bytes = b""
    size: int = 0
    align: int = 1
    link: int = 0
    info: int = 0
    entsize: int = 0


@dataclass(frozen=True, slots=True)
class OutputSymbol:
    """A symbol to write; `section` is the number of the section, from 1, or a reserved SHN value."""

    name: str
    bind: int
    type: int
    section: int
    value: int
    size: int


def build(sections: Sequence[OutputSection], symbols: Sequence[OutputSymbol]) -> bytes:
    """The object. Local symbols have to come first; REL sections are linked to the symbol table."""
    symtab = len(sections) + 1
    strings, offsets = _string_table(symbol.name for symbol in symbols)
    written = [replace(section, link=symtab) if section.type == SHT_REL else section for section in sections]
    written.append(_symbol_table(symbols, offsets, strtab=symtab + 1))
    written.append(OutputSection(".strtab", SHT_STRTAB, 0, strings))
    names, name_offsets = _string_table([*(section.name for section in written), ".shstrtab"])
    written.append(OutputSection(".shstrtab", SHT_STRTAB, 0, names))
    return _assemble(written, name_offsets)


def _symbol_table(symbols: Sequence[OutputSymbol], offsets: dict[str, int], *, strtab: int) -> OutputSection:
    """The symbols after the null symbol; sh_info is the number of the first that is not local."""
    content = bytearray(SYM.size)
    for symbol in symbols:
        info = symbol.bind << 4 | symbol.type
        content += SYM.pack(offsets[symbol.name], info, 0, symbol.section, symbol.value, symbol.size)
    local = 1 + sum(symbol.bind == STB_LOCAL for symbol in symbols)
    return OutputSection(
        ".symtab", SHT_SYMTAB, 0, bytes(content), align=8, link=strtab, info=local, entsize=SYM.size
    )


def _assemble(sections: Sequence[OutputSection], names: dict[str, int]) -> bytes:
    body = bytearray(EHDR.size)
    headers = bytearray(SHDR.size)
    for section in sections:
        body += bytes(-len(body) % max(section.align, 1))
        size = section.size if section.type == SHT_NOBITS else len(section.content)
        headers += SHDR.pack(
            names[section.name],
            section.type,
            section.flags,
            0,
            len(body),
            size,
            section.link,
            section.info,
            section.align,
            section.entsize,
        )
        body += section.content
    body += bytes(-len(body) % 8)
    count = len(sections) + 1
    body[: EHDR.size] = EHDR.pack(
        _IDENT, _ET_REL, EM_BPF, 1, 0, 0, len(body), 0, EHDR.size, 0, 0, SHDR.size, count, count - 1
    )
    return bytes(body + headers)


def _string_table(names: Iterable[str]) -> tuple[bytes, dict[str, int]]:
    """A string table with each name once, and where it lies."""
    table, offsets = bytearray(1), {"": 0}
    for name in names:
        if name not in offsets:
            offsets[name] = len(table)
            table += name.encode() + b"\0"
    return bytes(table), offsets
