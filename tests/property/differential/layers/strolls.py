"""Loops over memory, drawn: what a compiler takes out of a loop must be true in all its rounds.

One to three accesses in a loop or two nested ones, of one or two regions, by a pointer that moves, an index
that is scaled, or a pointer made anew; behind a condition, behind a break, around calls; in rounds up to the
end of the region, or beyond, or as many as 64 bits can say. What was read before a fault and what was written
stays to be seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from device.vm.isa import Form
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    EXTRA_BASE,
    EXTRA_STRIDE,
    FRAME_SIZE,
    RODATA_BASE,
    STACK_TOP,
)
from tests.property.differential.builder import Builder
from tests.property.differential.case import Case, Setup
from tests.property.differential.execute import MIX
from tests.property.differential.layers.operands import VALUES, words
from tests.property.differential.layers.trial import Budgets, Trial
from tests.property.programs import ROWS, WIDE

BUDGET: Final = 2500
SIZES: Final = (8, 9, 16, 31, 64, 100)
STEPS: Final = (1, 2, 4, 8, 3, -1, -4, -8)
LOADS: Final = ("ldxb", "ldxh", "ldxw", "ldxdw", "ldxsb", "ldxsh", "ldxsw")
STORES: Final = ("stxb", "stxh", "stxw", "stxdw")
ATOMICS: Final = ("lock add", "lock fetch add32", "lock xchg")
BYTES: Final = {"b": 1, "h": 2, "w": 4, "dw": 8}

INDEX, ROUNDS, VALUE, SPARE, OUTER = 6, 7, 3, 4, 5
POINTERS: Final = (8, 9)


@dataclass(frozen=True, slots=True)
class Ground:
    """A region to walk over, and whether it may be written to."""

    start: int
    size: int
    writable: bool = True


@dataclass
class Stroll:
    """A program in the making; `grounds` by the register that points there."""

    out: Builder
    source: random.Random
    below: int
    grounds: dict[int, Ground] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)

    def write(self) -> None:
        """From the pointers to the exit."""
        out, source = self.out, self.source
        out.emit(ROWS["ldxdw", Form.LOAD], ROUNDS, 2)
        if source.random() < 0.3:
            out.alu("and", ROUNDS, 15)
        elif source.random() < 0.3:
            out.alu("mov", ROUNDS, source.choice((1, 3, 8, 13)))
        nested = source.random() < 0.3
        outer = out.label()
        if nested:
            out.alu("mov", OUTER, 2)
            out.place(outer)
        self._start()
        self._loop()
        if nested:
            out.alu("add", OUTER, -1)
            out.emit(ROWS["jne", Form.BRANCH_IMM], OUTER, imm=0, label=outer)
        out.exit()

    def _start(self) -> None:
        """Pointers to where their ways begin, mostly inside."""
        for register, ground in self.grounds.items():
            step = self.steps[register]
            place = ground.start if step > 0 else ground.start + ground.size - 8
            place += self.source.choice((0, 0, 0, 1, -1, 5, ground.size // 2))
            if ground.start == STACK_TOP - FRAME_SIZE:
                self.out.alu_reg("mov", register, 10)
                self.out.alu("add", register, place - STACK_TOP)
            else:
                self.out.emit(WIDE, register, imm=place)

    def _loop(self) -> None:
        out, source = self.out, self.source
        again, done = out.label(), out.label()
        up = source.random() < 0.5
        out.alu("mov", INDEX, 0)
        out.place(again)
        if source.random() < 0.3:
            out.emit(ROWS["jge", Form.BRANCH_REG], INDEX, ROUNDS, label=done)
        for _ in range(source.choice((1, 1, 2, 3))):
            self._guarded(self._access, done)
        for register, step in self.steps.items():
            if source.random() < 0.85:
                self._guarded(lambda _done, r=register, s=step: out.alu("add", r, s), done, 0.1)  # type: ignore[misc]  # bound now
        out.alu("add", INDEX, 1)
        row = source.choice(("jlt", "jne", "jslt", "jlt32"))
        if up:
            out.emit(ROWS[row, Form.BRANCH_REG], INDEX, ROUNDS, label=again)
        else:
            out.alu("add", ROUNDS, -1)
            out.emit(ROWS[source.choice(("jne", "jsgt", "jgt")), Form.BRANCH_IMM], ROUNDS, imm=0, label=again)
        out.place(done)

    def _guarded(self, emit: Callable[[int], None], done: int, often: float = 0.35) -> None:
        """Behind a condition, a break or a call, or just so."""
        out, source = self.out, self.source
        chance = source.random()
        if chance < often / 2:
            over = out.label()
            row = source.choice(("jgt", "jset", "jeq", "jslt32"))
            out.emit(ROWS[row, Form.BRANCH_IMM], INDEX, imm=source.choice((0, 1, 3, 7)), label=over)
            emit(done)
            out.place(over)
            return
        if chance < often * 0.7:
            out.emit(ROWS["jeq", Form.BRANCH_IMM], INDEX, imm=source.choice((2, 5, 9)), label=done)
        elif chance < often * 0.85:
            out.call_local(self.below)
        elif chance < often:
            out.call(MIX)
        emit(done)

    def _access(self, _done: int) -> None:
        """Of one of the grounds."""
        source = self.source
        register = source.choice(list(self.grounds))
        base = register
        if source.random() < 0.3:
            base = self._indexed(register)
        off = source.choice((0, 0, 0, 1, 4, 8, -1, -8))
        chance = source.random()
        if chance < 0.5 or (not self.grounds[register].writable and chance < 0.97):
            self.out.emit(ROWS[source.choice(LOADS), Form.LOAD], VALUE, base, off)
            self.out.alu_reg("add", 0, VALUE)
        elif chance < 0.92:
            self.out.emit(ROWS[source.choice(STORES), Form.STORE_REG], base, source.choice((0, INDEX)), off)
        else:
            op = ROWS[source.choice(ATOMICS), Form.ATOMIC]
            self.out.emit(op, base, VALUE, off)

    def _indexed(self, register: int) -> int:
        """A pointer of its own: the other one and the index, scaled."""
        out, source = self.out, self.source
        out.alu_reg(source.choice(("mov", "mov32")), SPARE, INDEX)
        if source.random() < 0.6:
            out.alu("lsh", SPARE, source.choice((1, 2, 3)))
        if source.random() < 0.3:
            out.alu("and", SPARE, source.choice((7, 15, 63)))
        out.alu_reg("add", SPARE, register)
        return SPARE


def stroll(source: random.Random) -> Trial:
    """One of them, in a few numbers of rounds."""
    out = Builder()
    case, grounds = _world(source)
    below = out.label()
    chosen = source.sample(grounds, source.choice((1, 1, 2)))
    walked = Stroll(out, source, below)
    for register, ground in zip(POINTERS, chosen, strict=False):
        walked.grounds[register], walked.steps[register] = ground, source.choice(STEPS)
    walked.write()
    out.place(below)
    out.alu("mov", 6, 1)
    if source.random() < 0.5:
        out.emit(ROWS["stxdw", Form.STORE_REG], 10, 0, -8)
    out.alu("add", 0, 3)
    out.exit()
    rest = case.setup.extra[1:]
    fits = max(1, chosen[0].size // abs(walked.steps[POINTERS[0]]))
    rounds = (1, source.randint(1, 20), fits - 1, fits, fits + 1, 300, *source.sample(VALUES, 2))
    setups = [replace(case.setup, extra=((words(number), False), *rest)) for number in rounds]
    case = replace(case, text=out.text(), setup=setups[0])
    budgets = Budgets.ENDS if source.random() < 0.15 else Budgets.GIVEN
    return Trial(case, tuple(setups[1:]), budgets)


def _world(source: random.Random) -> tuple[Case, list[Ground]]:
    sizes = [source.choice(SIZES) for _ in range(5)]
    rights = source.random() < 0.8
    fill = bytes(range(1, 101))
    setup = Setup(
        context=fill[: sizes[0]],
        context_writable=rights,
        extra=((b"", False), (fill[: sizes[1]], True), (fill[: sizes[2]], False)),
        r2=EXTRA_BASE,
    )
    grounds = [
        Ground(CONTEXT_BASE, sizes[0], rights),
        Ground(EXTRA_BASE + EXTRA_STRIDE, sizes[1]),
        Ground(EXTRA_BASE + 2 * EXTRA_STRIDE, sizes[2], writable=False),
        Ground(DATA_BASE, sizes[3]),
        Ground(RODATA_BASE, sizes[4], writable=False),
        Ground(STACK_TOP - FRAME_SIZE, FRAME_SIZE),
    ]
    return Case(b"", setup, BUDGET, rodata=fill[: sizes[4]], data=fill[: sizes[3]]), grounds
