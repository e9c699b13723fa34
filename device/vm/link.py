"""A parsed object → a linked program (programs.md sections 2.5 and 2.6).

Sections are placed by their flags at the fixed addresses of the memory map, relocations are applied to
copies, and the entry is chosen. The object's own bytes are never changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError
from device.vm import elf
from device.vm.elf import ElfObject, Relocation, Section, Symbol
from device.vm.isa import SLOT_SIZE, Form, Slot, describe_at, walk
from device.vm.memory import ADDRESS_MASK, DATA_BASE, RODATA_BASE
from device.vm.program import Function, Layout, Program

R_BPF_NONE: Final = 0
R_BPF_64_64: Final = 1
R_BPF_64_ABS64: Final = 2
R_BPF_64_ABS32: Final = 3
R_BPF_64_NODYLD32: Final = 4
R_BPF_64_32: Final = 10

_LDDW: Final = 0x18
_CALL: Final = 0x85


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the linker put things: offsets of sections (by header index) and of common symbols.

    Text offsets count from the start of the linked text, the others are guest addresses.
    """

    text: dict[int, int]
    address: dict[int, int]
    common: dict[int, int]
    text_bytes: bytearray
    rodata: bytearray
    data: bytearray
    bss_size: int


def text_sections(sections: Iterable[Section]) -> list[Section]:
    """The executable sections in the order of the linked text: `.text` first, then header order."""
    found = [section for section in sections if section.is_text]
    return sorted(found, key=lambda section: section.name != ".text")


def rodata_sections(sections: Iterable[Section]) -> list[Section]:
    """The read-only sections in linked order: `.rodata` first, then header order."""
    found = [section for section in sections if section.is_rodata]
    return sorted(found, key=lambda section: section.name != ".rodata")


def link_object(obj: ElfObject, digest: bytes, *, entry: str | None, ram_limit: int) -> Program:
    """Place, relocate, choose the entry. Raises LoadError with the `load-*` id of what is wrong."""
    placement = _place(obj, ram_limit)
    for section in obj.sections:
        if section.type == elf.SHT_REL:
            _relocate(obj, section, placement)
    text = bytes(placement.text_bytes)
    return Program(
        text=text,
        layout=Layout.ELF,
        digest=digest,
        entry=_entry(obj, placement, entry),
        rodata=bytes(placement.rodata),
        data=bytes(placement.data),
        bss_size=placement.bss_size,
        functions=function_table(text, _named_functions(obj, placement)),
    )


def function_table(text: bytes, named: dict[int, str | None]) -> tuple[Function, ...]:
    """Named functions plus the targets of local calls, in ascending order of their start slot."""
    starts = dict(named)
    slots = len(text) // SLOT_SIZE
    for _, instruction in walk(text):
        if instruction is not None and instruction.op.form is Form.CALL_LOCAL:
            target = instruction.target
            if target is not None and 0 <= target < slots:
                starts.setdefault(target, None)
    return tuple(Function(start, starts[start]) for start in sorted(starts))


def _place(obj: ElfObject, ram_limit: int) -> Placement:
    text_offsets: dict[int, int] = {}
    text = bytearray()
    for section in text_sections(obj.sections):
        text_offsets[section.index] = len(text)
        text += section.data
    address: dict[int, int] = {}
    rodata = bytearray()
    for section in rodata_sections(obj.sections):
        rodata += bytes(-len(rodata) % max(section.align, 1))
        address[section.index] = RODATA_BASE + len(rodata)
        rodata += section.data if section.type != elf.SHT_NOBITS else b""
    data = bytearray()
    for section in (section for section in obj.sections if section.is_data):
        data += bytes(-len(data) % max(section.align, 1))
        address[section.index] = DATA_BASE + len(data)
        data += section.data
    end = len(data)
    for section in (section for section in obj.sections if section.is_bss):
        end += -end % max(section.align, 1)
        address[section.index] = DATA_BASE + end
        end += section.size
    common: dict[int, int] = {}
    for symbol in (symbol for symbol in obj.symbols if symbol.is_common):
        if symbol.value > elf.MAX_ALIGNMENT:
            raise elf.refuse(f"common symbol {symbol.name}: alignment {symbol.value}")
        end += -end % max(symbol.value, 1)
        common[symbol.index] = DATA_BASE + end
        end += symbol.size
    if end > ram_limit:
        raise LoadError(
            f".data and .bss need {end} bytes, the device has {ram_limit}",
            code="load-ram",
            hint="make static arrays smaller",
        )
    return Placement(text_offsets, address, common, text, rodata, data, end - len(data))


def _relocate(obj: ElfObject, relocations: Section, placement: Placement) -> None:
    """Apply one REL section to the copy of its target; those of unloaded sections are ignored."""
    target = obj.sections[relocations.info]
    if not target.loaded:
        return
    for entry in obj.entries(relocations):
        if entry.type == R_BPF_64_NODYLD32:
            continue
        symbol = obj.symbols[entry.symbol]
        if target.is_text:
            _relocate_text(obj, target, entry, symbol, placement)
        elif target.is_bss:
            raise _refuse(entry, target, "a relocation in bytes that the file does not hold")
        else:
            _relocate_data(obj, target, entry, symbol, placement)


def _relocate_text(
    obj: ElfObject, target: Section, entry: Relocation, symbol: Symbol, placement: Placement
) -> None:
    if entry.offset % SLOT_SIZE or entry.offset + SLOT_SIZE > target.size:
        raise _refuse(entry, target, "the place is no instruction")
    place = placement.text[target.index] + entry.offset
    index = place // SLOT_SIZE
    slot = Slot.parse(bytes(placement.text_bytes[place : place + SLOT_SIZE]), 0)
    if entry.type == R_BPF_64_64 and slot.opcode == _LDDW and entry.offset + 2 * SLOT_SIZE <= target.size:
        value = (_address(obj, symbol, entry, target, placement) + slot.imm) & ADDRESS_MASK
        placement.text_bytes[place + 4 : place + 8] = value.to_bytes(4, "little")
        placement.text_bytes[place + 12 : place + 16] = bytes(4)
    elif entry.type == R_BPF_64_32 and slot.opcode == _CALL:
        section = _defined(obj, symbol, entry, target)
        if section.index not in placement.text:
            raise _refuse(entry, target, f"a call to {symbol.name or section.name}, which is no code")
        callee = (placement.text[section.index] + symbol.value) // SLOT_SIZE + slot.imm + 1
        distance = callee - index - 1
        if not -(2**31) <= distance < 2**31:
            raise _refuse(entry, target, f"a call over {distance} instructions")
        placement.text_bytes[place : place + SLOT_SIZE] = Slot(_CALL, 0, 1, slot.off, distance).pack()
    else:
        raise _refuse(
            entry, target, f"type {entry.type} on opcode 0x{slot.opcode:02x} at {describe_at(index)}"
        )


def _relocate_data(
    obj: ElfObject, target: Section, entry: Relocation, symbol: Symbol, placement: Placement
) -> None:
    size = {R_BPF_64_64: 8, R_BPF_64_ABS64: 8, R_BPF_64_ABS32: 4}.get(entry.type)
    if size is None:
        raise _refuse(entry, target, f"type {entry.type} in data")
    if entry.offset + size > target.size:
        raise _refuse(entry, target, "the place is beyond the section")
    content, base = (placement.rodata, RODATA_BASE) if target.is_rodata else (placement.data, DATA_BASE)
    at = placement.address[target.index] - base + entry.offset
    addend = int.from_bytes(content[at : at + size], "little")
    value = _address(obj, symbol, entry, target, placement) + addend
    content[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _address(obj: ElfObject, symbol: Symbol, entry: Relocation, target: Section, placement: Placement) -> int:
    """The guest address of a symbol in data, read-only data or bss."""
    if symbol.is_common:
        return placement.common[symbol.index]
    section = _defined(obj, symbol, entry, target)
    if section.index in placement.text:
        raise _refuse(entry, target, f"the address of function {symbol.name or section.name}")
    return placement.address[section.index] + symbol.value


def _defined(obj: ElfObject, symbol: Symbol, entry: Relocation, target: Section) -> Section:
    """The loaded section that a symbol lies in."""
    if not symbol.is_defined:
        raise LoadError(
            f"symbol {symbol.name!r} is not defined",
            code="load-symbol",
            where=f"{target.name}+0x{entry.offset:x}",
            hint="define it in the same file; helpers are called by their id",
        )
    section = obj.sections[symbol.section]
    if not section.loaded or symbol.value > section.size:
        raise LoadError(
            f"symbol {symbol.name!r} at 0x{symbol.value:x} is beyond section {section.name}",
            code="load-symbol",
            where=f"{target.name}+0x{entry.offset:x}",
        )
    return section


def _named_functions(obj: ElfObject, placement: Placement) -> dict[int, str | None]:
    """Start slot → name, for every function symbol; of several names a global one, then the first."""
    named: dict[int, str | None] = {}
    for symbol in sorted(obj.symbols, key=lambda symbol: symbol.bind == elf.STB_LOCAL):
        if symbol.type == elf.STT_FUNC or (_is_global_code(symbol) and symbol.type == elf.STT_NOTYPE):
            start = placement.text.get(symbol.section)
            if (
                start is not None
                and symbol.value % SLOT_SIZE == 0
                and symbol.value < obj.sections[symbol.section].size
            ):
                named.setdefault((start + symbol.value) // SLOT_SIZE, symbol.name or None)
    return named


def _is_global_code(symbol: Symbol) -> bool:
    return symbol.bind in (elf.STB_GLOBAL, elf.STB_WEAK) and symbol.is_defined


def global_functions(obj: ElfObject, placement: Placement) -> dict[str, int]:
    """Name → start slot of every global function, in symbol-table order."""
    return {
        symbol.name: (placement.text[symbol.section] + symbol.value) // SLOT_SIZE
        for symbol in obj.symbols
        if _is_global_code(symbol)
        and symbol.section in placement.text
        and symbol.type in (elf.STT_FUNC, elf.STT_NOTYPE)
        and symbol.value % SLOT_SIZE == 0
        and symbol.value < obj.sections[symbol.section].size
    }


def _entry(obj: ElfObject, placement: Placement, wanted: str | None) -> int:
    """The slot where a run begins (section 2.6)."""
    functions = global_functions(obj, placement)
    if wanted is not None:
        if wanted in functions:
            return functions[wanted]
        raise _no_entry(f"there is no global function {wanted!r}", functions)
    begins_with_text = any(
        obj.sections[index].name == ".text" and offset == 0 and obj.sections[index].size
        for index, offset in placement.text.items()
    )
    if len(obj.symbols) <= 1 or (begins_with_text and 0 in functions.values()):
        return 0
    if len(functions) == 1:
        return next(iter(functions.values()))
    raise _no_entry("no function to start at", functions)


def _no_entry(problem: str, functions: dict[str, int]) -> LoadError:
    candidates = ", ".join(sorted(functions)) or "none"
    return LoadError(
        f"{problem}; global functions: {candidates}",
        code="load-entry",
        hint="name one with --entry, or put it first in the file",
    )


def _refuse(entry: Relocation, target: Section, problem: str) -> LoadError:
    return LoadError(problem, code="load-reloc", where=f"{target.name}+0x{entry.offset:x}")
