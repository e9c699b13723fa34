"""What an image says of itself before its contents: the header, field by field (programs.md section 2)."""

from __future__ import annotations

from typing import Any

from device.vm import elf
from device.vm.elf_format import ElfObject
from device.vm.layouts import reader
from device.vm.layouts.header import Parts
from device.vm.program import Layout, Program


def describe(image: bytes, program: Program) -> dict[str, Any]:
    """The header of an image that loads to `program`: fields and tables; empty for bare text."""
    if program.layout is Layout.ELF:
        return _of_object(elf.parse(image))
    return _of_parts(reader.parse(image)) if program.layout.has_header else {}


def _of_parts(parts: Parts) -> dict[str, Any]:
    names = parts.names()
    shown: dict[str, Any] = {
        "magic": f"0x{int.from_bytes(parts.magic, 'little'):08x}",
        "version": 0,
        "flags": 0,
        **parts.fields(),
        "function_records": [
            {
                "name": names[record.name_offset],
                "name_offset": record.name_offset,
                "location_offset": record.location,
            }
            for record in parts.functions
        ],
    }
    if parts.layout is Layout.EXTENDED:
        shown["call_records"] = [
            {"instruction_offset": record.instruction, "function_text_offset": record.function}
            for record in parts.calls
        ]
        shown["metadata_helpers"] = list(parts.helpers)
    return shown


def _of_object(obj: ElfObject) -> dict[str, Any]:
    counts = {target.index: 0 for target in obj.sections}
    for target, entries in obj.relocation_tables():
        counts[target.index] += sum(1 for _ in entries)
    return {
        "type": "relocatable object, ELF64, little-endian, BPF",
        "symbols": max(len(obj.symbols) - 1, 0),
        "object_sections": [
            {
                "name": section.name,
                "size": section.size,
                "align": section.align,
                "relocations": counts[section.index],
            }
            for section in obj.sections
            if section.loaded
        ],
    }


def header_lines(header: dict[str, Any]) -> dict[str, str]:
    """The same for people: a line for every field or table."""
    lines: dict[str, str] = {}
    fields = {name: value for name, value in header.items() if not isinstance(value, list)}
    if fields:
        lines["header"] = ", ".join(f"{name} {value}" for name, value in fields.items())
    for number, record in enumerate(header.get("function_records", ())):
        lines[f"function {number}"] = (
            f"{record['name']}, name at {record['name_offset']} of .rodata,"
            f" code at 0x{record['location_offset']:x} of .text"
        )
    calls = [
        f"0x{record['instruction_offset']:x} to 0x{record['function_text_offset']:x}"
        for record in header.get("call_records", ())
    ]
    if calls:
        lines["relocated calls"] = ", ".join(calls)
    if "metadata_helpers" in header:
        ids = " ".join(f"0x{number:02x}" for number in header["metadata_helpers"])
        lines["lists helpers"] = ids or "none"
    for number, section in enumerate(header.get("object_sections", ())):
        lines[f"section {number}"] = (
            f"{section['name']}, {section['size']} bytes, alignment {section['align']},"
            f" {section['relocations']} relocations"
        )
    return lines
