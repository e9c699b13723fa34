"""What a program is compiled to, beside what it was: `dump --jit` (client.md).

Code depends on what it is compiled for, so a listing is for runs with a context of a given length and nothing
else. Instructions are put into words by capstone, which the extra `listing` brings; without it they are
shown as bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from client.escape import escape
from device.jit.code import Code
from device.jit.compile import Compiled
from device.jit.engine import JitEngine
from device.vm.disasm import DisassembledLine
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Program, Run, build_memory, no_helpers

HINT: Final = "pip install 'micro-bpf-fleet[listing]'"

_WORD: Final = 4
_WIDE: Final = 0xE800
_LEFT: Final = 48
_TRAP: Final = b"\x00\xde"  # udf #0: where code is left


@dataclass(frozen=True, slots=True)
class NativeLine:
    """A piece of native code: `slot` is the eBPF instruction that it is for, None for what is around it.

    `text` is empty where nobody is there to put it into words. `leaves` is the slot at which the interpreter
    goes on, for the places where code is left.
    """

    offset: int
    raw: bytes
    text: str
    slot: int | None = None
    leaves: int | None = None

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        shown: dict[str, Any] = {"offset": self.offset, "bytes": self.raw, "text": self.text}
        optional = {"slot": self.slot, "leaves": self.leaves}
        shown.update({name: value for name, value in optional.items() if value is not None})
        return shown

    @property
    def hex(self) -> str:
        """The bytes by halfwords, as the processor reads them."""
        return " ".join(self.raw[at : at + 2][::-1].hex() for at in range(0, len(self.raw), 2))


@dataclass(frozen=True, slots=True)
class Listing:
    """A program's native code, for runs with so many bytes of context."""

    context: int
    code: Code
    lines: Sequence[NativeLine]

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "context": self.context,
            "size": len(self.code.text),
            "literals": self.code.literals,
            "instructions": [line.to_map() for line in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A line of both: an eBPF instruction beside the first line that it became, or either alone."""

    bytecode: DisassembledLine | None
    native: NativeLine | None


def available() -> bool:
    """Whether instructions can be put into words here."""
    return find_spec("capstone") is not None


def native(program: Program, context: int, engine: JitEngine | None = None) -> Listing:
    """Compile a program that the verifier accepts. Raises JitError when it becomes too long."""
    content = bytearray(context)
    memory = build_memory(program, program.fresh_data(), content)
    run = Run(memory=memory, call_helper=no_helpers, r1=CONTEXT_BASE if context else 0, r2=context)
    (compiled,) = (engine or JitEngine()).compile(program, run)
    return Listing(context, compiled.code, list(_lines(compiled)))


def _lines(compiled: Compiled) -> Iterator[NativeLine]:
    code, text = compiled.code, compiled.code.text
    exits = {offset: exit_.pc for offset, exit_ in compiled.exits.items() if text.startswith(_TRAP, offset)}
    words = _words(code)
    offset, left = 0, -1
    pools = {start: start + size for start, size in code.pools}
    while offset < len(text):
        end = pools.get(offset)
        if end is not None:
            for place in range(offset, end, _WORD):
                raw = text[place : place + _WORD]
                yield NativeLine(place, raw, f".word 0x{int.from_bytes(raw, 'little'):08x}")
            offset = end
            continue
        size = 4 if int.from_bytes(text[offset : offset + 2], "little") >= _WIDE else 2
        if offset in exits:
            left = offset
        yield NativeLine(
            offset,
            text[offset : offset + size],
            words.get(offset, ""),
            slot=_slot(code, offset, left),
            leaves=exits.get(offset),
        )
        offset += size


def _slot(code: Code, offset: int, left: int) -> int | None:
    """What code is for. Behind a function's places to leave, the last of them at `left`, nothing is yet."""
    marks = code.marks
    index = bisect_right(marks, offset, key=lambda mark: mark[0]) - 1
    if index < 0 or marks[index][0] <= left:
        return None
    return marks[index][1]


def _words(code: Code) -> Mapping[int, str]:
    """The instructions in words, by their offsets; targets of branches are offsets too."""
    if not available():
        return {}
    from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs

    disassembler = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
    found, start = {}, 0
    for end, size in (*code.pools, (len(code.text), 0)):
        for address, _, name, operands in disassembler.disasm_lite(code.text[start:end], start):
            found[address] = f"{name} {operands}".strip()
        start = end + size
    return found


def lines(bytecode: Sequence[DisassembledLine], listing: Listing) -> Iterator[str]:
    """Both as text, eBPF on the left; source lines and names of functions stand between."""
    yield f"; {len(listing.code.text)} bytes of Thumb-2 ({listing.code.literals} of literals and padding)"
    yield f"; for runs with {listing.context} bytes of context"
    source = None
    for row in side_by_side(bytecode, listing):
        line = row.bytecode
        if line is not None and line.label is not None:
            yield from ("", f"{escape(line.label)}:")
        if line is not None and line.source not in (None, source):
            source = line.source
            yield f"  ; {escape(source or '')}"
        yield f"{_left(line):<{_LEFT}}{_right(row.native)}".rstrip()


def _left(line: DisassembledLine | None) -> str:
    if line is None:
        return ""
    note = f"  ; {escape(line.note)}" if line.note else ""
    return f"{line.slot:>5}  {escape(line.text)}{note}  "


def _right(line: NativeLine | None) -> str:
    if line is None:
        return ""
    leaves = "" if line.leaves is None else f"  ; leaves, to go on at {line.leaves}"
    return f"{line.offset:>5x}  {line.hex:<9}  {line.text}{leaves}"


def side_by_side(bytecode: Sequence[DisassembledLine], listing: Listing) -> Iterator[Row]:
    """Rows in the order of the native code. What became nothing stands before what follows it."""
    by_slot = {line.slot: line for line in bytecode}
    mentioned = {line.slot for line in listing.lines if line.slot is not None}
    silent = [slot for slot in sorted(by_slot) if slot not in mentioned]
    last: int | None = None
    for line in listing.lines:
        if line.slot is not None and line.slot != last:
            while silent and silent[0] < line.slot:
                yield Row(by_slot[silent.pop(0)], None)
        first = line.slot is not None and line.slot != last
        yield Row(by_slot.get(line.slot) if first and line.slot is not None else None, line)
        last = line.slot
    for slot in silent:
        yield Row(by_slot[slot], None)
