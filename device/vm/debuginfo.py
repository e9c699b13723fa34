"""Source lines of an object, from its DWARF line table; for the operator, devices get no debug info.

Addresses in a relocatable object count from the start of their section. The relocations of the line table are
applied to a copy here, with the places of the sections in the linked text, so that it gives linked offsets.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, Final

from device.vm import elf
from device.vm.isa import SLOT_SIZE
from device.vm.link import R_BPF_64_ABS64, text_sections

_MAX_ROWS: Final = 1_000_000


def line_table(obj: bytes) -> dict[int, str]:
    """Linked slot → "file:line". Empty when the object has no debug information, or it is damaged."""
    try:
        rows = _rows(_with_linked_addresses(obj))
    except Exception:  # noqa: BLE001  # debug information is advice: pyelftools raises anything on damage
        return {}
    lines: dict[int, str] = {}
    for address, place in rows:
        lines.setdefault(address // SLOT_SIZE, place)
    return lines


def _with_linked_addresses(obj: bytes) -> bytes:
    """The object with the addresses in its line table counted from the start of the linked text."""
    parsed = elf.parse(obj)
    start, starts = 0, {}
    for section in text_sections(parsed.sections):
        starts[section.index] = start
        start += section.size
    patched = bytearray(obj)
    for line_section in (section for section in parsed.sections if section.name == ".debug_line"):
        for entry in parsed.relocations(line_section):
            symbol = parsed.symbols[entry.symbol]
            if entry.type == R_BPF_64_ABS64 and symbol.section in starts:
                at = line_section.offset + entry.offset
                (addend,) = struct.unpack_from("<Q", patched, at)
                struct.pack_into("<Q", patched, at, starts[symbol.section] + symbol.value + addend)
    return bytes(patched)


def _rows(obj: bytes) -> list[tuple[int, str]]:
    from elftools.elf.elffile import ELFFile

    dwarf = ELFFile(BytesIO(obj)).get_dwarf_info(relocate_dwarf_sections=False)
    rows: list[tuple[int, str]] = []
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        for entry in program.get_entries():
            state = entry.state
            if state is not None and not state.end_sequence and state.line and len(rows) < _MAX_ROWS:
                rows.append((state.address, f"{_file(program, state.file)}:{state.line}"))
    return rows


def _file(program: Any, number: int) -> str:
    """The name of a file entry; numbers count from 1 before DWARF 5, from 0 since."""
    header = program.header
    index = number if header.version >= 5 else number - 1
    return str(header.file_entry[index].name.decode("utf-8", "backslashreplace"))
