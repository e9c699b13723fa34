"""One run: the exact tier and translated code in turns."""

from __future__ import annotations

from collections.abc import Callable
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Final, Protocol

from device.vm.decode import MASK64
from device.vm.faults import Fault, FaultCode, GuestFault
from device.vm.interpreter.machine import (
    LOST,
    Elsewhere,
    Finished,
    Left,
    Machine,
    Renewed,
    Short,
    fresh_registers,
    shown,
)
from device.vm.interpreter.prepared import Enter, Enterable, Prepared
from device.vm.isa import FRAME_POINTER
from device.vm.memory import STACK_TOP
from device.vm.program import Outcome, Program, Run

CHUNK: Final = 4_096
"""Instructions of the exact tier between two looks at the run's control, about 1 ms."""


class Translator(Protocol):
    """The engine, as a run needs it."""

    @property
    def hot_after(self) -> int | None:
        """Instructions after which a program is translated."""

    @property
    def share(self) -> int:
        """Instructions that translated code is handed at once."""

    def translate(self, prepared: Prepared, pc: int, registers: list[int]) -> None:
        """Have the unit made that is entered at `pc` with such registers."""

    def entered(self, program: Program, run: Run, prepared: Prepared, version: int, unit: Enterable) -> None:
        """A run has begun by entering this unit, which was found when `prepared` had that version."""


def at_entry(run: Run) -> list[int]:
    """The registers that a run begins with."""
    registers = fresh_registers()
    registers[1], registers[2], registers[FRAME_POINTER] = run.r1 & MASK64, run.r2 & MASK64, STACK_TOP
    return registers


class Execution:
    """One run. `executed` are the instructions up to `pc`, `limit` is where the budget ends."""

    def __init__(self, engine: Translator, prepared: Prepared, program: Program, machine: Machine) -> None:
        self._engine = engine
        self._prepared = prepared
        self._program = program
        self._run = machine.run
        self._code = prepared.closures.code
        self._slots = prepared.closures.slots
        self._machine = machine
        self._registers = at_entry(machine.run)
        self._pc = program.entry
        self._executed = 0
        self._limit = machine.run.budget

    def outcome(self) -> Outcome:
        """Execute from the entry to exit or fault."""
        self._machine.stack.reset()
        return self._ended(self._begin)

    def resumed(self, left: Left) -> Outcome:
        """Go on where code was left that was entered at the program's entry."""
        return self._ended(lambda: self._take_over(left, 0))

    def _ended(self, first: Callable[[], None]) -> Outcome:
        try:
            first()
            while True:
                self._go_on()
        except Finished:
            return Outcome(self._registers[0], None, self._executed)
        except GuestFault as fault:
            return Outcome(None, self._located(fault), self._executed)

    def _begin(self) -> None:
        if self._pc in self._prepared.originals and self._limit > 0:
            self._run.control.check()
            self._enter()

    def _located(self, fault: GuestFault) -> Fault:
        return self._program.locate(fault.record(self._pc, shown(self._registers)))

    def _go_on(self) -> None:
        """The exact tier for a while, then whatever is due."""
        before = self._executed
        if before >= self._limit and self._pc < self._slots:
            detail = f"budget of {self._run.budget} instructions used up"
            raise GuestFault(FaultCode.OUT_OF_INSTRUCTIONS, detail)
        self._run.control.check()
        try:
            if self._is_hot() and self._prepared.translation is None:
                self._engine.translate(self._prepared, self._pc, self._registers)
            self._exact(min(self._limit, before + CHUNK))
        except Enter:
            self._enter()
        finally:
            self._prepared.heat += self._executed - before

    def _is_hot(self) -> bool:
        hot_after = self._engine.hot_after
        return hot_after is not None and self._prepared.heat >= hot_after and not self._machine.settled

    def _exact(self, stop: int) -> None:
        """Execute instruction by instruction until `stop` are executed."""
        code, registers, machine = self._code, self._registers, self._machine
        pc = self._pc
        executed = first = self._executed
        try:
            for executed in range(first, max(stop, first + 1)):  # noqa: B007 - the handlers read it
                pc = code[pc](registers, machine)
            executed += 1
        except Renewed as renewed:
            executed, pc = executed + 1, renewed.pc
            self._renew(executed)
        except Enter:
            raise
        except BaseException:
            executed += pc < self._slots  # there is no instruction to count past the end
            raise
        finally:
            self._pc, self._executed = pc, executed

    def _enter(self) -> None:
        """Go on in translated code, or past its entry when there is none yet."""
        prepared, registers, pc = self._prepared, self._registers, self._pc
        translation, version = prepared.translation, prepared.version
        unit = translation.find(translation.entry_at(pc, registers)) if translation else None
        if translation is None or unit is None:
            self._engine.translate(prepared, pc, registers)
            self._step_past()
            return
        if not self._executed:
            self._engine.entered(self._program, self._run, prepared, version, unit)
        limit, machine, before = self._limit, self._machine, self._executed
        share = min(self._engine.share, limit - before)
        machine.rest = limit - self._executed - share
        arguments = [registers[register] for register in unit.parameters]
        try:
            budget, registers[0], *others = unit.call(share, machine, registers[FRAME_POINTER], *arguments)
        except Left as left:
            self._take_over(left, before)
            return
        self._executed = limit - budget - machine.rest
        registers[1:6] = [LOST] * 5
        for register, value in zip(translation.returned, others, strict=True):
            registers[register] = value
        if not machine.frames:
            raise Finished
        self._pc, registers[6:] = machine.frames.pop()
        machine.stack.activate(len(machine.frames) + 1)

    def _take_over(self, left: Left, before: int) -> None:
        """Make the machine what it was in translated code, and execute what that could not.

        It had been entered after `before` instructions; a share that is used up may be followed by another.
        """
        machine = self._machine
        self._executed = self._limit - left.budget - machine.rest
        machine.frames.extend(reversed(left.frames))
        machine.stack.activate(len(machine.frames) + 1)
        self._registers[:] = left.registers
        self._pc = left.pc
        if left.fault is not None:
            raise left.fault
        if isinstance(left.cause, Short):
            machine.settled = machine.rest == 0 or self._executed == before
            return
        self._run.control.check()
        if isinstance(left.cause, Elsewhere | IndexError | StructError):
            for pc in left.blamed:
                self._prepared.missed(pc)
        self._step_past()

    def _step_past(self) -> None:
        """Execute one instruction, whatever stands at it."""
        pc = self._pc
        original = self._prepared.originals.get(pc, self._code[pc])
        if self._executed >= self._limit and pc < self._slots:
            return
        try:
            self._pc = original(self._registers, self._machine)
        except Renewed as renewed:
            self._pc = renewed.pc
            self._renew(self._executed + 1)
        finally:
            self._executed += pc < self._slots

    def _renew(self, executed: int) -> None:
        """The budget begins anew behind so many instructions."""
        self._limit = executed + self._run.budget
        self._machine.settled = False
