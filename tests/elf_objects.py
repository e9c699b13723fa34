"""Objects made by hand, field by field, so that tests can say anything in them: also what no compiler says.

It shares nothing with the reader and the writer under test but the format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

WRITE, ALLOC, EXEC, COMPRESSED = 1, 2, 4, 0x800
PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
ABS, COMMON = 0xFFF1, 0xFFF2

_EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR: Final = struct.Struct("<IIQQQQIIQQ")
_EHDR_FIELDS: Final = (
    *("e_ident", "e_type", "e_machine", "e_version", "e_entry", "e_phoff", "e_shoff", "e_flags"),
    *("e_ehsize", "e_phentsize", "e_phnum", "e_shentsize", "e_shnum", "e_shstrndx"),
)
_SHDR_FIELDS: Final = (
    *("sh_name", "sh_type", "sh_flags", "sh_addr", "sh_offset", "sh_size", "sh_link", "sh_info"),
    *("sh_addralign", "sh_entsize"),
)

EXIT: Final = bytes.fromhex("9500000000000000")


def slot(opcode: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One slot, as encoded."""
    return struct.pack("<BBhi", opcode, dst | src << 4, off, imm)


def mov(dst: int, value: int) -> bytes:
    return slot(0xB7, dst, imm=value)


def lddw(dst: int, addend: int = 0, high: int = 0) -> bytes:
    return slot(0x18, dst, imm=addend) + slot(0, imm=high)


def call(imm: int = -1) -> bytes:
    """A call as clang leaves it for a relocation: src 1, imm = symbol's slot - 1 or -1."""
    return slot(0x85, src=1, imm=imm)


@dataclass(frozen=True)
class _Section:
    name: str
    type: int
    flags: int
    content: bytes
    align: int
    size: int | None
    link: int
    info: int
    entsize: int


@dataclass
class Obj:
    """An object in the making. Methods give the header index, or the index of the symbol."""

    sections: list[_Section] = field(default_factory=list)
    symbols: list[tuple[str, int, int, int, int, int]] = field(default_factory=list)
    with_symtab: bool = True

    def section(
        self,
        name: str,
        content: bytes = b"",
        flags: int = ALLOC,
        *,
        type: int = PROGBITS,
        align: int = 1,
        size: int | None = None,
        link: int = 0,
        info: int = 0,
        entsize: int = 0,
    ) -> int:
        self.sections.append(_Section(name, type, flags, content, align, size, link, info, entsize))
        return len(self.sections)

    def text(self, content: bytes, name: str = ".text") -> int:
        return self.section(name, content, ALLOC | EXEC, align=8)

    def data(self, content: bytes, name: str = ".data", align: int = 8) -> int:
        return self.section(name, content, ALLOC | WRITE, align=align)

    def rodata(self, content: bytes, name: str = ".rodata", align: int = 1) -> int:
        return self.section(name, content, ALLOC, align=align)

    def bss(self, size: int, name: str = ".bss", align: int = 8) -> int:
        return self.section(name, b"", ALLOC | WRITE, type=NOBITS, size=size, align=align)

    def symbol(
        self,
        name: str,
        section: int,
        value: int = 0,
        *,
        bind: int = GLOBAL,
        type: int = FUNC,
        size: int = 0,
    ) -> int:
        self.symbols.append((name, bind, type, section, value, size))
        return len(self.symbols)

    def section_symbol(self, section: int) -> int:
        return self.symbol("", section, bind=LOCAL, type=SECTION)

    def rel(self, target: int, *entries: tuple[int, int, int], link: int | None = None) -> int:
        """A relocation section of (offset, type, symbol); `link` is the symbol table unless given."""
        content = b"".join(
            struct.pack("<QQ", offset, symbol << 32 | kind) for offset, kind, symbol in entries
        )
        name = f".rel{self.sections[target - 1].name if target <= len(self.sections) else ''}"
        link = -1 if link is None else link
        return self.section(name, content, 0, type=REL, align=8, info=target, entsize=16, link=link)

    @property
    def symtab(self) -> int:
        """The header index that the symbol table will have."""
        return len(self.sections) + 1

    def build(
        self, *, ehdr: dict[str, int | bytes] | None = None, headers: dict[int, dict[str, int]] | None = None
    ) -> bytes:
        """The bytes. `ehdr` overrides fields of the file header, `headers` of section headers by index."""
        sections = [
            replace(section, link=self.symtab) if section.link == -1 else section for section in self.sections
        ]
        if self.with_symtab:
            strings, offsets = _strings([name for name, *_ in self.symbols])
            table = bytes(24) + b"".join(
                struct.pack("<IBBHQQ", offsets[name], bind << 4 | kind, 0, section, value, size)
                for name, bind, kind, section, value, size in self.symbols
            )
            sections.append(
                _Section(".symtab", SYMTAB, 0, table, 8, None, self.symtab + 1, len(self.symbols) + 1, 24)
            )
            sections.append(_Section(".strtab", STRTAB, 0, strings, 1, None, 0, 0, 0))
        names, offsets = _strings([*(section.name for section in sections), ".shstrtab"])
        sections.append(_Section(".shstrtab", STRTAB, 0, names, 1, None, 0, 0, 0))
        return _assemble(sections, offsets, headers or {}, ehdr or {})


def _strings(names: list[str]) -> tuple[bytes, dict[str, int]]:
    table, offsets = b"\0", {"": 0}
    for name in names:
        if name not in offsets:
            offsets[name] = len(table)
            table += name.encode() + b"\0"
    return table, offsets


def _assemble(
    sections: list[_Section],
    names: dict[str, int],
    overrides: dict[int, dict[str, int]],
    ehdr: dict[str, int | bytes],
) -> bytes:
    body = bytearray(_EHDR.size)
    headers = [dict.fromkeys(_SHDR_FIELDS, 0)]
    for section in sections:
        body += bytes(-len(body) % 8)
        header = (
            names[section.name],
            section.type,
            section.flags,
            0,
            len(body),
            len(section.content) if section.size is None else section.size,
            section.link,
            section.info,
            section.align,
            section.entsize,
        )
        headers.append(dict(zip(_SHDR_FIELDS, header, strict=True)))
        body += section.content
    body += bytes(-len(body) % 8)
    for index, fields in overrides.items():
        headers[index].update(fields)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    values = (ident, 1, 247, 1, 0, 0, len(body), 0, 64, 0, 0, 64, len(headers), len(headers) - 1)
    file_header: dict[str, int | bytes] = dict(zip(_EHDR_FIELDS, values, strict=True))
    assert ehdr.keys() <= file_header.keys()
    body[: _EHDR.size] = _EHDR.pack(*(file_header | ehdr).values())
    return bytes(body) + b"".join(_SHDR.pack(*header.values()) for header in headers)


def patched(image: bytes, section: int, offset: int, new: bytes) -> bytes:
    """The image with other bytes in one of its sections."""
    (table,) = struct.unpack_from("<Q", image, 40)
    (start,) = struct.unpack_from("<Q", image, table + 64 * section + 24)
    at = start + offset
    return image[:at] + new + image[at + len(new) :]


def minimal() -> Obj:
    """`main: r0 = 7; exit`, in section 1."""
    obj = Obj()
    obj.symbol("main", obj.text(mov(0, 7) + EXIT))
    return obj
