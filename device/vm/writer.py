"""Objects and text → the images that are deployed (programs.md section 2.4).

Writers are deterministic: the same object gives the same bytes. GNU strip without the BPF target refuses
these files, so stripping is done here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from device.errors import LoadError
from device.vm import elf, loader
from device.vm.elf_builder import OutputSection, OutputSymbol, build
from device.vm.elf_format import (
    R_BPF_64_64,
    R_BPF_64_NODYLD32,
    REL,
    SHF_ALLOC,
    SHF_EXEC,
    SHF_INFO_LINK,
    SHF_MERGE,
    SHF_STRINGS,
    SHF_WRITE,
    SHT_PROGBITS,
    SHT_REL,
    STB_GLOBAL,
    STB_LOCAL,
    STT_FUNC,
    ElfObject,
    Relocation,
    Section,
    Symbol,
)
from device.vm.entry import jump_to
from device.vm.isa import SLOT_SIZE
from device.vm.link import text_sections
from device.vm.program import Layout

_NO_LIMIT: Final = 2**64
_KEPT_FLAGS: Final = SHF_WRITE | SHF_ALLOC | SHF_EXEC | SHF_MERGE | SHF_STRINGS


def strip_object(obj: bytes) -> bytes:
    """The raw layout: what runs and what relocates it; debug information, BTF and notes are dropped.

    It loads to the same program. Raises LoadError for anything that does not load in the first place,
    however much RAM it wants: that is the device's to judge.
    """
    loader.load(obj, declared=Layout.ELF, ram_limit=_NO_LIMIT)
    parsed = elf.parse(obj)
    tables = _applied_relocations(parsed)
    symbols = _kept_symbols(parsed, {entry.symbol for entries in tables.values() for entry in entries})
    kept = _kept_sections(parsed, {symbol.section for symbol in symbols})
    numbers = {section.index: number for number, section in enumerate(kept, start=1)}
    positions = {symbol.number: position for position, symbol in enumerate(symbols, start=1)}
    return build(
        [_copied(section) for section in kept]
        + [
            _relocation_section(section, numbers[section.index], tables[section.index], positions)
            for section in kept
            if section.index in tables
        ],
        [_renumbered(symbol, numbers) for symbol in symbols],
    )


def write_text(obj: bytes, *, entry: str | None = None) -> bytes:
    """The OnlyText layout: the linked text, with a jump in front when the entry is not its first slot.

    Raises LoadError; `load-reloc` when an instruction needs .data, .rodata or .bss.
    """
    program = loader.load(obj, declared=Layout.ELF, entry=entry, ram_limit=_NO_LIMIT)
    _require_only_calls(elf.parse(obj))
    return jump_to(program.entry) + program.text


def object_from_text(
    text: bytes, *, name: str = "main", functions: Mapping[int, str] = MappingProxyType({})
) -> bytes:
    """The smallest object around assembled text: one section, one global function at its start.

    `functions` are the names of static ones by their slot.
    """
    section = OutputSection(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXEC, text, align=SLOT_SIZE)
    static = [
        OutputSymbol(label, STB_LOCAL, STT_FUNC, 1, slot * SLOT_SIZE, 0)
        for slot, label in sorted(functions.items())
        if slot != 0
    ]
    return build([section], [*static, OutputSymbol(name, STB_GLOBAL, STT_FUNC, 1, 0, len(text))])


def _applied_relocations(parsed: ElfObject) -> dict[int, list[Relocation]]:
    """Target's header index → the entries that the linker applies to it."""
    tables: dict[int, list[Relocation]] = {}
    for target, entries in parsed.relocation_tables():
        if target.loaded:
            applied = [entry for entry in entries if entry.type != R_BPF_64_NODYLD32]
            if applied:
                tables.setdefault(target.index, []).extend(applied)
    return tables


def _kept_symbols(parsed: ElfObject, referred: Collection[int]) -> list[Symbol]:
    """Functions, common symbols and what relocations refer to; local ones first, as ELF wants it."""

    def keep(symbol: Symbol) -> bool:
        if symbol.number in referred or symbol.is_common:
            return True
        if not symbol.is_defined or not parsed.sections[symbol.section].is_text:
            return False
        return symbol.type == STT_FUNC or symbol.bind != STB_LOCAL

    kept = [symbol for symbol in parsed.symbols if keep(symbol)]
    return sorted(kept, key=lambda symbol: symbol.bind != STB_LOCAL)


def _kept_sections(parsed: ElfObject, named: Collection[int]) -> list[Section]:
    """Text in the order of the linked text, so that the first header is code; then the others in theirs.

    Empty ones are left out unless a symbol lies in them.
    """
    text = text_sections(parsed.sections)
    others = [section for section in parsed.sections if section.loaded and not section.is_text]
    kept = [section for section in [*text, *others] if section.size or section.index in named]
    return kept if any(section.is_text for section in kept) else [text[0], *kept]


def _copied(section: Section) -> OutputSection:
    return OutputSection(
        section.name,
        section.type,
        section.flags & _KEPT_FLAGS,
        section.data,
        size=section.size,
        align=section.align,
        entsize=section.entsize,
    )


def _relocation_section(
    target: Section, number: int, entries: list[Relocation], positions: Mapping[int, int]
) -> OutputSection:
    content = b"".join(
        REL.pack(entry.offset, positions[entry.symbol] << 32 | entry.type) for entry in entries
    )
    return OutputSection(
        f".rel{target.name}", SHT_REL, SHF_INFO_LINK, content, align=8, info=number, entsize=REL.size
    )


def _renumbered(symbol: Symbol, numbers: Mapping[int, int]) -> OutputSymbol:
    """A symbol with the new number of its section; reserved values such as SHN_COMMON stay."""
    section = numbers[symbol.section] if symbol.is_defined else symbol.section
    return OutputSymbol(symbol.name, symbol.bind, symbol.type, section, symbol.value, symbol.size)


def _require_only_calls(parsed: ElfObject) -> None:
    """Refuse what bare text cannot carry: an instruction that holds an address."""
    for target, entries in parsed.relocation_tables():
        if not target.is_text:
            continue
        for entry in entries:
            if entry.type == R_BPF_64_64:
                raise LoadError(
                    f"the program needs {parsed.label(parsed.symbols[entry.symbol])}, bare text has no"
                    " .data, .rodata or .bss",
                    code="load-reloc",
                    where=f"{target.label}+0x{entry.offset:x}",
                    hint="keep data on the stack, or use the layout elf",
                )
