"""Halves of registers as operands: in their home, known, or fetched into a scratch register."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from device.jit.assembler import Assembler
from device.jit.encoder import (
    Flags,
    R,
    from_single,
    load_constant,
    mov,
    to_single,
    try_mov_imm,
)
from device.jit.lowering.looked import Fused, Looked, Product, known
from device.vm.decode import MASK32

_FREELY: Final = (int(R.R0), int(R.R1), int(R.R2), int(R.R3))
"""Registers that a function may change, whoever calls it."""

NEAR: Final = range(4092)
"""How far above a register an access may begin: its second word is four bytes further, 4095 the most."""

Scratch = tuple[int, int, int, int]
"""Core registers that an instruction may use while it is executed. LR can be the second of them only."""


class Operands:
    """The halves at the step that is being written."""

    def __init__(self, asm: Assembler, scratch: Scratch, kept: Collection[int] = ()) -> None:
        self.asm = asm
        self.at: Looked
        self.scratch = scratch
        self.held: Mapping[int, int] = {}
        """Constants that are in registers here, besides homes."""
        self.kept = kept
        """The registers that constants are in anywhere, here or around here."""

    # What is known

    def constant(self, register: int, high: bool) -> int | None:
        """The half's value where only one is possible, before the step."""
        return known(self.at.before, register, high)

    def wants(self, register: int, high: bool) -> bool:
        """Whether the half is to be written by the step: it is live behind it, and has a home."""
        return (register, high) in self.at.homes_behind

    def core(self, register: int, high: bool) -> int | None:
        """The home of a half before the step, if it is a core register."""
        home = self.at.homes.get((register, high))
        return None if home is None or home.single else home.number

    # Reading

    def read(self, register: int, high: bool, scratch: int, flags: Flags = Flags.ANY) -> int:
        """A core register that holds the half: its home, or `scratch`."""
        home = self.at.homes.get((register, high))
        if home is not None and not home.single:
            return home.number
        value = self.constant(register, high)
        if value is not None:
            return self.value(value, scratch, flags)
        if home is None:
            raise AssertionError(f"a half of r{register} is read and has no home")
        self.asm.emit(from_single(scratch, home.number))
        return scratch

    def read_at(self, fused: Fused, one: int, other: int) -> tuple[int, int]:
        """The low halves of what is fused with the step, in their homes or in these scratch registers."""
        return self._earlier(fused.first, fused.one, one), self._earlier(fused.first, fused.other, other)

    def factor(self, product: Product, scratch: int) -> int:
        """The low half of the first factor, in its home or in `scratch`."""
        return self._earlier(product.first, product.one, scratch)

    def other_factor(self, product: Product, scratch: int) -> int:
        """The same of the second one, which may be a constant."""
        if product.other < 0:
            return self.value(product.factor, scratch)
        return self._earlier(product.first, product.other, scratch)

    def _earlier(self, first: Looked, register: int, scratch: int) -> int:
        """A low half as it is before another step than the one at hand."""
        now, self.at = self.at, first
        found = self.read(register, False, scratch)
        self.at = now
        return found

    def value(self, value: int, scratch: int, flags: Flags = Flags.ANY) -> int:
        """A core register that holds a constant: one that is kept, or `scratch`."""
        held = self.held.get(value)
        if held is not None:
            return held
        self.load(scratch, value, flags)
        return scratch

    def spare(self, scratch: int) -> int:
        """A register with short forms in which nothing is around the step, or `scratch`."""
        homes = (*self.at.homes.values(), *self.at.homes_behind.values())
        taken = {home.number for home in homes if not home.single} | {*self.kept, *self.scratch[:1]}
        return next((register for register in _FREELY if register not in taken), scratch)

    def near(self, address: int) -> tuple[int, int] | None:
        """A register that holds a constant not far below an address, and how far that is."""
        distances = ((address - value, register) for value, register in self.held.items())
        distance, register = min((found for found in distances if found[0] in NEAR), default=(0, -1))
        return (register, distance) if register >= 0 else None

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
        return self.value((imm & mask) >> 32 if high else imm & mask & MASK32, scratch)

    def copy(self, register: int, high: bool, target: int) -> None:
        """Bring the half into a core register."""
        found = self.read(register, high, target)
        if found != target:
            self.asm.emit(mov(target, found))

    def load(self, target: int, value: int, flags: Flags = Flags.ANY) -> None:
        """A constant into a core register, the shorter way."""
        if try_mov_imm(target, value, flags) is None and target < R.R8:
            self.asm.literal(target, value)
        else:
            self.asm.emit(*load_constant(target, value, flags))

    # Writing

    def target(self, register: int, high: bool, scratch: int) -> int:
        """The core register to compute the half in: its home behind the step, or `scratch`, for `done`."""
        home = self.at.homes_behind.get((register, high))
        return scratch if home is None or home.single else home.number

    def done(self, register: int, high: bool, holder: int) -> None:
        """The half was computed in `holder`."""
        home = self.at.homes_behind.get((register, high))
        if home is None:
            return
        if home.single:
            self.asm.emit(to_single(home.number, holder))
        elif home.number != holder:
            self.asm.emit(mov(home.number, holder))

    def move(self, source: int, register: int, high: bool, scratch: int) -> None:
        """Give a half the value of the same half of `source`, if it is wanted."""
        behind = self.at.homes_behind.get((register, high))
        if behind is None or behind == self.at.homes.get((source, high)):
            return
        holder = self.target(register, high, scratch)
        self.copy(source, high, holder)
        self.done(register, high, holder)

    def cross(self, register: int, high: bool, scratch: int) -> None:
        """Give a half what the other half of the register was, if it is wanted."""
        behind = self.at.homes_behind.get((register, high))
        if behind is None or behind == self.at.homes.get((register, not high)):
            return
        holder = self.target(register, high, scratch)
        self.copy(register, not high, holder)
        self.done(register, high, holder)

    def write(self, register: int, high: bool, value: int, scratch: int) -> None:
        """Give the half a constant, if it is wanted."""
        if not self.wants(register, high):
            return
        holder = self.target(register, high, scratch)
        self.load(holder, value)
        self.done(register, high, holder)
