"""Loops and functions, drawn: eight deep and, by recursion, beyond; with halves that live across calls.

Each function has its own r6 to r9, of which each half may or may not be in use, takes r1 to r5 as they come,
and goes in loops around calls of deeper functions. Loops are nested up to three deep; counters are of 32 or
64 bits, known or read, up or down; helpers and divisions stand in between.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from device.vm.isa import Form
from device.vm.memory import MAX_FRAMES
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.execute import MIX
from tests.property.differential.layers.operands import (
    IMMEDIATES,
    KINDS,
    VALUES,
    Operand,
    constant,
    put,
    words,
)
from tests.property.differential.layers.trial import Budgets, Drawn, Family, Trial
from tests.property.programs import ALU, ROWS

SIZE: Final = 60_000
BUDGET: Final = 6000
WORDS: Final = 6
DOWN: Final = ("jne", "jgt", "jsgt", "jne32", "jgt32", "jsgt32")
UP: Final = ("jlt", "jne", "jslt", "jlt32", "jsle", "jle32")

_WHOLE: Final = ROWS["stxdw", Form.STORE_REG]
_LOAD: Final = ROWS["ldxdw", Form.LOAD]
_DIVIDING: Final = [op for op in ALU if op.sem in ("div", "mod", "sdiv", "smod")]


@dataclass
class _Function:
    """A function in the making. `busy` registers count loops and are not to be written."""

    out: Builder
    source: random.Random
    depth: int
    below: int | None
    busy: list[int] = field(default_factory=list)

    def write(self) -> None:
        """All of it but its exit."""
        self._take()
        self._loop(self.source.choice((0, 1, 1, 2, 3)))
        self._combine()

    def _take(self) -> None:
        """Values for the registers that calls preserve: some halves, known and read, and from arguments."""
        out, source = self.out, self.source
        if self.depth == 0 and source.random() < 0.8:
            out.alu_reg("mov", 5, 1)
        for register in source.sample((6, 7, 8, 9), source.choice((1, 2, 4, 4))):
            chance = source.random()
            if chance < 0.3:
                constant(out, register, source.choice(VALUES))
            elif chance < 0.6 and self.depth == 0:
                put(out, register, Operand(source.choice(KINDS), 8 * source.randrange(WORDS)))
            elif chance < 0.8:
                out.alu_reg(source.choice(("mov", "mov32", "add")), register, source.randrange(1, 6))
            else:
                self._kept(register)

    def _kept(self, register: int) -> None:
        """Through the frame."""
        off = -8 * self.source.randint(1, 4)
        self.out.emit(_WHOLE, 10, self.source.randrange(10), off)
        self.out.emit(_LOAD, register, 10, off)

    def _loop(self, nesting: int) -> None:
        """Statements, around them so many loops."""
        if nesting == 0 or len(self.busy) > 2:
            self._statements()
            return
        out, source = self.out, self.source
        counter = source.choice([register for register in (6, 7, 8, 9) if register not in self.busy])
        self.busy.append(counter)
        again, many = out.label(), source.choice((1, 2, 3, 3 if self.depth else 5))
        down = source.random() < 0.6
        out.alu(source.choice(("mov", "mov32")), counter, many if down else 0)
        out.place(again)
        if source.random() < 0.5:
            self._statements()
        self._loop(nesting - 1)
        narrow = source.random() < 0.3
        out.alu("add32" if narrow else "add", counter, -1 if down else 1)
        row = source.choice(DOWN if down else UP)
        row += "32" if narrow and not row.endswith("32") else ""
        out.emit(ROWS[row, Form.BRANCH_IMM], counter, imm=0 if down else many, label=again)
        self.busy.remove(counter)

    def _statements(self) -> None:
        for _ in range(self.source.choice((1, 2, 2, 4))):
            self._statement()

    def _free(self) -> int:
        return self.source.choice([register for register in range(10) if register not in self.busy])

    def _statement(self) -> None:
        out, source = self.out, self.source
        chance = source.random()
        if chance < 0.25 and self.below is not None:
            out.call_local(self.below)
            if source.random() < 0.5 and 6 not in self.busy:
                out.alu_reg(source.choice(("add", "xor", "mov")), 6, source.choice((0, 1, 2, 5)))
        elif chance < 0.32:
            out.call(MIX)
        elif chance < 0.4:
            out.emit(
                source.choice(_DIVIDING), self._free(), source.randrange(10), imm=source.choice(IMMEDIATES)
            )
        elif chance < 0.5:
            self._kept(self._free())
        elif chance < 0.6:
            skip = out.label()
            row = ROWS[source.choice(DOWN + UP), Form.BRANCH_REG]
            out.emit(row, source.randrange(10), source.randrange(10), label=skip)
            self._statement()
            out.place(skip)
        else:
            out.emit(source.choice(ALU), self._free(), source.randrange(11), imm=source.choice(IMMEDIATES))

    def _combine(self) -> None:
        """Something of the registers that were preserved into r0."""
        for register in self.source.sample((6, 7, 8, 9), self.source.choice((0, 1, 2, 4))):
            self.out.alu_reg(self.source.choice(("add", "xor", "add32", "sub")), 0, register)


def nest(source: random.Random) -> Trial:
    """A chain of functions; now and then the last calls the first of them again."""
    out = Builder()
    depth = source.choice((1, 1, 2, 2, 3, 4, MAX_FRAMES, MAX_FRAMES))
    labels = [out.label() for _ in range(depth)]
    order = list(range(depth))
    if source.random() < 0.3:
        source.shuffle(order)
    for number in order:
        out.place(labels[number])
        last = number == depth - 1
        again = labels[0] if source.random() < 0.1 and depth > 1 else None
        below = again if last else labels[number + 1]
        _Function(out, source, number, below).write()
        out.exit()
    entry = out.start_of(labels[0])
    text = out.text()
    setups = [_setup(source) for _ in range(2)]
    case = Case(text, setups[0], BUDGET, entry)
    return Trial(case, tuple(setups[1:]), source.choice((Budgets.GIVEN, Budgets.ENDS)))


def _setup(source: random.Random) -> Setup:
    return Setup(context=words(*(source.choice(VALUES) for _ in range(WORDS))))


def families(seed: str) -> tuple[Family, ...]:
    """Drawn from a seed."""
    return (Drawn(nest, SIZE, seed),)
