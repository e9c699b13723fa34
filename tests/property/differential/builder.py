"""Programs with labels: instructions are emitted, targets filled in at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device.vm.isa import Form, Instruction, Op
from tests.property.programs import EXIT, JUMP, ROWS, shaped

_FAR: Final = frozenset({Form.JUMP_FAR, Form.CALL_LOCAL})
_CALL_LOCAL: Final = ROWS["call local", Form.CALL_LOCAL]
_CALL: Final = ROWS["call", Form.CALL_HELPER]


@dataclass(frozen=True, slots=True)
class Item:
    """An instruction, and the label that it goes to, if it goes anywhere."""

    instruction: Instruction
    label: int | None = None


class Builder:
    """A text in the making. Labels are numbers; each is placed once."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._places: list[int | None] = []

    def label(self) -> int:
        """A new label, to be placed."""
        self._places.append(None)
        return len(self._places) - 1

    def place(self, label: int) -> None:
        """The label is here."""
        self._places[label] = len(self.items)

    def emit(
        self, op: Op, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, label: int | None = None
    ) -> None:
        """One instruction; fields that its form wants to be 0 are made so."""
        self.items.append(Item(shaped(Instruction(0, op, dst, src, off, imm)), label))

    def alu(self, mnemonic: str, dst: int, imm: int) -> None:
        """With an immediate operand."""
        self.emit(ROWS[mnemonic, Form.ALU_IMM], dst, imm=imm)

    def alu_reg(self, mnemonic: str, dst: int, src: int) -> None:
        """With a register operand."""
        self.emit(ROWS[mnemonic, Form.ALU_REG], dst, src)

    def jump(self, label: int, *, far: bool = False) -> None:
        """`ja`, or `ja32`."""
        self.emit(ROWS["ja32", Form.JUMP_FAR] if far else JUMP, label=label)

    def call(self, helper: int) -> None:
        """A helper by number."""
        self.emit(_CALL, imm=helper)

    def call_local(self, label: int) -> None:
        """A function of the program."""
        self.emit(_CALL_LOCAL, label=label)

    def exit(self) -> None:
        """Out of the function."""
        self.emit(EXIT)

    def text(self) -> bytes:
        """The slots. Labels behind the last instruction are those of the last one."""
        starts = [0]
        for item in self.items:
            starts.append(starts[-1] + item.instruction.op.form.slots)
        parts = []
        for index, item in enumerate(self.items):
            instruction = item.instruction
            if item.label is not None:
                instruction = aimed(instruction, starts[self._target(item.label)] - starts[index] - 1)
            parts.append(instruction.encode())
        return b"".join(parts)

    def start_of(self, label: int) -> int:
        """The slot of a label."""
        return sum(item.instruction.op.form.slots for item in self.items[: self._target(label)])

    def _target(self, label: int) -> int:
        place = self._places[label]
        assert place is not None, label
        return min(place, len(self.items) - 1)


def aimed(instruction: Instruction, distance: int) -> Instruction:
    """A jump or local call over so many slots."""
    if instruction.op.form in _FAR:
        return replace(instruction, imm=distance)
    return replace(instruction, off=distance)
