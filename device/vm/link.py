"""A parsed object → the linked bytes: sections placed, relocations applied (programs.md section 2.5).

Sections are placed by their flags at the fixed addresses of the memory map, and relocations are applied to
copies: the object's own bytes are never changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError
from device.vm.elf_format import (
    MAX_ALIGNMENT,
    R_BPF_64_32,
    R_BPF_64_64,
    R_BPF_64_ABS32,
    R_BPF_64_ABS64,
    R_BPF_64_NODYLD32,
    SHN_ABS,
    ElfObject,
    Relocation,
    Section,
    Symbol,
    refuse,
)
from device.vm.isa import SLOT_SIZE, Slot, describe_at
from device.vm.memory import ADDRESS_MASK, DATA_BASE, RODATA_BASE

_LDDW: Final = 0x18
_CALL: Final = 0x85
_POINTER_SIZES: Final = {R_BPF_64_64: 8, R_BPF_64_ABS64: 8, R_BPF_64_ABS32: 4}


@dataclass(frozen=True, slots=True)
class Linked:
    """Where the linker put things, and the bytes of the linked image.

    `text_offset` maps the header index of an executable section to its offset in `text`, `address` that of
    any other loaded section to its guest address, `common` the index of a common symbol to its.
    `names_at` is the offset in `rodata` of the names that the arrangement has.
    """

    text_offset: dict[int, int]
    address: dict[int, int]
    common: dict[int, int]
    text: bytearray
    rodata: bytearray
    data: bytearray
    bss_size: int
    names_at: int


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the sections follow each other; what a device does with an object unless said otherwise.

    `names` are bytes that go in between: behind `.rodata` when `names_first`, else behind all read-only
    sections. `padding` is what .data and .rodata are filled up to a multiple of, in bytes; `bss_in_data`
    makes .bss zero bytes of .data.
    """

    names: bytes = b""
    names_first: bool = False
    padding: int = 1
    bss_in_data: bool = False


_AS_LOADED: Final = Arrangement()


def text_sections(sections: Iterable[Section]) -> list[Section]:
    """The executable sections in the order of the linked text: `.text` first, then header order."""
    found = [section for section in sections if section.is_text]
    return sorted(found, key=lambda section: section.name != ".text")


def text_offsets(sections: Iterable[Section]) -> dict[int, int]:
    """Header index → offset in the linked text, in its order. LoadError when one would end in mid-slot."""
    offsets: dict[int, int] = {}
    end = 0
    for section in text_sections(sections):
        if end % SLOT_SIZE:
            raise refuse(
                f"{section.label} would start at byte {end} of the text, no multiple of {SLOT_SIZE}",
                where=section.label,
            )
        offsets[section.index] = end
        end += section.size
    return offsets


def link(obj: ElfObject, *, ram_limit: int, arrangement: Arrangement = _AS_LOADED) -> Linked:
    """Place and relocate. Raises LoadError with the `load-*` id of what is wrong.

    `ram_limit` is in bytes, for .data and .bss together; it is checked before they are allocated.
    """
    linked = _place(obj, ram_limit, arrangement)
    for target, entries in obj.relocation_tables():
        if not target.loaded:
            continue
        relocate = _relocate_text if target.is_text else _relocate_pointer
        for entry in entries:
            if entry.type != R_BPF_64_NODYLD32:
                relocate(obj, target, entry, linked)
    return linked


def _place(obj: ElfObject, ram_limit: int, arrangement: Arrangement) -> Linked:
    rodata = [section for section in obj.sections if section.is_rodata]
    rodata.sort(key=lambda section: section.name != ".rodata")
    data = [section for section in obj.sections if section.is_data]
    bss = [section for section in obj.sections if section.is_bss]
    address: dict[int, int] = {}
    names_at, rodata_end = _assign_rodata(rodata, arrangement, address)
    data_end = _assign(data, DATA_BASE, address)
    if not arrangement.bss_in_data:
        data_end = _align(data_end, arrangement.padding)
    end, common = _place_common(obj, _assign(bss, data_end, address))
    if arrangement.bss_in_data:
        data_end = end = _align(end, arrangement.padding)
    if end - DATA_BASE > ram_limit:
        raise LoadError(
            f".data and .bss need {end - DATA_BASE} bytes, the device has {ram_limit}",
            code="load-ram",
            where=".data and .bss",
            hint="make static arrays smaller",
        )
    offsets = text_offsets(obj.sections)
    read_only = _fill(rodata, RODATA_BASE, rodata_end, address)
    read_only[names_at - RODATA_BASE : names_at - RODATA_BASE + len(arrangement.names)] = arrangement.names
    return Linked(
        text_offset=offsets,
        address=address,
        common=common,
        text=bytearray().join(obj.sections[index].data for index in offsets),
        rodata=read_only,
        data=_fill(data, DATA_BASE, data_end, address),
        bss_size=end - data_end,
        names_at=names_at - RODATA_BASE,
    )


def _assign_rodata(
    sections: list[Section], arrangement: Arrangement, address: dict[int, int]
) -> tuple[int, int]:
    """(address of the names, end of .rodata)."""
    first = [section for section in sections if section.name == ".rodata" or not arrangement.names_first]
    names_at = _assign(first, RODATA_BASE, address)
    end = _assign(sections[len(first) :], names_at + len(arrangement.names), address)
    return names_at, _align(end, arrangement.padding)


def _align(address: int, alignment: int) -> int:
    return address + -address % max(alignment, 1)


def _assign(sections: Iterable[Section], start: int, address: dict[int, int]) -> int:
    """Give each section the next multiple of its alignment; the end of the last one."""
    for section in sections:
        address[section.index] = _align(start, section.align)
        start = address[section.index] + section.size
    return start


def _place_common(obj: ElfObject, end: int) -> tuple[int, dict[int, int]]:
    """Allocate the SHN_COMMON symbols behind .bss; their value is the alignment."""
    common: dict[int, int] = {}
    for symbol in obj.symbols:
        if symbol.is_common:
            if symbol.value > MAX_ALIGNMENT:
                raise refuse(
                    f"common symbol {obj.label(symbol)}: alignment is {symbol.value}",
                    where=f"symbol {symbol.number}",
                )
            common[symbol.number] = _align(end, symbol.value)
            end = common[symbol.number] + symbol.size
    return end, common


def _fill(sections: Iterable[Section], base: int, end: int, address: dict[int, int]) -> bytearray:
    content = bytearray(end - base)
    for section in sections:
        at = address[section.index] - base
        content[at : at + section.size] = section.data
    return content


def _relocate_text(obj: ElfObject, target: Section, entry: Relocation, linked: Linked) -> None:
    if entry.offset % SLOT_SIZE or entry.offset + SLOT_SIZE > target.size:
        raise _refuse(target, entry, f"r_offset is 0x{entry.offset:x}, which is no instruction")
    at = linked.text_offset[target.index] + entry.offset
    slot = Slot.parse(bytes(linked.text[at : at + SLOT_SIZE]), 0)
    if entry.type == R_BPF_64_64 and slot.opcode == _LDDW and entry.offset + 2 * SLOT_SIZE <= target.size:
        _set_address(obj, target, entry, linked, slot)
    elif entry.type == R_BPF_64_32 and slot.opcode == _CALL:
        _set_callee(obj, target, entry, linked, slot)
    else:
        raise _refuse(
            target,
            entry,
            f"r_info type is {entry.type} on opcode 0x{slot.opcode:02x} at {describe_at(at // SLOT_SIZE)}",
        )


def _set_address(obj: ElfObject, target: Section, entry: Relocation, linked: Linked, slot: Slot) -> None:
    """lddw: imm_low = S + addend, imm_high = 0; the addend is the old imm_low."""
    at = linked.text_offset[target.index] + entry.offset
    value = (_address(obj, target, entry, linked) + slot.imm) & ADDRESS_MASK
    linked.text[at + 4 : at + 8] = value.to_bytes(4, "little")
    linked.text[at + 12 : at + 16] = bytes(4)


def _set_callee(obj: ElfObject, target: Section, entry: Relocation, linked: Linked, slot: Slot) -> None:
    """call: src = 1, imm counts from the next instruction; the target is symbol + imm + 1, in slots.

    It lies in the symbol's section: the next one may be any function.
    """
    symbol = obj.symbols[entry.symbol]
    section = _section_of(obj, target, entry, symbol)
    offset = linked.text_offset.get(section.index)
    if offset is None or symbol.value % SLOT_SIZE:
        raise _refuse(
            target,
            entry,
            f"call to {obj.label(symbol)} at 0x{symbol.value:x} of {section.label}: no code there",
        )
    callee = symbol.value // SLOT_SIZE + slot.imm + 1
    if not 0 <= callee < section.size // SLOT_SIZE:
        raise _refuse(
            target,
            entry,
            f"call to instruction {callee} of {section.label}, which has {section.size // SLOT_SIZE}",
        )
    at = linked.text_offset[target.index] + entry.offset
    distance = offset // SLOT_SIZE + callee - at // SLOT_SIZE - 1
    linked.text[at : at + SLOT_SIZE] = slot._replace(src=1, imm=distance).pack()


def _relocate_pointer(obj: ElfObject, target: Section, entry: Relocation, linked: Linked) -> None:
    """A pointer in data or read-only data: S + the value that is there."""
    size = _POINTER_SIZES.get(entry.type)
    if size is None or target.is_bss:
        raise _refuse(target, entry, f"r_info type is {entry.type}, which has no place in {target.label}")
    if entry.offset + size > target.size:
        raise _refuse(
            target, entry, f"r_offset is 0x{entry.offset:x} for {size} bytes, the section has {target.size}"
        )
    content, base = (linked.rodata, RODATA_BASE) if target.is_rodata else (linked.data, DATA_BASE)
    at = linked.address[target.index] - base + entry.offset
    value = _address(obj, target, entry, linked) + int.from_bytes(content[at : at + size], "little")
    content[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _address(obj: ElfObject, target: Section, entry: Relocation, linked: Linked) -> int:
    """S: the guest address of a symbol in data, read-only data or bss."""
    symbol = obj.symbols[entry.symbol]
    if symbol.is_common:
        return linked.common[symbol.number]
    section = _section_of(obj, target, entry, symbol)
    if section.is_text:
        raise LoadError(
            f"address of function {obj.label(symbol)}: functions have no address",
            code="load-reloc",
            where=_place_of(target, entry),
            hint="call it directly; function pointers are not supported",
        )
    return linked.address[section.index] + symbol.value


def _section_of(obj: ElfObject, target: Section, entry: Relocation, symbol: Symbol) -> Section:
    """The loaded section that a symbol lies in."""
    if symbol.section == SHN_ABS:
        raise LoadError(
            f"symbol {obj.label(symbol)} is a number, 0x{symbol.value:x}, and lies in no section",
            code="load-symbol",
            where=_place_of(target, entry),
            hint="a program has addresses of its own functions and data only",
        )
    if not symbol.is_defined:
        raise LoadError(
            f"symbol {obj.label(symbol)} is not defined in this object (st_shndx 0x{symbol.section:x})",
            code="load-symbol",
            where=_place_of(target, entry),
            hint="define it in the same file; helpers are called by their id",
        )
    section = obj.sections[symbol.section]
    if not section.loaded:
        raise LoadError(
            f"symbol {obj.label(symbol)} lies in {section.label}, which is not loaded",
            code="load-symbol",
            where=_place_of(target, entry),
            hint="put it into a section that is allocated",
        )
    if symbol.value > section.size:
        raise _refuse(
            target,
            entry,
            f"symbol {obj.label(symbol)}: st_value is 0x{symbol.value:x}, {section.label} has"
            f" {section.size} bytes",
        )
    return section


def _place_of(target: Section, entry: Relocation) -> str:
    return f"{target.label}+0x{entry.offset:x}"


def _refuse(target: Section, entry: Relocation, problem: str) -> LoadError:
    return LoadError(
        problem,
        code="load-reloc",
        where=_place_of(target, entry),
        hint="relocatable objects of clang --target=bpfel -c link as they are; this one was changed",
    )
