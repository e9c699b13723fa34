"""Source lines of an object, from its DWARF line table; for the operator, devices get no debug info.

Addresses in a relocatable object count from the start of their section. The sections' places in the linked
text are written into a copy of the symbol table first, so that the library's relocation gives linked offsets.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, Final

from device.errors import LoadError
from device.vm import elf
from device.vm.isa import SLOT_SIZE
from device.vm.link import text_sections

_VALUE_OFFSET: Final = 8
_MAX_ROWS: Final = 1_000_000


def line_table(obj: bytes) -> dict[int, str]:
    """Linked slot → "file:line". Empty when the object has no debug information, or it is damaged."""
    try:
        rows = _rows(_with_linked_symbols(obj))
    except Exception:  # noqa: BLE001  # debug information is advice: pyelftools raises anything on damage
        return {}
    lines: dict[int, str] = {}
    for address, place in rows:
        lines.setdefault(address // SLOT_SIZE, place)
    return lines


def _with_linked_symbols(obj: bytes) -> bytes:
    """The object with the values of text symbols counted from the start of the linked text."""
    parsed = elf.parse(obj)
    start, starts = 0, {}
    for section in text_sections(parsed.sections):
        starts[section.index] = start
        start += section.size
    table = next((s for s in parsed.sections if s.type == elf.SHT_SYMTAB), None)
    if table is None:
        raise LoadError("no symbols", code="load-elf")
    patched = bytearray(obj)
    for symbol in parsed.symbols:
        if starts.get(symbol.section):
            at = table.offset + symbol.index * elf.SYM.size + _VALUE_OFFSET
            struct.pack_into("<Q", patched, at, symbol.value + starts[symbol.section])
    return bytes(patched)


def _rows(obj: bytes) -> list[tuple[int, str]]:
    from elftools.elf.elffile import ELFFile

    dwarf = ELFFile(BytesIO(obj)).get_dwarf_info()
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
