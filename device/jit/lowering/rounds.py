"""What a loop that counts does before, behind and instead of each of its rounds (counted.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from device.jit.encoder import (
    Alu,
    Compare,
    Cond,
    Flags,
    Shift,
    alu,
    alu_imm,
    compare,
    if_then,
    load_constant,
    mls,
    mov,
    mvn_imm,
    shift_imm,
    try_alu_imm,
    try_compare_imm,
    udiv,
)
from device.jit.fixups import Label
from device.jit.lowering.counted import Counted, Walk
from device.jit.lowering.looked import Half, Home
from device.jit.lowering.operands import Operands
from device.jit.lowering.webs import BUDGET
from device.vm.decode import MASK32


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was charged for rounds that are still to come, from the registers `counter` and `limit`.

    `ahead` is 1 where the counter does not count this round yet.
    """

    counter: int
    limit: int
    step: int
    cost: int
    extra: int
    ahead: int

    def refund(self, registers: Sequence[int]) -> int:
        """The instructions, what is left of this round not among them."""
        distance = registers[self.limit] - registers[self.counter]
        if self.step < 0:
            distance = -distance
        return ((distance & MASK32) // abs(self.step) - self.ahead) * self.cost + self.extra


class CountedWriter:
    """Writes what such a loop does around its rounds; the register `limit` has where its counter will be."""

    def __init__(self, operands: Operands, loop: Counted, limit: int, homes: Mapping[Half, Home]) -> None:
        self.loop = loop
        self._o = operands
        self._asm = operands.asm
        self._limit = limit
        self._counter = homes[loop.counter, False].number
        bound = None if loop.bound is None else homes.get((loop.bound, False))
        self._bound = None if bound is None else bound.number
        self.ahead = 1

    @staticmethod
    def possible(loop: Counted, homes: Mapping[Half, Home]) -> bool:
        """Whether what it needs is in core registers."""
        wanted = [loop.counter] if loop.bound is None else [loop.counter, loop.bound]
        found = [homes.get((register, False)) for register in wanted]
        return all(home is not None and not home.single for home in found)

    def rounds(self) -> Rounds:
        """How to find what was charged too much, at the step at hand."""
        loop = self.loop
        return Rounds(self._counter, self._limit, loop.step, loop.cost, loop.extra, self.ahead)

    def begin(self, astray: Callable[[Walk], Label]) -> Cond:
        """Charge for all rounds that the budget lasts for; the condition under which that is none at all.

        `astray` gives the label of who leaves because a walk does not begin where it should.
        """
        asm, loop = self._asm, self.loop
        rounds, lasts, cost, _ = self._o.scratch
        self._distance(rounds)
        for walk in loop.walks:
            self._walk(walk, rounds, astray(walk))
        self._o.load(cost, loop.cost)
        asm.emit(udiv(lasts, BUDGET, cost), compare(Compare.CMP, lasts, rounds))
        asm.emit(if_then(Cond.LO), mov(rounds, lasts))
        asm.emit(mls(BUDGET, rounds, cost, BUDGET))
        shift = abs(loop.step).bit_length() - 1
        op = Alu.ADD if loop.step > 0 else Alu.SUB
        asm.emit(alu(op, self._limit, self._counter, rounds, Flags.ANY, Shift.LSL, shift))
        asm.emit(compare(Compare.CMP, self._limit, self._counter))
        return Cond.EQ

    def _walk(self, walk: Walk, rounds: int, astray: Label) -> None:
        """No more rounds than a pointer stays in its region for."""
        asm, (_, left, other, spare) = self._asm, self._o.scratch
        pointer = self._o.read(walk.register, False, spare)
        encoding = try_alu_imm(Alu.SUB, left, pointer, walk.origin)
        asm.emit(encoding or alu(Alu.SUB, left, pointer, self._o.value(walk.origin, left)))
        if walk.step > 0:  # what is left in front of it
            encoding = try_alu_imm(Alu.RSB, left, left, walk.last, Flags.SET)
            asm.emit(encoding or alu(Alu.SUB, left, self._o.value(walk.last, other), left, Flags.SET))
            asm.jump_if(Cond.LO, astray)
        else:
            encoding = try_compare_imm(Compare.CMP, left, walk.last)
            asm.emit(encoding or compare(Compare.CMP, left, self._o.value(walk.last, other)))
            asm.jump_if(Cond.HI, astray)
        if walk.step:
            shift = abs(walk.step).bit_length() - 1
            if shift:
                asm.emit(shift_imm(Shift.LSR, left, left, shift))
            asm.emit(alu_imm(Alu.ADD, left, left, 1), compare(Compare.CMP, rounds, left))
            asm.emit(if_then(Cond.HI), mov(rounds, left))

    def _distance(self, rounds: int) -> None:
        """How many rounds there will be; very many are as good as all."""
        asm, loop = self._asm, self.loop
        forward = loop.step > 0
        self._subtract(rounds, forward=forward)
        if not loop.below:
            asm.emit(if_then(Cond.EQ), mvn_imm(rounds, 0))
            return
        asm.emit(if_then(Cond.LS), *load_constant(rounds, loop.step))
        if loop.step > 1:
            encoding = try_alu_imm(Alu.ADD, rounds, rounds, loop.step - 1)
            more = self._o.scratch[1]
            asm.emit(encoding or alu(Alu.ADD, rounds, rounds, self._o.value(loop.step - 1, more)))
            asm.emit(shift_imm(Shift.LSR, rounds, rounds, loop.step.bit_length() - 1))

    def _subtract(self, rounds: int, *, forward: bool) -> None:
        """Bound - counter, or the other way round, with flags."""
        op, counter = (Alu.RSB if forward else Alu.SUB), self._counter
        if self._bound is not None:
            self._asm.emit(alu(op, rounds, counter, self._bound, Flags.SET))
            return
        encoding = try_alu_imm(op, rounds, counter, self.loop.constant, Flags.SET)
        if encoding is None:
            held = self._o.value(self.loop.constant, rounds)
            encoding = alu(op, rounds, counter, held, Flags.SET)
        self._asm.emit(encoding)

    def again(self) -> Cond:
        """Whether another round was charged; the condition under which it was."""
        self._asm.emit(compare(Compare.CMP, self._counter, self._limit))
        return Cond.NE

    def end(self) -> None:
        """All rounds are over: the last one did not take the way back."""
        if self.loop.extra:
            self._asm.emit(alu_imm(Alu.ADD, BUDGET, BUDGET, self.loop.extra))
