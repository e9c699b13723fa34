"""Arithmetic, logic, moves and byte orders on halves; what nobody reads is not computed.

64-bit division is not here but a request to Python, unless both operands fit 32 bits (engines.md, JIT).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from device.jit.encoder import (
    Alu,
    Cond,
    Extend,
    Flags,
    Long,
    Shift,
    Unary,
    alu,
    alu_imm,
    extend,
    long_mul,
    mla,
    mls,
    mov,
    mul,
    sdiv,
    shift_imm,
    shift_reg,
    try_alu_imm,
    udiv,
    unary,
)
from device.jit.lowering.looked import Fused, Product
from device.jit.lowering.operands import Operands
from device.vm.decode import MASK32
from device.vm.isa import Sem

_WORD: Final = 32
_LOGIC: Final = {Sem.AND: Alu.AND, Sem.OR: Alu.ORR, Sem.XOR: Alu.EOR}
_COMBINED: Final = {**_LOGIC, Sem.ADD: Alu.ADD, Sem.SUB: Alu.SUB}
_TURNED: Final = {
    Alu.ADD: Alu.ADD,
    Alu.ADC: Alu.ADC,
    Alu.SUB: Alu.RSB,
    Alu.AND: Alu.AND,
    Alu.ORR: Alu.ORR,
    Alu.EOR: Alu.EOR,
}
"""The operation with its operands exchanged."""
_SHIFTS: Final = {Sem.LSH: Shift.LSL, Sem.RSH: Shift.LSR, Sem.ARSH: Shift.ASR}
_EXTENSIONS: Final = {Sem.MOVSX8: Extend.SXTB, Sem.MOVSX16: Extend.SXTH}
_DIVISIONS: Final = frozenset({Sem.DIV, Sem.MOD, Sem.SDIV, Sem.SMOD})
_REVERSED: Final = {
    **dict.fromkeys((Sem.BE16, Sem.BSWAP16), 16),
    **dict.fromkeys((Sem.BE32, Sem.BSWAP32), 32),
    **dict.fromkeys((Sem.BE64, Sem.BSWAP64), 64),
}


class Divided(Exception):
    """A 64-bit division: somebody else has to do it."""


class AluWriter:
    """Writes one ALU instruction at a time."""

    def __init__(self, operands: Operands) -> None:
        self._o = operands
        self._asm = operands.asm
        self._t0, self._t1, self._t2, self._t3 = operands.scratch
        self.flagging: Collection[int] = ()
        """Slots of additions after which the flags tell whether the low half is zero."""
        self._by_sem: dict[Sem, Callable[[], None]] = {
            Sem.ADD: self._add,
            Sem.SUB: self._add,
            Sem.MUL: self._mul,
            Sem.NEG: self._neg,
            Sem.MOV: self._mov,
            Sem.MOVSX32: self._extend,
            **dict.fromkeys(_LOGIC, self._logic),
            **dict.fromkeys(_SHIFTS, self._shift),
            **dict.fromkeys(_EXTENSIONS, self._extend),
            **dict.fromkeys(_DIVISIONS, self._divide),
            **dict.fromkeys(_REVERSED, self._reverse),
            Sem.LE16: self._cut,
            Sem.LE32: self._cut,
            Sem.LE64: self._cut,
        }

    def write(self) -> None:
        """The instruction at `operands.at`. Raises Divided when it has to be a request."""
        o = self._o
        _, self._sem, self._width, _, self._dst, self._src, _, _, self._from_register = o.at.step
        low, high, _ = o.at.behind[self._dst]
        if low == high:  # whatever it computes, only this can come out
            o.write(self._dst, False, low & MASK32, self._t0)
            o.write(self._dst, True, low >> _WORD, self._t0)
            return
        self._wants_low = o.wants(self._dst, False)
        self._wants_high = o.wants(self._dst, True)
        self._zero_high = high <= MASK32
        if not (self._wants_low or self._wants_high):
            return
        if o.at.fused is not None:
            self._combine(o.at.fused)
            return
        if o.at.product is not None:
            self._accumulate(o.at.product)
            return
        self._by_sem[self._sem]()

    def _combine(self, fused: Fused) -> None:
        """An operation on low halves, of which the second is shifted."""
        one, other = self._o.read_at(fused, self._t0, self._t1)
        low = self._target(False, self._t0)
        op = _COMBINED[self._sem]
        flags = Flags.SET if self._o.at.pc in self.flagging else Flags.ANY
        self._asm.emit(alu(op, low, one, other, flags, fused.shift, fused.amount))
        self._done(False, low)
        self._clear_high()

    def _accumulate(self, product: Product) -> None:
        """A product of low halves, added to one or taken off it."""
        o = self._o
        rest = o.second(False, self._t2) if product.behind else self._a(False, self._t2)
        low = self._target(False, self._t3)
        if product.other < 0 and product.factor not in o.held and is_shifted(product.factor):
            self._scale(self._t1, o.factor(product, self._t0), product.factor)
            self._asm.emit(alu(Alu.SUB if product.taken else Alu.ADD, low, rest, self._t1))
        else:
            one, other = o.factor(product, self._t0), o.other_factor(product, self._t1)
            self._asm.emit((mls if product.taken else mla)(low, one, other, rest))
        self._done(False, low)
        self._clear_high()

    # Operands

    def _a(self, high: bool, scratch: int) -> int:
        return self._o.read(self._dst, high, scratch)

    def _a_constant(self, high: bool) -> int | None:
        return self._o.constant(self._dst, high)

    def _target(self, high: bool, scratch: int) -> int:
        return self._o.target(self._dst, high, scratch)

    def _done(self, high: bool, holder: int) -> None:
        self._o.done(self._dst, high, holder)

    def _computes_high(self) -> bool:
        """Whether the high half of the result is something to compute."""
        return self._width > _WORD and self._wants_high and not self._zero_high

    def _clear_high(self) -> None:
        if self._wants_high and (self._width == _WORD or self._zero_high):
            self._o.write(self._dst, True, 0, self._t0)

    def _stay(self) -> None:
        """The result is what dst was, or its low half."""
        self._o.move(self._dst, self._dst, False, self._t0)
        if self._computes_high():
            self._o.move(self._dst, self._dst, True, self._t0)
        self._clear_high()

    # Operations

    def _add(self) -> None:
        """ADD and SUB; the carry goes on into the high half where that is wanted."""
        op, carry = (Alu.ADD, Alu.ADC) if self._sem is Sem.ADD else (Alu.SUB, Alu.SBC)
        high = self._computes_high()
        flags = Flags.SET if high or self._o.at.pc in self.flagging else Flags.ANY
        low = self._target(False, self._t0)
        if not self._turned(op, low, False, flags):
            self._operate(op, low, self._a(False, self._t0), self._o.second_constant(False), False, flags)
        if high:
            self._done_keeping_flags(False, low)
            holder = self._target(True, self._t1)
            if not self._turned(carry, holder, True, Flags.ANY):
                a = self._o.read(self._dst, True, self._t1, Flags.KEEP)
                self._operate(carry, holder, a, self._o.second_constant(True), True, Flags.ANY)
            self._done(True, holder)
            return
        self._done(False, low)
        self._clear_high()

    def _done_keeping_flags(self, high: bool, holder: int) -> None:
        self._done(high, holder)  # moves to singles and between registers set no flags

    def _turned(self, op: Alu, target: int, high: bool, flags: Flags) -> bool:
        """`target = b op a`, where a is a constant that the instruction can have; whether it can."""
        constant, other = self._a_constant(high), _TURNED.get(op)
        if constant is None or other is None or self._o.second_constant(high) is not None:
            return False
        if self._o.core(self._dst, high) is not None:
            return False
        if try_alu_imm(other, target, target, constant, flags) is None:
            return False
        self._asm.emit(alu_imm(other, target, self._o.second(high, self._t2), constant, flags))
        return True

    def _operate(self, op: Alu, target: int, a: int, constant: int | None, high: bool, flags: Flags) -> None:
        """`target = a op b`, b as a constant where it is one that fits."""
        if constant is not None:
            encoding = try_alu_imm(op, target, a, constant, flags)
            if encoding is not None:
                self._asm.emit(encoding)
                return
        scratch = self._t2 if a != self._t2 else self._t3
        if constant is not None and op in (Alu.ADC, Alu.SBC):
            b = self._o.value(constant, scratch, Flags.KEEP)
        else:
            b = self._o.second(high, scratch)
        self._asm.emit(alu(op, target, a, b, flags))

    def _logic(self) -> None:
        op = _LOGIC[self._sem]
        if self._wants_low:
            self._logic_half(op, False)
        if self._computes_high():
            self._logic_half(op, True)
        self._clear_high()

    def _logic_half(self, op: Alu, high: bool) -> None:
        constant, neutral = self._o.second_constant(high), MASK32 if op == Alu.AND else 0
        if constant == neutral:
            self._o.move(self._dst, self._dst, high, self._t0)
            return
        if constant == 0 and op == Alu.AND:
            self._o.write(self._dst, high, 0, self._t0)
            return
        holder = self._target(high, self._t0)
        if not self._turned(op, holder, high, Flags.ANY):
            self._operate(op, holder, self._a(high, self._t0), constant, high, Flags.ANY)
        self._done(high, holder)

    def _mul(self) -> None:
        if not self._computes_high():
            low = self._target(False, self._t0)
            constant = self._o.second_constant(False)
            if constant is not None and is_shifted(constant):
                self._scale(low, self._a(False, self._t0), constant)
            else:
                self._asm.emit(mul(low, self._a(False, self._t0), self._o.second(False, self._t1)))
            self._done(False, low)
            self._clear_high()
            return
        a, b = self._a(False, self._t0), self._o.second(False, self._t1)
        if self._a_constant(True) == 0 and self._o.second_constant(True) == 0:
            low = self._target(False, self._t2) if self._wants_low else self._t2
            high = self._target(True, self._t3)
            self._asm.emit(long_mul(Long.UMULL, low, high, a, b))
            if self._wants_low:
                self._done(False, low)
            self._done(True, high)
            return
        low = self._target(False, self._t2)
        low = low if self._wants_low and low not in self._read() else self._t2
        crosses = [high for high in (False, True) if self._crosses(high)]
        self._asm.emit(long_mul(Long.UMULL, low, self._t3, a, b))
        for number, high in enumerate(crosses, 1):
            # The first two may hold a and b: a half is read again where it is needed.
            one, other = self._a(high, self._t0), self._o.second(not high, self._t1)
            target = self._target(True, self._t3) if number == len(crosses) else self._t3
            self._asm.emit(mla(target, one, other, self._t3))
        self._done(False, low)
        self._done(True, self._target(True, self._t3) if crosses else self._t3)

    def _crosses(self, high: bool) -> bool:
        """Whether that half of a and the other one of b make anything."""
        return self._a_constant(True) != 0 if high else self._o.second_constant(True) != 0

    def _read(self) -> set[int | None]:
        """The core registers of both operands."""
        registers = (self._dst, self._src) if self._from_register else (self._dst,)
        return {self._o.core(register, high) for register in registers for high in (False, True)}

    def _scale(self, low: int, a: int, constant: int) -> None:
        """A half times a constant for which a shift does (is_shifted)."""
        for op, power in ((None, constant), (Alu.ADD, constant - 1), (Alu.RSB, constant + 1)):
            shift = power.bit_length() - 1
            if not _is_power(power):
                continue
            if op is None:
                self._asm.emit(shift_imm(Shift.LSL, low, a, shift))
            else:
                self._asm.emit(alu(op, low, a, a, Flags.ANY, Shift.LSL, shift))
            return

    def _neg(self) -> None:
        low = self._target(False, self._t0)
        if not self._computes_high():
            self._asm.emit(alu_imm(Alu.RSB, low, self._a(False, self._t0), 0))
            self._done(False, low)
            self._clear_high()
            return
        self._asm.emit(alu_imm(Alu.RSB, low, self._a(False, self._t0), 0, Flags.SET))
        self._done(False, low)
        self._o.load(self._t2, 0, Flags.KEEP)
        high = self._target(True, self._t1)
        a = self._o.read(self._dst, True, self._t1, Flags.KEEP)
        self._asm.emit(alu(Alu.SBC, high, self._t2, a))
        self._done(True, high)

    def _mov(self) -> None:
        for high in (False, True):
            if high and (self._width == _WORD or self._zero_high):
                self._clear_high()
                continue
            if self._from_register:
                self._o.move(self._src, self._dst, high, self._t0)
            else:
                self._o.write(self._dst, high, self._o.second_constant(high) or 0, self._t0)

    def _extend(self) -> None:
        low = self._target(False, self._t0)
        source = self._o.second(False, self._t0)
        if self._sem is Sem.MOVSX32:
            if low != source:
                self._asm.emit(mov(low, source))
        else:
            self._asm.emit(extend(_EXTENSIONS[self._sem], low, source))
        self._done(False, low)
        if self._computes_high():
            high = self._target(True, self._t1)
            self._asm.emit(shift_imm(Shift.ASR, high, low, _WORD - 1))
            self._done(True, high)
        self._clear_high()

    def _divide(self) -> None:
        fits = self._a_constant(True) == 0 and self._o.second_constant(True) == 0
        if self._width > _WORD and not fits:
            raise Divided
        signed = self._width == _WORD and self._sem in (Sem.SDIV, Sem.SMOD)
        divide = sdiv if signed else udiv
        a, b = self._a(False, self._t0), self._o.second(False, self._t1)
        low = self._target(False, self._t2)
        if self._sem in (Sem.DIV, Sem.SDIV):
            self._asm.emit(divide(low, a, b))
        else:
            self._asm.emit(divide(self._t3, a, b), mls(low, self._t3, b, a))
        self._done(False, low)
        self._o.write(self._dst, True, 0, self._t0)

    def _reverse(self) -> None:
        width = _REVERSED[self._sem]
        if width == 2 * _WORD:
            a, b = self._a(False, self._t0), self._a(True, self._t1)
            self._asm.emit(unary(Unary.REV, self._t2, a), unary(Unary.REV, self._t3, b))
            if self._wants_low:
                self._done(False, self._t3)
            if self._wants_high:
                self._done(True, self._t2)
            return
        low, a = self._target(False, self._t0), self._a(False, self._t0)
        if width == _WORD:
            self._asm.emit(unary(Unary.REV, low, a))
        else:
            self._asm.emit(unary(Unary.REV16, low, a), extend(Extend.UXTH, low, low))
        self._done(False, low)
        self._o.write(self._dst, True, 0, self._t0)

    def _cut(self) -> None:
        if self._sem is Sem.LE64:
            self._stay()
            return
        if self._sem is Sem.LE16:
            low = self._target(False, self._t0)
            self._asm.emit(extend(Extend.UXTH, low, self._a(False, self._t0)))
            self._done(False, low)
        else:
            self._o.move(self._dst, self._dst, False, self._t0)
        self._o.write(self._dst, True, 0, self._t0)

    # Shifts

    def _shift(self) -> None:
        count = self._o.second_constant(False)
        if count is None:
            self._shift_by_register()
        else:
            self._shift_by(count & (self._width - 1))

    def _shift_by(self, count: int) -> None:
        op = _SHIFTS[self._sem]
        if count == 0:
            self._stay()
            return
        if self._width == _WORD or (op == Shift.LSL and not self._computes_high()):
            if count >= _WORD:
                self._o.write(self._dst, False, 0, self._t0)
            elif self._wants_low:
                low = self._target(False, self._t0)
                self._asm.emit(shift_imm(op, low, self._a(False, self._t0), count))
                self._done(False, low)
            self._clear_high()
        elif op == Shift.LSL:
            self._left(count)
        else:
            self._right(op, count)

    def _left(self, count: int) -> None:
        if count == _WORD:
            self._o.cross(self._dst, True, self._t0)
            self._o.write(self._dst, False, 0, self._t0)
            return
        high = self._target(True, self._t1)
        low = self._a(False, self._t0)
        if count > _WORD:
            self._asm.emit(shift_imm(Shift.LSL, high, low, count - _WORD))
            self._done(True, high)
            self._o.write(self._dst, False, 0, self._t0)
            return
        if self._a_constant(True) == 0:
            self._asm.emit(shift_imm(Shift.LSR, high, low, _WORD - count))
        else:
            self._asm.emit(shift_imm(Shift.LSL, high, self._a(True, self._t1), count))
            self._asm.emit(alu(Alu.ORR, high, high, low, Flags.ANY, Shift.LSR, _WORD - count))
        self._done(True, high)
        if self._wants_low:
            holder = self._target(False, self._t0)
            self._asm.emit(shift_imm(Shift.LSL, holder, low, count))
            self._done(False, holder)

    def _right(self, op: Shift, count: int) -> None:
        known_zero = self._a_constant(True) == 0
        if count == _WORD and op == Shift.LSR and not known_zero:
            self._o.cross(self._dst, False, self._t0)
            self._high_of_right(op, None, self._t1)
            return
        low = self._target(False, self._t0)
        whole = count == _WORD and self._wants_low
        high = int(self._t1) if known_zero else self._a(True, low if whole else self._t1)
        if count >= _WORD:
            if known_zero:
                self._o.write(self._dst, False, 0, self._t0)
            elif self._wants_low:
                if count > _WORD:
                    self._asm.emit(shift_imm(op, low, high, count - _WORD))
                elif low != high:
                    self._asm.emit(mov(low, high))
                self._done(False, low)
            self._high_of_right(op, _WORD - 1 if op == Shift.ASR else None, high)
            return
        if self._wants_low:
            self._asm.emit(shift_imm(Shift.LSR, low, self._a(False, self._t0), count))
            if not known_zero:
                self._asm.emit(alu(Alu.ORR, low, low, high, Flags.ANY, Shift.LSL, _WORD - count))
            self._done(False, low)
        self._high_of_right(op, count, high)

    def _high_of_right(self, op: Shift, count: int | None, high: int) -> None:
        """The high half moved by `count`, or nothing left of it."""
        if not self._wants_high:
            return
        if count is None or self._zero_high:
            self._o.write(self._dst, True, 0, self._t2)
            return
        holder = self._target(True, self._t1)
        self._asm.emit(shift_imm(op, holder, high, count))
        self._done(True, holder)

    def _shift_by_register(self) -> None:
        """By the low bits of a register. Counts of 32 and more shift everything out of a half."""
        op, asm = _SHIFTS[self._sem], self._asm
        if self._width == _WORD or (op == Shift.LSL and not self._computes_high()):
            asm.emit(alu_imm(Alu.AND, self._t1, self._o.second(False, self._t1), self._width - 1))
            low = self._target(False, self._t0)
            asm.emit(shift_reg(op, low, self._a(False, self._t0), self._t1))
            self._done(False, low)
            self._clear_high()
            return
        asm.emit(alu_imm(Alu.AND, self._t2, self._o.second(False, self._t2), self._width - 1))
        low, high = self._a(False, self._t0), self._a(True, self._t1)
        if op == Shift.LSL:
            self._left_by_register(low, high)
        else:
            self._right_by_register(op, low, high)

    def _left_by_register(self, low: int, high: int) -> None:
        """The count is in the third scratch register. high = high << n | low >> 32 - n | low << n - 32."""
        asm = self._asm
        holder = self._target(True, self._t1)
        asm.emit(shift_reg(Shift.LSL, holder, high, self._t2), alu_imm(Alu.RSB, self._t3, self._t2, _WORD))
        asm.emit(shift_reg(Shift.LSR, self._t3, low, self._t3), alu(Alu.ORR, holder, holder, self._t3))
        asm.emit(alu_imm(Alu.SUB, self._t3, self._t2, _WORD), shift_reg(Shift.LSL, self._t3, low, self._t3))
        asm.emit(alu(Alu.ORR, holder, holder, self._t3))
        self._done(True, holder)
        if self._wants_low:
            target = self._target(False, self._t0)
            asm.emit(shift_reg(Shift.LSL, target, low, self._t2))
            self._done(False, target)

    def _right_by_register(self, op: Shift, low: int, high: int) -> None:
        """The count is in the third scratch register. low = low >> n | high << 32 - n, or high >> n - 32."""
        asm = self._asm
        if self._wants_low:
            holder = self._target(False, self._t0)
            asm.emit(shift_reg(Shift.LSR, holder, low, self._t2), alu_imm(Alu.RSB, self._t3, self._t2, _WORD))
            asm.emit(shift_reg(Shift.LSL, self._t3, high, self._t3), alu(Alu.ORR, holder, holder, self._t3))
            asm.emit(alu_imm(Alu.SUB, self._t3, self._t2, _WORD, Flags.SET))
            asm.if_then(Cond.PL, [shift_reg(op, holder, high, self._t3, Flags.KEEP)])
            self._done(False, holder)
        if self._wants_high:
            if self._zero_high:
                self._o.write(self._dst, True, 0, self._t3)
                return
            target = self._target(True, self._t1)
            asm.emit(shift_reg(op, target, high, self._t2))
            self._done(True, target)


def _is_power(value: int) -> bool:
    """Whether it is a power of two that a shift of a word can multiply by."""
    return 1 < value < 1 << _WORD and not value & (value - 1)


def is_shifted(constant: int) -> bool:
    """Whether a product with it is one shift, or one sum or difference with a shift."""
    return any(_is_power(constant + more) for more in (-1, 0, 1))
