"""Taking over a machine that has stopped: what it holds becomes the state of the exact tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from device.jit.compile import Compiled
from device.jit.errors import JitError
from device.jit.layout import MAILBOX
from device.jit.lowering.calls import BUDGET_WORD
from device.jit.lowering.exits import Exit
from device.jit.lowering.looked import Half, Home
from device.jit.lowering.webs import BUDGET
from device.jit.stop import Reason, Stop
from device.vm.decode import MASK32
from device.vm.faults import GuestFault
from device.vm.interpreter.machine import LOST, Elsewhere, Frame, Left, Short
from device.vm.isa import FRAME_POINTER
from device.vm.program import Control

_WORD: Final = 4
_SP: Final = 13
_SINGLES_AT: Final = 16
"""Where VFP registers are in the registers of a Stop."""


class Takeover:
    """Of code that is loaded at `base` and was entered with `pointer` as r10.

    `word` reads the native stack of the machine, which has stopped as `stop` says.
    """

    def __init__(
        self,
        compiled: Compiled,
        base: int,
        word: Callable[[int], int],
        stop: Stop,
        pointer: int,
        frame_size: int,
    ) -> None:
        self._compiled = compiled
        self._base = base
        self._word = word
        self._stop = stop
        self._pointer = pointer
        self._frame_size = frame_size

    def left(self, control: Control) -> Left:
        """The state to go on with. Raises JitError where no code may stop."""
        stop, offset = self._stop, self._stop.pc - self._base
        if stop.reason is Reason.KILLED:
            return self._killed(control, offset)
        exit_ = self._compiled.exits.get(offset)
        if exit_ is None or stop.reason is Reason.MEMORY:
            where = f"{stop.reason.value} at {stop.pc:#x}, offset {offset:#x} of the code"
            raise JitError(f"{where}, {stop.access} {stop.address}")
        registers = [*self._registers(exit_), self._pointer]
        rounds = 0 if exit_.rounds is None else exit_.rounds.refund(stop.registers)
        budget = stop.registers[BUDGET] + exit_.refund + rounds & MASK32
        left = Left(exit_.pc, registers, budget, Short() if exit_.short else Elsewhere())
        left.blamed = exit_.blamed or left.blamed
        left.frames = [] if exit_.outermost else self._callers(stop.registers[_SP])
        registers[FRAME_POINTER] = self._pointer - len(left.frames) * self._frame_size
        for index, (_, saved) in enumerate(left.frames, 1):
            saved.append(registers[FRAME_POINTER] + index * self._frame_size)
        if stop.reason is Reason.FAULTED:
            left.fault = stop.fault
            left.budget -= 1
        return left

    def _killed(self, control: Control, offset: int) -> Left:
        """A run that was stopped anywhere: nothing goes on, and of the registers nothing is known."""
        inside = 0 <= offset < len(self._compiled.code.text)
        pc = self._compiled.code.pc_at(offset) if inside else -1
        left = Left(max(pc, 0), [LOST] * (FRAME_POINTER + 1), self._budget(offset), Elsewhere())
        try:
            control.check()
        except GuestFault as fault:
            left.fault = fault
        return left

    def _budget(self, offset: int) -> int:
        """What was left where a run was stopped; all of it where that was before its first instruction.

        In a loop that is charged for many rounds, as of its round's beginning or end.
        """
        registers = self._stop.registers
        if not registers:
            return self._word(MAILBOX + _WORD * BUDGET_WORD)
        ahead = 0
        for (start, end), rounds in self._compiled.loops.items():
            if start <= offset < end:
                ahead = max(rounds.refund(registers), 0)
        return registers[BUDGET] + ahead & MASK32

    def _registers(self, exit_: Exit) -> list[int]:
        halves = {
            half: where if isinstance(where, int) else self._held(where) for half, where in exit_.halves
        }
        return [_joined(halves, register) for register in range(FRAME_POINTER)]

    def _held(self, home: Home) -> int:
        if home.single:
            return self._stop.registers[_SINGLES_AT + home.number]
        return self._stop.registers[home.number]

    def _callers(self, stack: int) -> list[Frame]:
        """The frames of local functions that were in compiled code, the innermost first, without r10."""
        word = self._word
        frames: list[Frame] = []
        outermost = False
        while not outermost:
            site = self._compiled.calls[(word(stack) & ~1) - self._base]
            stack += _WORD
            halves: dict[Half, int] = dict(site.constants)
            for sharing in site.saved:
                halves |= dict.fromkeys(sharing, word(stack))
                stack += _WORD
            frames.append((site.pc, [_joined(halves, register) for register in range(6, FRAME_POINTER)]))
            outermost = site.outermost
        return frames


def _joined(halves: Mapping[Half, int], register: int) -> int:
    if (register, False) not in halves and (register, True) not in halves:
        return LOST
    return halves.get((register, False), 0) | halves.get((register, True), 0) << 32
