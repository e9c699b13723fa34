"""The format of relocatable eBPF objects: field layouts, numbers and the values that a reader makes of them.

ELF64, little-endian, ET_REL, e_machine 247. Field names are those of the ELF specification (gABI chapters
4 and 5). The reader is elf.py, the writer writer.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

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
SHF_MERGE: Final = 0x10
SHF_STRINGS: Final = 0x20
SHF_INFO_LINK: Final = 0x40
SHF_COMPRESSED: Final = 0x800

SHN_UNDEF: Final = 0
SHN_LORESERVE: Final = 0xFF00
SHN_ABS: Final = 0xFFF1
SHN_COMMON: Final = 0xFFF2

STB_LOCAL: Final = 0
STB_GLOBAL: Final = 1
STB_WEAK: Final = 2
STT_NOTYPE: Final = 0
STT_FUNC: Final = 2

R_BPF_64_64: Final = 1
R_BPF_64_ABS64: Final = 2
R_BPF_64_ABS32: Final = 3
R_BPF_64_NODYLD32: Final = 4
R_BPF_64_32: Final = 10
_WITH_SYMBOL: Final = frozenset({R_BPF_64_64, R_BPF_64_ABS64, R_BPF_64_ABS32, R_BPF_64_32})

EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
SHDR: Final = struct.Struct("<IIQQQQIIQQ")
SYM: Final = struct.Struct("<IBBHQQ")
REL: Final = struct.Struct("<QQ")

MAX_ALIGNMENT: Final = 4096

_SHOWN: Final = 64


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
    def label(self) -> str:
        """How messages call it."""
        return _shorten(self.name) or f"section {self.index}"

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


class Symbol(NamedTuple):
    """A symbol table entry; `number` is its place there.

    `section` is a header index or one of the reserved SHN values.
    """

    number: int
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


class Relocation(NamedTuple):
    """A REL entry: `type` applied at `offset` of the target section, against `symbol`.

    `symbol` is one of the table for the types that the linker applies, and any number for others.
    """

    offset: int
    type: int
    symbol: int


@dataclass(frozen=True, slots=True)
class ElfObject:
    """A parsed object: all sections in header order, all symbols in table order."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def label(self, symbol: Symbol) -> str:
        """How messages call a symbol: section symbols have the name of their section."""
        if symbol.name:
            return _shorten(symbol.name)
        return self.sections[symbol.section].label if symbol.is_defined else f"#{symbol.number}"

    def relocation_tables(self) -> Iterator[tuple[Section, Iterator[Relocation]]]:
        """(target, its entries) for every REL section, in header order; unloaded targets are included."""
        for section in self.sections:
            if section.type == SHT_REL:
                yield self.sections[section.info], self._entries(section)

    def _entries(self, section: Section) -> Iterator[Relocation]:
        """The entries of one REL section. LoadError for one that needs a symbol and names none of the table.

        Other types are passed on as they are: what is ignored, or unknown, needs none.
        """
        known = len(self.symbols)
        for offset, info in REL.iter_unpack(section.data):
            kind, symbol = info & 0xFFFFFFFF, info >> 32
            if kind in _WITH_SYMBOL and not 0 < symbol < known:
                raise refuse(
                    f"{section.label}: r_info symbol is {symbol}, the symbol table has {known} entries",
                    where=f"{section.label}, r_offset 0x{offset:x}",
                )
            yield Relocation(offset, kind, symbol)


def _shorten(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 3]}..."


def refuse(detail: str, *, where: str) -> LoadError:
    """What reader and linker raise for bytes that are no sound object: LoadError `load-elf`.

    `where` is the header, section or symbol that is wrong.
    """
    return LoadError(detail, code="load-elf", where=where, hint="compile with clang --target=bpfel -c")
