"""Objects and text → the images that are deployed (programs.md section 2.4).

Writers are deterministic: the same object gives the same bytes. GNU strip without the BPF target refuses
these files, so stripping is done here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError
from device.vm import elf, loader
from device.vm.elf import ElfObject, Relocation, Section, Symbol
from device.vm.isa import SLOT_SIZE, Slot
from device.vm.link import R_BPF_64_64, text_sections
from device.vm.program import Layout

_NO_LIMIT: Final = 2**32
_JA: Final = 0x05
_MAX_SHORT_JUMP: Final = 2**15 - 1
_IDENT: Final = elf.MAGIC + bytes([2, 1, 1]) + bytes(9)


@dataclass(frozen=True, slots=True)
class _Output:
    """A section to write: header fields that the writer decides, and the bytes."""

    name: str
    type: int
    flags: int
    content: bytes
    size: int
    align: int
    link: int = 0
    info: int = 0
    entsize: int = 0


def strip_object(obj: bytes) -> bytes:
    """The raw layout: what runs and what relocates it; debug information, BTF and notes are dropped.

    Raises LoadError for anything that does not load in the first place.
    """
    loader.load(obj, declared=Layout.ELF, ram_limit=_NO_LIMIT)
    parsed = elf.parse(obj)
    kept = [section for section in _ordered(parsed) if section.size]
    numbers = {section.index: number for number, section in enumerate(kept, start=1)}
    tables = [
        (section, entries)
        for section in kept
        if (entries := [entry for entry in parsed.relocations(section) if entry.type])
    ]
    symbols = _kept_symbols(parsed, numbers, [entry.symbol for _, entries in tables for entry in entries])
    positions = {symbol.index: position for position, symbol in enumerate(symbols, start=1)}
    symtab = len(kept) + len(tables) + 1
    outputs = [_Output(s.name, s.type, s.flags, s.data, s.size, s.align, entsize=s.entsize) for s in kept]
    for section, entries in tables:
        content = b"".join(
            elf.REL.pack(entry.offset, positions[entry.symbol] << 32 | entry.type) for entry in entries
        )
        outputs.append(
            _Output(
                f".rel{section.name}",
                elf.SHT_REL,
                0,
                content,
                len(content),
                8,
                link=symtab,
                info=numbers[section.index],
                entsize=elf.REL.size,
            )
        )
    return _write(outputs, symbols, numbers)


def _ordered(parsed: ElfObject) -> list[Section]:
    """Loaded sections: text first, so that the first header is code; then the others in header order."""
    others = [section for section in parsed.sections if section.loaded and not section.is_text]
    return [*text_sections(parsed.sections), *others]


def _kept_symbols(parsed: ElfObject, numbers: dict[int, int], used: Sequence[int]) -> list[Symbol]:
    """Functions, global names and what relocations refer to; local ones first, as ELF wants it."""
    referred = set(used)
    kept = [
        symbol
        for symbol in parsed.symbols[1:]
        if symbol.index in referred
        or symbol.is_common
        or (symbol.section in numbers and (symbol.type == elf.STT_FUNC or symbol.bind != elf.STB_LOCAL))
    ]
    return sorted(kept, key=lambda symbol: symbol.bind != elf.STB_LOCAL)


def write_text(obj: bytes, *, entry: str | None = None) -> bytes:
    """The OnlyText layout: the linked text, with a jump in front when the entry is not its first function.

    Raises LoadError `load-reloc` when an instruction needs .data, .rodata or .bss.
    """
    program = loader.load(obj, entry=entry if loader.detect_layout(obj) is Layout.ELF else None)
    if program.layout is Layout.TEXT:
        return obj
    parsed = elf.parse(obj)
    for section in text_sections(parsed.sections):
        for relocation in parsed.relocations(section):
            if relocation.type == R_BPF_64_64:
                raise _needs_data(parsed, section, relocation)
    if program.entry == 0:
        return program.text
    if program.entry > _MAX_SHORT_JUMP:
        raise LoadError(f"the entry is {program.entry} instructions away", code="load-entry")
    return Slot(_JA, 0, 0, program.entry, 0).pack() + program.text


def _needs_data(parsed: ElfObject, section: Section, relocation: Relocation) -> LoadError:
    symbol = parsed.symbols[relocation.symbol]
    name = symbol.name or (parsed.sections[symbol.section].name if symbol.is_defined else "?")
    return LoadError(
        f"the program refers to {name}, which bare text cannot carry",
        code="load-reloc",
        where=f"{section.name}+0x{relocation.offset:x}",
        hint="keep data on the stack, or use the layout elf",
    )


def object_from_text(text: bytes, *, name: str = "main") -> bytes:
    """The smallest object around assembled text: one section, one global function at its start."""
    symbol = Symbol(1, name, 0, len(text), elf.STB_GLOBAL, elf.STT_FUNC, 1)
    flags = elf.SHF_ALLOC | elf.SHF_EXEC
    section = _Output(".text", elf.SHT_PROGBITS, flags, text, len(text), SLOT_SIZE)
    return _write([section], [symbol], {1: 1})


def _write(outputs: list[_Output], symbols: Sequence[Symbol], numbers: dict[int, int]) -> bytes:
    """Header, sections in order, symbol table, strings, section headers."""
    strings, offsets = _strings([symbol.name for symbol in symbols])
    entries = [elf.SYM.pack(0, 0, 0, 0, 0, 0)]
    for symbol in symbols:
        place = numbers.get(symbol.section, symbol.section)
        info = symbol.bind << 4 | symbol.type
        entries.append(elf.SYM.pack(offsets[symbol.name], info, 0, place, symbol.value, symbol.size))
    table = b"".join(entries)
    local = 1 + sum(symbol.bind == elf.STB_LOCAL for symbol in symbols)
    strtab = len(outputs) + 2
    outputs = [
        *outputs,
        _Output(
            ".symtab",
            elf.SHT_SYMTAB,
            0,
            table,
            len(table),
            8,
            link=strtab,
            info=local,
            entsize=elf.SYM.size,
        ),
        _Output(".strtab", elf.SHT_STRTAB, 0, strings, len(strings), 1),
    ]
    names, name_offsets = _strings([*(output.name for output in outputs), ".shstrtab"])
    outputs.append(_Output(".shstrtab", elf.SHT_STRTAB, 0, names, len(names), 1))
    body = bytearray(elf.EHDR.size)
    headers = [bytes(elf.SHDR.size)]
    for output in outputs:
        body += bytes(-len(body) % max(output.align, 1))
        headers.append(
            elf.SHDR.pack(
                name_offsets[output.name],
                output.type,
                output.flags,
                0,
                len(body),
                output.size,
                output.link,
                output.info,
                output.align,
                output.entsize,
            )
        )
        body += output.content
    body += bytes(-len(body) % 8)
    fields = (_IDENT, 1, elf.EM_BPF, 1, 0, 0, len(body), 0, elf.EHDR.size, 0, 0, elf.SHDR.size)
    struct.pack_into(elf.EHDR.format, body, 0, *fields, len(headers), len(headers) - 1)
    return bytes(body) + b"".join(headers)


def _strings(names: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    """A string table with each name once, and where it lies."""
    table, offsets = bytearray(1), {"": 0}
    for name in names:
        if name not in offsets:
            offsets[name] = len(table)
            table += name.encode() + b"\0"
    return bytes(table), offsets
