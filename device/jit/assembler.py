"""The assembler: encodings in, in order, and `Code` out, with labels, relaxed branches and literal pools.

    asm = Assembler()
    loop = asm.label("loop")
    asm.literal(R.R3, 0x12345678)                       # ldr r3, =0x12345678
    asm.bind(loop)
    asm.mark(7)                                         # what follows belongs to eBPF pc 7
    asm.emit(alu(Alu.EOR, R.R0, R.R0, R.R3), alu_imm(Alu.SUB, R.R1, R.R1, 1, Flags.SET))
    asm.jump_if(Cond.NE, loop)
    asm.emit(bx(R.LR))
    code = asm.finish()

For the author of the lowering:

- A branch is as short as its distance allows; nothing has to be known beforehand. `jump_if_zero` keeps the
  flags only while it is a CBZ: what follows must not read flags from before it.
- Literals are shared and go behind the last instruction, or to where `pool` is called (after a return or an
  unconditional jump, where nothing runs into them). If none of that comes within reach the assembler puts
  an island with a jump around it between two calls, so one call of `emit` is never torn: emit what has to
  stay together (an IT block, above all: `if_then`) in one call.
- `ldr` of a literal has 2 + 4 bytes (low register, within 1 KiB), and 2 for each further use; MOVW and MOVT
  have 8 and cost no load. `try_mov_imm` first.
- Marks are cheap. Set one in front of all that can fault, and at each instruction's start.
- Labels may be bound once, and used before or after. A label without a name does not appear in the code.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final

from device.jit.code import Code
from device.jit.encoder.control import if_then
from device.jit.encoder.immediates import WORD_MASK
from device.jit.encoder.operands import NARROW_LIMIT, Cond
from device.jit.errors import EncodingError
from device.jit.fixups import Call, Fixup, FromLiteral, Jump, JumpIf, JumpIfZero, Label, Padding

_REACH: Final = (4095 - 16) // 2
"""Halfwords from the first use of a literal to the end of its pool, less a jump around it and alignment."""
_UNLIMITED: Final = sys.maxsize


class Assembler:
    """One piece of code in the making."""

    def __init__(self) -> None:
        self._halves: list[int] = []  # all instructions that are not fixups, and the literals
        self._fixups: list[tuple[int, Fixup]] = []  # (bytes of _halves before it, fixup)
        self._labels: list[Label] = []
        self._marks: list[tuple[int, int, int]] = []  # (bytes of _halves, fixups before it, pc)
        self._pending: dict[int, Label] = {}
        self._limit = _UNLIMITED  # the length of _halves by which the pool must have been placed
        self._pools: list[tuple[Label, int]] = []  # where literals are placed, and how many bytes

    def emit(self, *encodings: int) -> None:
        """Append instructions, never torn apart by a literal pool."""
        halves = self._halves
        if len(halves) + 2 * len(encodings) > self._limit:
            self._island()
        for encoding in encodings:
            if encoding < NARROW_LIMIT:
                halves.append(encoding)
            else:
                halves.append(encoding >> 16)
                halves.append(encoding & 0xFFFF)

    def if_then(self, cond: Cond, then: Sequence[int], otherwise: Sequence[int] = ()) -> None:
        """An IT block: `then` under `cond`, then `otherwise` under its inverse, four at most together."""
        if not then:
            raise EncodingError("an IT block begins with an instruction under its condition")
        self.emit(if_then(cond, "t" * (len(then) - 1) + "e" * len(otherwise)), *then, *otherwise)

    def mark(self, pc: int) -> None:
        """What follows belongs to the eBPF instruction at `pc`."""
        self._marks.append((2 * len(self._halves), len(self._fixups), pc))

    def label(self, name: str = "") -> Label:
        """A label that is still to be bound."""
        return Label(name)

    def bind(self, label: Label) -> None:
        """Let `label` be here."""
        if label.before >= 0:
            raise EncodingError(f"the label {label.name!r} is bound twice")
        label.before = 2 * len(self._halves)
        label.fixups = len(self._fixups)
        self._labels.append(label)

    def here(self, name: str = "") -> Label:
        """A new label, bound here."""
        label = Label(name)
        self.bind(label)
        return label

    def jump(self, target: Label) -> None:
        """`b target`."""
        self._append(Jump(target))

    def jump_if(self, cond: Cond, target: Label) -> None:
        """`bcc target`."""
        self._append(JumpIf(cond, target))

    def jump_if_zero(self, register: int, target: Label, *, nonzero: bool = False) -> None:
        """`cbz register, target` (or `cbnz`); the flags are lost."""
        self._append(JumpIfZero(register, target, nonzero=nonzero))

    def call(self, target: Label) -> None:
        """`bl target`."""
        self._append(Call(target))

    def address(self, register: int, target: Label) -> None:
        """`adr register, target`: within 4 KiB, without the T bit."""
        self._append(FromLiteral(register, target, address=True))

    def literal(self, register: int, value: int) -> None:
        """`ldr register, =value`, `value` modulo 2^32."""
        value &= WORD_MASK
        if len(self._halves) + 4 > self._limit:
            self._island()
        if not self._pending:
            self._limit = len(self._halves) + _REACH
        if value not in self._pending:  # a word further behind the first one, as its first use is at least
            self._pending[value] = Label()
        self._append(FromLiteral(register, self._pending[value]))

    def pool(self) -> None:
        """Place the literals here, where no instruction runs into them."""
        if not self._pending:
            return
        pending, self._pending, self._limit = self._pending, {}, _UNLIMITED
        self._append(Padding())
        self._pools.append((self.here(), 4 * len(pending)))
        for value, label in pending.items():
            label.before, label.fixups = 2 * len(self._halves), len(self._fixups)
            self._halves += (value & 0xFFFF, value >> 16)

    def _island(self) -> None:
        """Place the literals here, and jump around them."""
        over = Label()
        self._limit = _UNLIMITED
        self.jump(over)
        self.pool()
        self.bind(over)

    def _append(self, fixup: Fixup) -> None:
        if len(self._halves) + fixup.worst // 2 > self._limit:
            self._island()
        if self._pending:
            self._limit -= fixup.worst // 2
        self._fixups.append((2 * len(self._halves), fixup))

    def finish(self) -> Code:
        """Place what literals are left, choose every size, and encode.

        Raises EncodingError for a label that was never bound and for a distance that nothing spans.
        """
        self.pool()
        starts = self._layout()
        text = self._encoded(starts)
        padding = sum(fixup.size for _, fixup in self._fixups if isinstance(fixup, Padding))
        marks = {before + starts[count]: pc for before, count, pc in self._marks}
        pools = tuple((label.before + starts[label.fixups], size) for label, size in self._pools)
        labels = {label.name: label.before + starts[label.fixups] for label in self._labels if label.name}
        return Code(
            text, sum(size for _, size in pools) + padding, tuple(sorted(marks.items())), labels, pools
        )

    def _layout(self) -> list[int]:
        """Let fixups grow until all fit. Returns the bytes of fixups before each of them, and of all."""
        starts: list[int] = []

        def offset(label: Label) -> int:
            if label.before < 0:
                raise EncodingError(f"the label {label.name!r} is not bound")
            return label.before + starts[label.fixups]

        while True:
            starts[:] = self._starts()
            growing = [
                fixup.fit(before + start, offset)
                for (before, fixup), start in zip(self._fixups, starts, strict=False)
            ]
            if not any(growing):
                return starts

    def _starts(self) -> list[int]:
        starts, total = [0], 0
        for before, fixup in self._fixups:
            if isinstance(fixup, Padding):
                fixup.align(before + total)
            total += fixup.size
            starts.append(total)
        return starts

    def _encoded(self, starts: list[int]) -> bytes:
        """The bytes: runs of plain halfwords with the fixups between them."""
        words = array("H")
        done = 0

        def offset(label: Label) -> int:
            return label.before + starts[label.fixups]

        for (before, fixup), start in zip(self._fixups, starts, strict=False):
            words.extend(self._halves[done : before // 2])
            done = before // 2
            for encoding in fixup.encode(before + start, offset):
                if encoding >= NARROW_LIMIT:
                    words.append(encoding >> 16)
                words.append(encoding & 0xFFFF)
        words.extend(self._halves[done:])
        if sys.byteorder == "big":
            words.byteswap()
        return words.tobytes()
