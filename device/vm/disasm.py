"""Disassembler: any bytes to lines that read well and assemble to the same bytes again.

A slot that the assembler has no words for (an unknown opcode, a reserved field that is not 0) is shown as
`.bytes`, with what is wrong as a comment. Jump targets inside the text get labels, functions their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from device.vm.isa import BY_OPCODE, REGISTERS, SLOT_SIZE, Form, Instruction, Slot, walk
from device.vm.operands import is_name
from device.vm.program import Program

_DECIMAL_BELOW: Final = 4096
_CALL_WORDS: Final = frozenset({"helper", "local"})  # `call local` is another instruction
_MINUS_ONE: Final = b"\xff" * 4


@dataclass(frozen=True, slots=True)
class DisassembledLine:
    """An instruction: its first slot, bytes, text, the label that stands before it, its source line.

    `note` is for people: the id of a helper that is shown by name, why bytes are no instruction.
    """

    slot: int
    raw: bytes
    text: str
    label: str | None = None
    note: str | None = None
    source: str | None = None

    @property
    def slots(self) -> int:
        """Slots that the line takes; 0 for what is left over at the end of a text."""
        return len(self.raw) // SLOT_SIZE

    @property
    def hex(self) -> str:
        """The bytes, in groups of a slot."""
        return self.raw.hex(" ", -SLOT_SIZE)

    def __str__(self) -> str:
        comment = ", ".join(part for part in (self.note, self.source) if part)
        shown = f"{self.slot:>5}  {self.hex:<33}  {self.text}"
        return f"{shown:<72}  ; {comment}" if comment else shown


def disassemble(
    program: Program, *, helpers: Mapping[int, str] = MappingProxyType({})
) -> list[DisassembledLine]:
    """All lines of the linked text, in order. `helpers` names helper ids. Raises nothing."""
    return list(_Disassembler(program, helpers).lines())


def to_source(lines: Iterable[DisassembledLine]) -> str:
    """Assembler text that assembles to the same bytes (with the ids of the helpers that were named)."""
    written = []
    for line in lines:
        if line.label is not None:
            written.append(f"{line.label}:")
        written.append(f"    {line.text}" + (f"  ; {line.note}" if line.note else ""))
    return "\n".join(written) + "\n"


class _Disassembler:
    def __init__(self, program: Program, helpers: Mapping[int, str]) -> None:
        self._program = program
        self._text = program.text
        self._walked = list(walk(program.text))
        self._helpers = _unambiguous(helpers)
        self._labels = self._name_targets()

    def lines(self) -> Iterator[DisassembledLine]:
        for slot, instruction in self._walked:
            end = slot + (instruction.op.form.slots if instruction else 1)
            yield self._line(slot, self._text[slot * SLOT_SIZE : end * SLOT_SIZE], instruction)
        count = self._program.slots
        if rest := self._text[count * SLOT_SIZE :]:
            yield DisassembledLine(count, rest, f".bytes {rest.hex()}", note="incomplete slot at the end")

    def _line(self, slot: int, raw: bytes, instruction: Instruction | None) -> DisassembledLine:
        text, note = f".bytes {raw.hex()}", None
        if instruction is None:
            note = _why(raw)
        elif (written := _exact(raw, instruction)) is None:
            note = f"{instruction.op.mnemonic} with a field that must be 0"
        else:
            text, note = self._written(written)
        return DisassembledLine(slot, raw, text, self._labels.get(slot), note, self._program.lines.get(slot))

    def _written(self, instruction: Instruction) -> tuple[str, str | None]:
        form = instruction.op.form
        operands = ", ".join(self._operand(instruction, word) for word in form.operands)
        note = None
        if form is Form.CALL_HELPER and instruction.imm in self._helpers:
            note = f"0x{instruction.imm:x}"
        return f"{instruction.op.mnemonic} {operands}".strip(), note

    def _operand(self, instruction: Instruction, word: str) -> str:
        match word:
            case "dst":
                return f"r{instruction.dst}"
            case "src":
                return f"r{instruction.src}"
            case "[dst+off]" | "[src+off]":
                base = instruction.dst if word == "[dst+off]" else instruction.src
                return f"[r{base}{instruction.off:+d}]"
            case "imm" | "imm64":
                return _number(instruction.imm)
            case "helper":
                return self._helpers.get(instruction.imm, f"0x{instruction.imm:x}")
            case _:
                target = instruction.target or 0
                return self._labels.get(target, f"{target - instruction.pc - 1:+d}")

    def _name_targets(self) -> dict[int, str]:
        """A label for every function and every target that is the start of an instruction."""
        starts = {slot for slot, _ in self._walked}
        labels: dict[int, str] = {}
        taken: set[str] = set()
        for function in self._program.functions:
            name = function.name
            if function.start in starts and name is not None and is_name(name) and name not in taken:
                labels.setdefault(function.start, name)
                taken.add(name)
        for _, instruction in self._walked:
            target = None if instruction is None else instruction.target
            if target in starts and target not in labels:
                labels[target] = _fresh(instruction, target, taken)
        return labels


def _fresh(instruction: Instruction | None, target: int, taken: set[str]) -> str:
    """A label for slot `target` that no function has."""
    local_call = instruction is not None and instruction.op.form is Form.CALL_LOCAL
    name = f"fn_{target}" if local_call else f"L{target}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _exact(raw: bytes, instruction: Instruction) -> Instruction | None:
    """The instruction as the assembler takes it, or None when that would not give the same bytes."""
    form = instruction.op.form
    fields = {field: getattr(instruction, field) for field in ("dst", "src", "off", "imm")}
    fields.update(dict.fromkeys(form.zero, 0))
    if form.selector is not None:
        fields[form.selector] = instruction.op.select
    if form is Form.WIDE_RELATIVE and raw.endswith(_MINUS_ONE):
        fields["imm"] = instruction.imm - (1 << 32)  # the assembler sign-extends a negative offset
    written = Instruction(instruction.pc, instruction.op, **fields)
    representable = max(written.dst, written.src) < REGISTERS and written.imm >= -(1 << 31)
    return written if representable and written.encode() == raw else None


def _why(raw: bytes) -> str:
    """Why a slot is no instruction."""
    slot = Slot.parse(raw, 0)
    rows = BY_OPCODE.get(slot.opcode, ())
    if not rows:
        return f"unknown opcode 0x{slot.opcode:02x}"
    selector = rows[0].form.selector
    if selector is None:
        return f"second half of {rows[0].mnemonic} is missing"
    return f"{rows[0].mnemonic} with field {selector} {getattr(slot, selector)}"


def _number(value: int) -> str:
    return str(value) if abs(value) < _DECIMAL_BELOW else f"{value:#x}"


def _unambiguous(helpers: Mapping[int, str]) -> dict[int, str]:
    """The helper names that can be written and mean one helper."""
    counts = Counter(helpers.values())
    return {
        number: name
        for number, name in helpers.items()
        if is_name(name) and counts[name] == 1 and name.lower() not in _CALL_WORDS
    }
