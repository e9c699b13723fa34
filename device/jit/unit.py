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
from device.vm.memory import STACK_TOP
from device.vm.program import Run

if TYPE_CHECKING:
    from device.vm.interpreter.machine import Machine

_WORD: Final = 4
_STATE: Final = Struct(f"<{REGISTERS}Q")
_STATE_AT: Final = _WORD * state_word(0, False)
_STATE_END: Final = _STATE_AT + _STATE.size


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
        lent = processor.lend(m.run.memory)
        try:
            stop = self._enter(processor, m.run, packed(registers), pointer, budget)
        finally:
            processor.take_back(m.run.memory, lent)
        if stop is not RETURNED:
            raise self.left(processor, stop, m.run, pointer)
        r0, rest = processor.machine.returned
        state = _STATE.unpack_from(processor.machine.bytes, _STATE_AT)
        return rest, r0, *(state[register] for register in self._returned)

    def begin(self, processor: Processor, run: Run, state: bytes, budget: int) -> Stop:
        """Have a run begin with it, with the registers that were `packed` as `state`.

        After a return `processor.machine.returned` has r0 and what is left of the budget.
        """
        lent = processor.lend_new(run.memory)
        try:
            return self._enter(processor, run, state, STACK_TOP, budget)
        finally:
            processor.take_back_new(run.memory, lent)

    def _enter(self, processor: Processor, run: Run, state: bytes, pointer: int, budget: int) -> Stop:
        machine, stack = processor.machine, run.memory.stack
        machine.bytes[_STATE_AT:_STATE_END] = state
        machine.mailbox[BUDGET_WORD] = budget
        stack.base = pointer - self._frame_size
        entry, singles, is_due = processor.load(self.compiled), self.compiled.singles, run.control.is_due
        if not self._asked:
            return machine.run(entry, should_stop=is_due, singles=singles)
        serve = service(self._asked, run, machine, self._calling)
        try:
            return machine.run(entry, service=serve, should_stop=is_due, singles=singles)
        finally:
            stack.base = pointer - self._frame_size

    def left(self, processor: Processor, stop: Stop, run: Run, pointer: int) -> Left:
        """How the exact tier goes on where the machine has stopped."""
        base = processor.load(self.compiled) & ~1
        word = processor.machine.native_word
        return Takeover(self.compiled, base, word, stop, pointer, self._frame_size).left(run.control)


def packed(registers: Sequence[int]) -> bytes:
    """r0 to r10 as `begin` takes them."""
    return _STATE.pack(*registers)
