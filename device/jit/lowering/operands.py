"""Halves of registers as operands: in their home, known, or fetched into a scratch register."""

from __future__ import annotations

from device.jit.assembler import Assembler
from device.jit.encoder import (
    R,
    from_single,
    load_constant,
    mov,
    to_single,
    try_mov_imm,
)
from device.jit.lowering.homes import Homes
from device.jit.lowering.looked import Looked
from device.vm.analysis.intervals import State
from device.vm.analysis.liveness import HIGH, LOW
from device.vm.decode import MASK32


class Operands:
    """The halves at the step that is being written."""

    def __init__(self, asm: Assembler, homes: Homes) -> None:
        self.asm = asm
        self.homes = homes
        self.at: Looked
        self.alias: tuple[int, int] | None = None
        """(r, s): r was given the value of s by the instruction before, which was left out; reads go to s."""

    # What is known

    def constant(self, register: int, high: bool) -> int | None:
        """The half's value where only one is possible, before the step."""
        return known(self.at.before, register, high, self.homes)

    def wants(self, register: int, high: bool) -> bool:
        """Whether the half is to be written by the step: live behind it, and it has a home."""
        live = self.at.live_behind & (HIGH if high else LOW)[register]
        return bool(live) and (register, high) in self.homes

    # Reading

    def read(self, register: int, high: bool, scratch: int) -> int:
        """A core register that holds the half: its home, or `scratch`."""
        value = self.constant(register, high)
        if self.alias is not None and self.alias[0] == register:
            register = self.alias[1]
        home = self.homes.get((register, high))
        # A high half that can only be zero is not read, so its home may hold anything (looked.py).
        if home is not None and not home.single and not (high and value is not None):
            return home.number
        if value is not None:
            self.load(scratch, value)
        elif home is None:
            raise AssertionError(f"a half of r{register} is read and has no home")
        else:
            self.asm.emit(from_single(scratch, home.number))
        return scratch

    def second_constant(self, high: bool) -> int | None:
        """A half of the second operand of the step, a register or its immediate, where it is known."""
        _, _, _, mask, _, src, _, imm, from_register = self.at.step
        if from_register:
            return self.constant(src, high)
        return (imm & mask) >> 32 if high else imm & mask & MASK32

    def second(self, high: bool, scratch: int) -> int:
        """A core register that holds a half of the second operand of the step."""
        _, _, _, mask, _, src, _, imm, from_register = self.at.step
        if from_register:
            return self.read(src, high, scratch)
        self.load(scratch, (imm & mask) >> 32 if high else imm & mask & MASK32)
        return scratch

    def copy(self, register: int, high: bool, target: int) -> None:
        """Bring the half into a core register."""
        found = self.read(register, high, target)
        if found != target:
            self.asm.emit(mov(target, found))

    def load(self, target: int, value: int) -> None:
        """A constant into a core register, the shorter way."""
        if try_mov_imm(target, value) is None and target < R.R8:
            self.asm.literal(target, value)
        else:
            self.asm.emit(*load_constant(target, value))

    # Writing

    def target(self, register: int, high: bool, scratch: int) -> int:
        """The core register to compute the half in: its home, or `scratch`, for `done`."""
        home = self.homes.get((register, high))
        return scratch if home is None or home.single else home.number

    def done(self, register: int, high: bool, holder: int) -> None:
        """The half was computed in `holder`."""
        home = self.homes.get((register, high))
        if home is None:
            return
        if home.single:
            self.asm.emit(to_single(home.number, holder))
        elif home.number != holder:
            self.asm.emit(mov(home.number, holder))

    def keep(self, register: int, high: bool, scratch: int) -> None:
        """Have the half be at home that the step leaves as it is.

        It may not be: after a move that was left out, or a high half that could only be zero (looked.py).
        """
        moved = self.alias is not None and self.alias[0] == register
        if self.wants(register, high) and (moved or (high and self.constant(register, high) is not None)):
            holder = self.target(register, high, scratch)
            self.copy(register, high, holder)
            self.done(register, high, holder)

    def write(self, register: int, high: bool, value: int, scratch: int) -> None:
        """Give the half a constant, if it is wanted."""
        if not self.wants(register, high):
            return
        holder = self.target(register, high, scratch)
        self.load(holder, value)
        self.done(register, high, holder)


def known(state: State, register: int, high: bool, homes: Homes) -> int | None:
    """What a half must be in this state: a constant, or zero where it can be nothing else or has no home."""
    low_bound, high_bound, _ = state[register]
    if low_bound == high_bound:
        return low_bound >> 32 if high else low_bound & MASK32
    if high and (high_bound <= MASK32 or (register, True) not in homes):
        return 0
    return None
