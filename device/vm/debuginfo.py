"""Source lines of an object, from its DWARF line table; for the operator, devices get no debug info.

Addresses in a relocatable object count from the start of their section. The relocations of the line table are
applied to a copy here, with the places of the sections in the linked text, so that it gives linked offsets.

Objects come from strangers too. The units of the table are read one by one, each from its own bytes, so that
the work is linear whatever the headers say; pyelftools runs the line programs (DWARF 5 section 6.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, Final

from device.vm import elf
from device.vm.elf_format import R_BPF_64_ABS32, R_BPF_64_ABS64, ElfObject
from device.vm.isa import SLOT_SIZE
from device.vm.link import text_offsets

_LINE: Final = ".debug_line"
_UNIT_LENGTH: Final = struct.Struct("<I")
_DWARF_64: Final = 0xFFFFFFF0
_MAX_UNIT: Final = 256 * 1024
"""Bytes: pyelftools needs quadratic time for a number that fills a unit."""

_MAX_NAME: Final = 1023
_VERSIONS: Final = range(2, 6)
_TABLES_SINCE: Final = 5
_VERSION: Final = struct.Struct("<H")
_HEADER_LENGTH_ENDS: Final = (10, 12)
"""Where the header that header_length counts starts: before version 5, and in it."""
_OPCODE_BASE_AT: Final = 17
"""Where a version 5 header of the 32-bit format has it; one byte per standard opcode follows, then tables."""

# DWARF 5 section 7.5.6: forms of the name tables by their size.
_FORM_STRING: Final = 0x08
_FORM_UDATA: Final = 0x0F
_FORM_STRP: Final = 0x0E
_FORM_LINE_STRP: Final = 0x1F
_FORM_SIZES: Final = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, _FORM_STRP: 4, 0x1E: 16, _FORM_LINE_STRP: 4}


def line_table(obj: bytes, *, slots: int | None = None) -> dict[int, str]:
    """Linked slot → "file:line". Empty when the object has no debug information, or it is damaged.

    `slots` is how many a text has that was made of the object: a jump in front of it moves the others.
    """
    try:
        return _line_table(elf.parse(obj), slots)
    except Exception:  # noqa: BLE001  # debug information is advice: pyelftools raises anything on damage
        return {}


def _line_table(obj: ElfObject, slots: int | None) -> dict[int, str]:
    strings = {section.name: section.data for section in obj.sections if section.name.startswith(".debug_")}
    offsets = text_offsets(obj.sections)
    end = sum(obj.sections[index].size for index in offsets)
    shift = 0 if slots is None else slots - end // SLOT_SIZE
    lines: dict[int, str] = {}
    for unit in _units(_relocated(obj, offsets)):
        for address, place in _rows(unit, strings):
            if 0 <= address < end:
                # Of several rows for an address the last one counts.
                lines[address // SLOT_SIZE + shift] = place
    return lines


def _relocated(obj: ElfObject, offsets: Mapping[int, int]) -> bytes:
    """The line table with addresses counted from the start of the linked text."""
    (section,) = (section for section in obj.sections if section.name == _LINE)
    table = bytearray(section.data)
    for target, entries in obj.relocation_tables():
        if target is not section:
            continue
        for entry in entries:
            symbol = obj.symbols[entry.symbol]
            field = {R_BPF_64_ABS64: "<Q", R_BPF_64_ABS32: "<I"}[entry.type]
            (addend,) = struct.unpack_from(field, table, entry.offset)
            value = offsets.get(symbol.section, 0) + symbol.value + addend
            struct.pack_into(field, table, entry.offset, value)
    return bytes(table)


def _units(table: bytes) -> Iterator[bytes]:
    """The line number programs, which fill the section one after the other."""
    at = 0
    while at < len(table):
        (length,) = _UNIT_LENGTH.unpack_from(table, at)
        if length >= _DWARF_64:
            raise ValueError("64-bit DWARF")
        end = at + _UNIT_LENGTH.size + length
        if end > len(table) or length > _MAX_UNIT:
            raise ValueError(f"a unit of {length} bytes")
        yield table[at:end]
        at = end


def _rows(unit: bytes, strings: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    """(address, "file:line") of every row that has a line."""
    from elftools.common.utils import struct_parse
    from elftools.dwarf.lineprogram import LineProgram
    from elftools.dwarf.structs import DWARFStructs

    (version,) = _VERSION.unpack_from(unit, _UNIT_LENGTH.size)
    if version not in _VERSIONS:
        raise ValueError(f"version {version}")
    if version == _TABLES_SINCE:
        _check_tables(unit)
    structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)
    stream = BytesIO(unit)
    header = struct_parse(structs.Dwarf_lineprog_header, stream, 0)
    if stream.tell() != _HEADER_LENGTH_ENDS[version == _TABLES_SINCE] + header.header_length:
        raise ValueError(f"header_length is {header.header_length}")
    program = LineProgram(header, stream, structs, stream.tell(), len(unit))
    name_of = _file_names(header, strings)
    for entry in program.get_entries():
        state = entry.state
        if state is not None and not state.end_sequence and state.line > 0:
            yield state.address, f"{name_of(state.file)}:{state.line}"


def _file_names(header: Any, strings: Mapping[str, bytes]) -> Callable[[int], str]:
    """File number → name. Numbers count from 1 before DWARF 5, from 0 since."""
    version_5 = header.version >= _TABLES_SINCE
    names: dict[int, str] = {}

    def look_up(number: int) -> bytes:
        if not version_5:
            return bytes(header.file_entry[number - 1].name) if number else b"?"
        name = header.file_names[number].DW_LNCT_path
        return bytes(name) if isinstance(name, bytes) else _string(strings[section], name)

    form = {f.content_type: f.form for f in header.file_name_entry_format or ()}.get("DW_LNCT_path")
    section = ".debug_line_str" if form == "DW_FORM_line_strp" else ".debug_str"

    def name_of(number: int) -> str:
        if number not in names:
            names[number] = look_up(number)[:_MAX_NAME].decode("utf-8", "backslashreplace")
        return names[number]

    return name_of


def _string(table: bytes, offset: int) -> bytes:
    return table[offset : table.index(b"\0", offset, offset + _MAX_NAME + 1)]


def _check_tables(unit: bytes) -> None:
    """Refuse tables whose entries take no bytes: their count could be anything, and be counted to."""
    opcode_base = unit[_OPCODE_BASE_AT]
    if opcode_base == 0:
        raise ValueError("opcode_base is 0")
    at = _OPCODE_BASE_AT + opcode_base
    for _ in ("directories", "files"):
        formats, at = unit[at], at + 1
        forms: list[int] = []
        for _ in range(formats):
            _, at = _uleb128(unit, at)
            form, at = _uleb128(unit, at)
            forms.append(form)
        count, at = _uleb128(unit, at)
        if count > len(unit) or (count and not forms):
            raise ValueError(f"{count} names in {len(unit)} bytes")
        for _ in range(count):
            for form in forms:
                at = _skip(unit, at, form)


def _skip(unit: bytes, at: int, form: int) -> int:
    """Where the field after one of this form starts; every form that is known takes bytes."""
    if form == _FORM_STRING:
        return unit.index(b"\0", at) + 1
    if form == _FORM_UDATA:
        return _uleb128(unit, at)[1]
    end = at + _FORM_SIZES[form]
    if end > len(unit):
        raise ValueError("a name table reaches beyond its unit")
    return end


def _uleb128(unit: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends)."""
    value = shift = 0
    while True:
        byte = unit[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
