"""Conditional jumps: one comparison, of the low halves alone where the high ones are known to be zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.jit.encoder import (
    Alu,
    Compare,
    Cond,
    Flags,
    alu,
    compare,
    if_then,
    try_alu_imm,
    try_compare_imm,
)
from device.jit.lowering.operands import Operands
from device.jit.lowering.webs import BUDGET
from device.vm.decode import MASK32, MASK64
from device.vm.isa import Sem

_WORD: Final = 32

_CONDITIONS: Final = {
    Sem.JEQ: Cond.EQ,
    Sem.JNE: Cond.NE,
    Sem.JGT: Cond.HI,
    Sem.JGE: Cond.HS,
    Sem.JLT: Cond.LO,
    Sem.JLE: Cond.LS,
    Sem.JSGT: Cond.GT,
    Sem.JSGE: Cond.GE,
    Sem.JSLT: Cond.LT,
    Sem.JSLE: Cond.LE,
    Sem.JSET: Cond.NE,
}
_UNSIGNED: Final = {Cond.GT: Cond.HI, Cond.GE: Cond.HS, Cond.LT: Cond.LO, Cond.LE: Cond.LS}
_SWAPPED: Final = {Cond.LS: Cond.HS, Cond.LE: Cond.GE}
"""Conditions that a failed test of the budget could look like, and those of exchanged operands."""
_BELOW_NEXT: Final = {Cond.LS: Cond.LO, Cond.LE: Cond.LT}
_GREATEST: Final = {Cond.LS: MASK32, Cond.LE: MASK32 >> 1}
"""The same with a constant: at most n is less than n + 1, unless there is none."""
_BYTE: Final = 0xFF
_FROM_NEXT: Final = {Cond.HI: Cond.HS, Cond.LS: Cond.LO, Cond.GT: Cond.GE, Cond.LE: Cond.LT}
_LAST: Final = {Cond.HI: MASK64, Cond.LS: MASK64, Cond.GT: MASK64 >> 1, Cond.LE: MASK64 >> 1}
"""Conditions against a constant by those against the next one, unless it is the last."""
_EXCHANGED: Final = {Cond.HI: Cond.LO, Cond.LS: Cond.HS, Cond.GT: Cond.LT, Cond.LE: Cond.GE}
"""Conditions that a 64-bit subtraction does not leave in the flags, and those of exchanged operands."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Two questions with one jump: does the budget suffice, and does the loop go on? `cond` says yes to both.

    When the first answer is no, no second comparison is made, and its flags say no to `cond` too.
    """

    encodings: tuple[int, ...]
    cond: Cond


class BranchWriter:
    """Writes the comparison of the branch at `operands.at`."""

    def __init__(self, operands: Operands) -> None:
        self._o = operands
        self._asm = operands.asm
        self._t0, self._t1, self._t2, self._t3 = operands.scratch

    def compare(self, *, flagged: bool = False) -> Cond:
        """Set the flags, unless they are `flagged` to tell already; the condition of the jump."""
        _, sem, self._width, _, self._dst, self._src, _, _, _ = self._o.at.step
        cond = _CONDITIONS[sem]
        if flagged:
            return cond
        op = Compare.TST if sem is Sem.JSET else Compare.CMP
        if self._width == _WORD:
            self._half(op, False)
            return cond
        if self._o.constant(self._dst, True) == 0 and self._o.second_constant(True) == 0:
            self._half(op, False)
            return _UNSIGNED.get(cond, cond)
        if cond in (Cond.EQ, Cond.NE):
            self._both(op)
            return cond
        return self._ordered(cond)

    def _ordered(self, cond: Cond) -> Cond:
        """Compare in 64 bits. More than a constant is as much as the next one, where there is one."""
        low, high = self._o.second_constant(False), self._o.second_constant(True)
        if cond not in _EXCHANGED:
            self._subtract(low, high)
            return cond
        if low is not None and high is not None:
            constant = low | high << _WORD
            if constant != _LAST[cond]:
                constant += 1
                self._subtract(constant & MASK32, constant >> _WORD & MASK32)
                return _FROM_NEXT[cond]
        self._subtract(low, high, exchange=True)
        return _EXCHANGED[cond]

    def joined(self, need: int, *, taken: bool, flagged: bool) -> Joined | None:
        """The test that BUDGET is at least `need` and the branch goes where it does if `taken`.

        None where that takes more than two comparisons, or other registers than homes. A budget below `need`
        is small: less, signed as well as unsigned. Where flags are `flagged` to tell whether the branch finds
        zero, only the budget is compared.
        """
        _, sem, self._width, _, self._dst, self._src, _, _, _ = self._o.at.step
        a = self._o.core(self._dst, False)
        if sem is Sem.JSET or a is None:
            return None
        cond = _CONDITIONS[sem]
        if self._width > _WORD:
            if not (self._o.constant(self._dst, True) == 0 and self._o.second_constant(True) == 0):
                return None
            cond = _UNSIGNED.get(cond, cond)
        cond = cond if taken else cond.inverse
        if flagged and cond is Cond.NE:
            budget = try_compare_imm(Compare.CMP, BUDGET, need - 1)
            return None if budget is None else Joined((if_then(Cond.NE), budget), Cond.HI)
        constant = self._o.second_constant(False)
        if constant is not None:
            return self._joined_with_constant(need, cond, a, constant)
        b = self._o.core(self._src, False)
        if b is None:
            return None
        return self._joined_with_register(need, cond, a, b)

    def _joined_with_register(self, need: int, cond: Cond, a: int, b: int) -> Joined | None:
        if cond in _SWAPPED:
            return self._guarded(need, compare(Compare.CMP, b, a), _SWAPPED[cond])
        if cond is Cond.NE:
            return self._guarded(need, compare(Compare.TEQ, a, b), Cond.HI)
        return self._guarded(need, compare(Compare.CMP, a, b), cond)

    def _joined_with_constant(self, need: int, cond: Cond, a: int, constant: int) -> Joined | None:
        held = self._o.held.get(constant)
        if held is not None:
            return self._joined_with_register(need, cond, a, held)
        if cond in _BELOW_NEXT:
            if constant == _GREATEST[cond] or try_compare_imm(Compare.CMP, a, constant + 1) is None:
                exchanged = try_alu_imm(Alu.RSB, self._t0, a, constant, Flags.SET)
                return self._guarded(need, exchanged, _SWAPPED[cond])
            cond, constant = _BELOW_NEXT[cond], constant + 1
        if cond is Cond.NE and constant:
            if constant > _BYTE:  # the carry of larger ones is not the one before
                return None
            return self._guarded(need, try_compare_imm(Compare.TEQ, a, constant), Cond.HI)
        if cond is Cond.NE:
            return self._guarded(need, try_compare_imm(Compare.CMP, a, 0), Cond.HI)
        return self._guarded(need, try_compare_imm(Compare.CMP, a, constant), cond)

    def _half(self, op: Compare, high: bool) -> None:
        self._asm.emit(*self._encoded(op, high, self._t0, self._t1))

    def _encoded(self, op: Compare, high: bool, one: int, two: int) -> tuple[int, ...]:
        a = self._o.read(self._dst, high, one)
        constant = self._o.second_constant(high)
        encoding = try_compare_imm(op, a, constant) if constant is not None else None
        if encoding is None:
            encoding = compare(op, a, self._o.second(high, two))
        return (encoding,)

    def _both(self, op: Compare) -> None:
        """Equality of both halves, or any common bit: the high halves count when the low ones say EQ."""
        if op is Compare.CMP and self._o.second_constant(False) == self._o.second_constant(True) == 0:
            a = self._o.read(self._dst, False, self._t0), self._o.read(self._dst, True, self._t1)
            self._asm.emit(alu(Alu.ORR, self._t0, a[0], a[1], Flags.SET))
            return
        low = self._encoded(op, False, self._t0, self._t1)
        high = self._encoded(op, True, self._t2, self._t3)
        self._asm.emit(*low, if_then(Cond.EQ), *high)

    def _subtract(self, low: int | None, high: int | None, *, exchange: bool = False) -> None:
        """The flags of a - b in 64 bits, or of b - a; `low` and `high` are b where it is a constant."""
        a = (self._o.read(self._dst, False, self._t0), self._o.read(self._dst, True, self._t1))
        if not exchange and low is not None and high is not None:
            first = try_compare_imm(Compare.CMP, a[0], low)
            if first is None:
                first = compare(Compare.CMP, a[0], self._o.value(low, self._t2))
            then = try_alu_imm(Alu.SBC, self._t3, a[1], high, Flags.SET)
            if then is None:
                then = alu(Alu.SBC, self._t3, a[1], self._o.value(high, self._t3), Flags.SET)
            self._asm.emit(first, then)
            return
        b = (self._o.second(False, self._t2), self._o.second(True, self._t3))
        if exchange:
            a, b = b, a
        self._asm.emit(compare(Compare.CMP, a[0], b[0]), alu(Alu.SBC, self._t3, a[1], b[1], Flags.SET))

    def _guarded(self, need: int, comparison: int | None, cond: Cond) -> Joined | None:
        """The comparison behind one of the budget; where that fails, `cond` does not hold for its flags."""
        if comparison is None:
            return None
        if cond in (Cond.LO, Cond.LT):
            first = try_alu_imm(Alu.RSB, self._t0, BUDGET, need - 1, Flags.SET)
            guard = Cond.LO
        else:
            first, guard = try_compare_imm(Compare.CMP, BUDGET, need), Cond.HS
        if first is None:
            return None
        return Joined((first, if_then(guard), comparison), cond)
