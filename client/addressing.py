"""What lies at the addresses that a program loads: section, offset, symbol, and text where it is text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from device.errors import LoadError
from device.vm import elf
from device.vm.disasm import DisassembledLine
from device.vm.isa import Sem, decode_at
from device.vm.link import link
from device.vm.memory import ADDRESS_MASK, DATA_BASE, RODATA_BASE
from device.vm.program import Layout, Program

_NO_LIMIT: Final = 2**64
_SHOWN: Final = 24
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """A linked program, and the names of its data by address."""

    program: Program
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program, content: bytes) -> Addresses:
        """`content` is the file behind the program; only an object that is linked as it is knows names."""
        return cls(program, _data_names(content) if program.layout is Layout.ELF else {})

    def annotate(self, line: DisassembledLine) -> DisassembledLine:
        """The line with a note on the address that it loads, if it loads one."""
        address = self._loaded(line)
        note = None if address is None else self._describe(address)
        return line if note is None else replace(line, note=note)

    def _loaded(self, line: DisassembledLine) -> int | None:
        instruction = decode_at(self.program.text, line.slot) if line.slots else None
        if instruction is None:
            return None
        match instruction.op.sem:
            case Sem.LDDW:
                return instruction.imm
            case Sem.LDDW_DATA:
                return (self.program.relative_data_base + instruction.imm) & ADDRESS_MASK
            case Sem.LDDW_RODATA:
                return (RODATA_BASE + instruction.imm) & ADDRESS_MASK
            case _:
                return None

    def _describe(self, address: int) -> str | None:
        for name, base, content, size in (
            (".rodata", RODATA_BASE, self.program.rodata, len(self.program.rodata)),
            (".data", DATA_BASE, self.program.data, len(self.program.data)),
            (".bss", DATA_BASE + len(self.program.data), b"", self.program.bss_size),
        ):
            if base <= address < base + size:
                parts = [
                    f"{name}+0x{address - base:x}",
                    self.names.get(address),
                    _text(content[address - base :]),
                ]
                return " ".join(part for part in parts if part)
        return None


def _text(content: bytes) -> str | None:
    """The C string at the start, in quotes; None when it is none that people can read."""
    end = content.find(b"\0")
    if end < 2 or not all(32 <= byte < 127 or byte in b"\n\t\r" for byte in content[:end]):
        return None
    text = content[:end].decode("ascii")
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return '"' + shown.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def _data_names(content: bytes) -> dict[int, str]:
    """Address → name of what an object defines beside functions."""
    try:
        obj = elf.parse(content)
        linked = link(obj, ram_limit=_NO_LIMIT)
    except LoadError:
        return {}
    names: dict[int, str] = {}
    for symbol in obj.symbols:
        address = linked.common.get(symbol.number)
        if symbol.section in linked.address:
            address = linked.address[symbol.section] + symbol.value
        if address is not None and symbol.name:
            names.setdefault(address, symbol.name)
    return names
