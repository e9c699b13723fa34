"""One compiled unit: how it is entered on a machine, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

from device.jit.compile import Compiled
from device.jit.lowering.calls import BUDGET_WORD, state_word
from device.jit.processor import Processor
from device.jit.requests import Asked, service
from device.jit.stop import RETURNED, Stop
from device.jit.takeover import Takeover
from device.vm.interpreter.machine import Left
from device.vm.isa import FRAME_POINTER, REGISTERS
from device.vm.program import Run

if TYPE_CHECKING:
    from device.vm.interpreter.machine import Machine

_WORD: Final = 4
_STATE: Final = Struct(f"<{REGISTERS}Q")
_STATE_AT: Final = _WORD * state_word(0, False)


class Unit:
    """Compiled code as a function of budget, run and registers; see interpreter.translation.Function.

    `returned` are the registers that come back beside r0, `processor` gives the calling thread's machine.
    """

    def __init__(
        self,
        compiled: Compiled,
        returned: Sequence[int],
        frame_size: int,
        processor: Callable[[], Processor],
    ) -> None:
        self.compiled = compiled
        wanted = {register for register, _ in compiled.parameters}
        self.parameters = tuple(sorted(wanted - {FRAME_POINTER}))
        self._asked = [Asked.of(request) for request in compiled.requests]
        self._returned = returned
        self._frame_size = frame_size
        self._calling = frame_size if compiled.calls else None
        self._processor = processor

    def call(self, budget: int, m: Machine, pointer: int, *values: int) -> tuple[int, ...]:
        """Enter it: the budget left, r0 and `returned`. Raises Left when the exact tier has to go on."""
        processor = self._processor()
        registers = [0] * REGISTERS
        registers[FRAME_POINTER] = pointer
        for register, value in zip(self.parameters, values, strict=True):
            registers[register] = value
        stop = self.enter(processor, m.run, registers, budget)
        if stop is not RETURNED:
            raise self.left(processor, stop, m.run, pointer)
        r0, rest = processor.machine.returned
        state = _STATE.unpack_from(processor.machine.bytes, _STATE_AT)
        return rest, r0, *(state[register] for register in self._returned)

    def enter(self, processor: Processor, run: Run, registers: Sequence[int], budget: int) -> Stop:
        """Have the machine run it with registers r0 to r10: those of `parameters`, and r10, are looked at.

        The bytes of the run's memory are what they then are; `processor.machine.returned` has r0 and what
        was left of the budget.
        """
        machine, memory = processor.machine, run.memory
        _STATE.pack_into(machine.bytes, _STATE_AT, *registers)
        machine.mailbox[BUDGET_WORD] = budget
        entry = processor.load(self.compiled)
        memory.stack.base = base = registers[FRAME_POINTER] - self._frame_size
        lent = processor.lend(memory)
        try:
            if not self._asked:
                return machine.run(entry, should_stop=run.control.is_due, singles=self.compiled.singles)
            serve = service(self._asked, run, machine, self._calling)
            return machine.run(
                entry, service=serve, should_stop=run.control.is_due, singles=self.compiled.singles
            )
        finally:
            processor.take_back(memory, lent)
            memory.stack.base = base

    def left(self, processor: Processor, stop: Stop, run: Run, pointer: int) -> Left:
        """How the exact tier goes on where the machine has stopped."""
        base = processor.load(self.compiled) & ~1
        word = processor.machine.native_word
        return Takeover(self.compiled, base, word, stop, pointer, self._frame_size).left(run.control)
