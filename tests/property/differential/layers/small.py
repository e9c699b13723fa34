"""Small functions, drawn: what can be written where it is called, and what has something that forbids it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from device.vm.isa import Form
from tests.property.differential.builder import Builder
from tests.property.differential.execute import MIX
from tests.property.differential.layers.operands import IMMEDIATES, VALUES, constant
from tests.property.programs import ALU, ROWS, WIDE

SAVED: Final = (6, 7, 8, 9)
SIZES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 11, 15, 20)
LIMITS: Final = (13, 14, 15, 16, 28, 29, 30, 31, 32)
"""Steps with which a function, or two of them, are near the 32 instructions that a compiler lets pass."""

BARS: Final = ("change", "frame", "frame in a register", "branch", "divide", "store", "helper")
"""What keeps a function from being written where it is called."""

_DIVIDING: Final = [op for op in ALU if op.sem in ("div", "mod", "sdiv", "smod") and op.width == 64]
_COMPUTING: Final = [op for op in ALU if op not in _DIVIDING]
_MOVING: Final = [op for op in ALU if op.form is Form.ALU_REG and op.mnemonic.startswith("mov")]
_WHOLE: Final = ROWS["stxdw", Form.STORE_REG]


@dataclass
class _Leaf:
    """A function in the making. Of what it preserves it writes `saves` anew; it calls what is `below` it."""

    out: Builder
    source: random.Random
    size: int
    saves: list[int]
    reads: bool
    crowded: bool
    bar: str = ""
    below: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)

    def write(self) -> None:
        """All of it, with its exit."""
        source, below = self.source, list(self.below)
        barred = source.randrange(self.size + 1) if self.bar else -1
        for place in range(self.size + 1):
            if place == barred:
                self._barred()
            if below and place and source.random() < 0.4:
                self.out.call_local(below.pop())
            if self.saves and source.random() < 0.5:
                self._save(self.saves.pop())
            elif place < self.size:
                self._step()
        for label in below:
            self.out.call_local(label)
        self._combine()
        self.out.exit()

    def _save(self, register: int) -> None:
        """Write it without a look at what it was."""
        out, source = self.out, self.source
        if self.crowded:
            out.alu_reg("mov", register, source.randrange(6))
            out.alu_reg(source.choice(("add", "xor", "sub")), register, source.choice((*range(6), *SAVED)))
        elif source.random() < 0.3:
            constant(out, register, source.choice(VALUES))
        else:
            others = [other for other in (0, 1, 2, 3, 4, 5, *SAVED) if other != register]
            out.emit(source.choice(_MOVING), register, source.choice(others))
        self.written.append(register)

    def _step(self) -> None:
        out, source = self.out, self.source
        register = source.choice((0, 0, 1, 2, 3, 4, 5, *self.written, *self.written))
        if source.random() < 0.06:
            out.emit(WIDE, register, imm=source.choice(VALUES))
            return
        known = (0, 1, 2, 3, 4, 5, *self.written, *(SAVED if self.reads else ()))
        out.emit(source.choice(_COMPUTING), register, source.choice(known), imm=source.choice(IMMEDIATES))

    def _barred(self) -> None:
        out, source = self.out, self.source
        register, saved = source.randrange(6), source.choice(SAVED)
        match self.bar:
            case "change":
                out.alu_reg(source.choice(("add", "xor", "sub32")), saved, register)
            case "frame":
                out.emit(ROWS["ldxdw", Form.LOAD], register, 10, -8)
            case "frame in a register":
                out.alu_reg(source.choice(("mov", "add", "xor")), register, 10)
            case "branch":
                over = out.label()
                out.emit(ROWS["jset", Form.BRANCH_IMM], register, imm=1, label=over)
                out.alu("add", 0, 1)
                out.place(over)
            case "divide":
                out.emit(
                    source.choice(_DIVIDING), register, source.randrange(6), imm=source.choice((0, 3, -7))
                )
            case "store":
                out.emit(_WHOLE, 10, saved, -16)
            case _:
                out.call(MIX)

    def _combine(self) -> None:
        """Some of the registers that were written anew into r0."""
        shown = len(self.written) if self.crowded else self.source.randint(0, len(self.written))
        for register in self.source.sample(self.written, shown):
            self.out.alu_reg(
                self.source.choice(("add", "xor") if self.crowded else ("sub", "add32", "mov")), 0, register
            )


def small_functions(out: Builder, source: random.Random, labels: list[int], crowded: bool) -> None:
    """Functions that call those behind them; now and then the last of them calls the first."""
    count = len(labels)
    sizes = LIMITS if source.random() < 0.25 else SIZES if count < 3 else SIZES[:9]
    barred = source.randrange(count) if source.random() < 0.25 else -1
    for number, label in enumerate(labels):
        out.place(label)
        deeper = labels[number + 1 :]
        below = deeper[:1] * source.choice((0, 1, 1, 1, 2))
        size = source.choice(sizes)
        if number == count - 1 and size and source.random() < 0.05:
            below = labels[:1]
        elif deeper and source.random() < 0.2:
            below.append(source.choice(deeper))
        saves = source.sample(SAVED, source.choice((2, 3, 4) if crowded else (0, 0, 1, 1, 2, 4)))
        bar = source.choice(BARS) if number == barred else ""
        _Leaf(out, source, size, saves, source.random() < 0.4, crowded, bar, below).write()
