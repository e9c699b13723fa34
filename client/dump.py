"""A file taken apart: sections, functions, disassembly with symbols and source lines (client.md, `dump`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client.addressing import Addresses
from client.anatomy import describe
from client.image import Packaged, layout_name, with_lines
from device.vm import disasm, helpers
from device.vm.memory import DATA_BASE, RODATA_BASE
from device.vm.program import Program

if TYPE_CHECKING:
    from client.listing import Listing


@dataclass(frozen=True, slots=True)
class Dump:
    """A program to look at."""

    packaged: Packaged
    program: Program
    listing: Listing | None = None

    @classmethod
    def of(cls, packaged: Packaged, *, jit_context: int | None = None) -> Dump:
        """With the source lines that the file knows.

        `jit_context` asks for native code too, for runs with so many bytes of context: raises VerifyError for
        a program that no engine would run.
        """
        program = with_lines(packaged.program, packaged.object)
        if jit_context is None:
            return cls(packaged, program)
        from client.listing import native

        if not packaged.report.accepted:
            raise packaged.refusal()
        return cls(packaged, program, native(program, jit_context))

    def sections(self) -> list[dict[str, Any]]:
        """The linked sections: name, address (text has none), size."""
        program = self.program
        found: list[dict[str, Any]] = [
            {"name": ".text", "address": None, "size": len(program.text)},
            {"name": ".rodata", "address": RODATA_BASE, "size": len(program.rodata)},
            {"name": ".data", "address": DATA_BASE, "size": len(program.data)},
            {"name": ".bss", "address": DATA_BASE + len(program.data), "size": program.bss_size},
        ]
        return [section for section in found if section["size"]]

    def functions(self) -> list[dict[str, Any]]:
        """The functions: name, first slot, number of slots, whether a run begins there."""
        starts = [*(function.start for function in self.program.functions), self.program.slots]
        return [
            {
                "name": function.name,
                "start": function.start,
                "slots": starts[index + 1] - function.start,
                "entry": function.start == self.program.entry,
            }
            for index, function in enumerate(self.program.functions)
        ]

    def header(self) -> dict[str, Any]:
        """What the image says of itself before its contents; empty for bare text."""
        return describe(self.packaged.image, self.program)

    def lines(self) -> list[disasm.DisassembledLine]:
        """The disassembly, with the names of helpers, and what lies at the addresses that are loaded."""
        names = {number: helper.name for number, helper in helpers.HELPERS.items()}
        addresses = Addresses.of(self.program, self.packaged.object)
        return [addresses.annotate(line) for line in disasm.disassemble(self.program, helpers=names)]

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        shown = {
            "name": self.packaged.name,
            "layout": layout_name(self.program.layout),
            "size": len(self.packaged.image),
            "digest": self.packaged.digest.hex(),
            "tag": self.packaged.tag,
            "entry": self.program.entry,
            "header": self.header(),
            "sections": self.sections(),
            "functions": self.functions(),
            "rodata": self.program.rodata,
            "data": self.program.data,
            "instructions": [_instruction(line) for line in self.lines()],
        }
        if self.listing is not None:
            shown["native"] = self.listing.to_map()
        return shown


def _instruction(line: disasm.DisassembledLine) -> dict[str, Any]:
    shown: dict[str, Any] = {"slot": line.slot, "bytes": line.raw, "text": line.text}
    optional = {"label": line.label, "note": line.note, "source": line.source}
    shown.update({name: value for name, value in optional.items() if value is not None})
    return shown
