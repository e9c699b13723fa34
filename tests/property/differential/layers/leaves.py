"""Small functions, drawn, and what calls them: a compiler may write them where they are called, or must not.

Functions of a few steps that compute, alone or through others up to four deep; that preserve registers by
writing them anew, or change what their caller had there; that read those, or know their frame, branch, store
or divide. They are called in straight code and in loops, several at a time, from frames so deep that others
fit below just so or not at all, with few registers in use or all of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from device.vm.isa import Form
from device.vm.memory import MAX_FRAMES
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.layers.operands import (
    IMMEDIATES,
    KINDS,
    VALUES,
    Operand,
    put_all,
    words,
)
from tests.property.differential.layers.small import SAVED, small_functions
from tests.property.differential.layers.trial import Budgets, Drawn, Family, Trial
from tests.property.programs import ALU, ROWS

SIZE: Final = 60_000
BUDGET: Final = 700
WORDS: Final = 10
FEW: Final = 45
"""Instructions of a program that is run under every budget now and then."""


_WHOLE: Final = ROWS["stxdw", Form.STORE_REG]
_HALF: Final = ROWS["stxw", Form.STORE_REG]


@dataclass
class _Caller:
    """A function that calls leaves, `below` once the next of a chain, and shows what comes of it."""

    out: Builder
    source: random.Random
    leaves: list[int]
    below: int | None
    crowded: bool
    busy: int = -1

    def write(self) -> None:
        """All of it, with its exit."""
        out, source = self.out, self.source
        for register in source.sample(SAVED, source.choice((0, 1, 2))):
            out.alu_reg(source.choice(("mov", "mov", "mov32", "add")), register, source.randrange(6))
        self._statements()
        if self.below is not None:
            over = out.label()
            out.emit(_WHOLE, 10, 1, -8)  # so that nobody writes it where it is called
            if source.random() < 0.3:
                out.emit(ROWS["jset", Form.BRANCH_IMM], source.randrange(10), imm=1, label=over)
            out.call_local(self.below)
            out.place(over)
        if source.random() < 0.4:
            self._loop()
        self._show()
        out.exit()

    def _statements(self) -> None:
        for _ in range(self.source.choice((1, 1, 2, 3, 5))):
            self._statement()

    def _statement(self) -> None:
        out, source = self.out, self.source
        chance = source.random()
        if chance < 0.6:
            out.call_local(source.choice(self.leaves))
        elif chance < 0.7 and not self.crowded:
            out.emit(source.choice((_WHOLE, _HALF)), 10, source.randrange(10), -8 * source.randint(1, 4))
        elif chance < 0.74:
            over = out.label()
            out.emit(ROWS["jslt", Form.BRANCH_REG], source.randrange(10), source.randrange(10), label=over)
            out.call_local(source.choice(self.leaves))
            out.place(over)
        elif chance < 0.8:
            out.emit(ROWS["ldxdw", Form.LOAD], self._free(), 10, -8 * source.randint(1, 4))
        else:
            out.emit(source.choice(ALU), self._free(), source.randrange(11), imm=source.choice(IMMEDIATES))

    def _free(self) -> int:
        return self.source.choice([register for register in range(10) if register != self.busy])

    def _loop(self) -> None:
        """Calls in rounds; a counter below r6 is what the functions make of it."""
        out, source = self.out, self.source
        counter = self.busy = source.choice((*SAVED, *SAVED, 1, 2, 3, 4, 5))
        times, again, done = source.choice((1, 2, 3, 7)), out.label(), out.label()
        row = source.choice(("jne", "jlt", "jeq", "jsgt", "jne32", "jlt32"))
        narrow = "32" if row.endswith("32") else source.choice(("", "", "32"))
        down = row == "jsgt" or (not row.startswith("jlt") and source.random() < 0.5)
        out.alu(source.choice(("mov", "mov32")), counter, times if down else 0)
        out.place(again)
        self._statements()
        out.alu("add" + narrow, counter, -1 if down else 1)
        if row == "jeq":
            out.emit(ROWS[row, Form.BRANCH_IMM], counter, imm=0 if down else times, label=done)
            out.jump(again)
        else:
            out.emit(ROWS[row, Form.BRANCH_IMM], counter, imm=0 if down else times, label=again)
        out.place(done)
        self.busy = -1

    def _show(self) -> None:
        """Some halves of some registers on the stack, or of all of them."""
        out, source = self.out, self.source
        shown = range(10) if self.crowded else source.sample(range(10), source.choice((0, 1, 2, 4)))
        for register in shown:
            op = _WHOLE if self.crowded or source.random() < 0.5 else _HALF
            if op is _HALF and source.random() < 0.4:
                out.alu("rsh", register, 32)
            out.emit(op, 10, register, -64 - 8 * register)
        if source.random() < 0.5:
            out.alu_reg(source.choice(("add", "xor", "mov32")), 0, source.randrange(10))


def leaf(source: random.Random) -> Trial:
    """Small functions, before or behind a chain of callers."""
    out = Builder()
    leaves = [out.label() for _ in range(source.choice((1, 1, 2, 2, 3, 4)))]
    most = MAX_FRAMES - 1 - len(leaves)
    chain = [out.label() for _ in range(1 + source.choice((0, 0, 0, 0, 0, 1, 2, most - 1, most, most)))]
    crowded = source.random() < 0.2
    again = source.choice((chain[-1], source.choice(chain))) if source.random() < 0.2 else None
    before = source.random() < 0.5
    if before:
        small_functions(out, source, leaves, crowded)
    for number, label in enumerate(chain):
        out.place(label)
        if number == 0:
            used = range(10) if crowded else source.sample(range(10), source.choice((2, 4, 7)))
            put_all(out, {register: _operand(source, register, crowded) for register in used})
        below = chain[number + 1] if label != chain[-1] else again
        _Caller(out, source, leaves, below, crowded).write()
    if not before:
        small_functions(out, source, leaves, crowded)
    setups = [Setup(context=words(*(source.choice(VALUES) for _ in range(WORDS)))) for _ in range(2)]
    case = Case(out.text(), setups[0], BUDGET, out.start_of(chain[0]))
    every = len(out.items) <= FEW and source.random() < 0.05
    ends = Budgets.ENDS if source.random() < 0.2 else Budgets.GIVEN
    return Trial(case, tuple(setups[1:]), Budgets.EVERY if every else ends)


def _operand(source: random.Random, register: int, crowded: bool) -> Operand:
    if not crowded and source.random() < 0.2:
        return Operand(value=source.choice(VALUES))
    return Operand("dw" if crowded else source.choice(KINDS), 8 * register)


def families(seed: str) -> tuple[Family, ...]:
    """Drawn from a seed."""
    return (Drawn(leaf, SIZE, seed),)
