"""A program's native code, as the tiers of the interpreter want it: units that are entered and left.

Compiled code stops where it cannot go on: at an exit, at a request that ended in a fault, or because the run
was killed. What the machine holds then becomes the registers and callers of the exact tier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from struct import Struct
from threading import Lock
from typing import Final

from device.jit.compile import Compiled, Shape, compile_unit
from device.jit.errors import JitError
from device.jit.lowering.calls import BUDGET_WORD, OPERANDS, Request, state_word
from device.jit.lowering.function import Exit
from device.jit.lowering.looked import Half, Home
from device.jit.lowering.webs import BUDGET
from device.jit.processor import Loaded, Processor
from device.jit.stop import Reason, Stop
from device.vm.analysis.entries import Entry, Kinds, among, exactly, kinds_of
from device.vm.analysis.functions import Functions
from device.vm.analysis.lift import Decode
from device.vm.analysis.liveness import BOTH
from device.vm.arithmetic import OPERATIONS, Operation
from device.vm.decode import MASK32, MASK64
from device.vm.faults import GuestFault
from device.vm.interpreter.guesses import Guesses
from device.vm.interpreter.machine import LOST, Elsewhere, Left, Machine, Short
from device.vm.interpreter.translation import Function
from device.vm.isa import FRAME_POINTER, Sem
from device.vm.memory import CONTEXT_BASE, CONTEXT_PLACE
from device.vm.program import Control

VARIANTS: Final = 4
"""Entries at one slot with different knowledge; further ones share one that knows nothing."""

_WORD: Final = 4
_OPERANDS: Final = Struct("<5Q")
_RESULT: Final = Struct("<Q")
_OPERANDS_AT: Final = _WORD * OPERANDS
_SINGLES_AT: Final = 16
"""Where VFP registers are in the registers of a Stop."""


class NativeTranslation:
    """The compiled units of a text for one shape of memory. May be used by several threads.

    `processor` gives the calling thread's machine.
    """

    def __init__(
        self, decode: Decode, slots: int, entry: int, shape: Shape, processor: Callable[[], Processor]
    ) -> None:
        self._shape = shape
        self._start = entry
        context = shape.places[CONTEXT_PLACE]
        self._arguments = (CONTEXT_BASE, context.end - context.start) if context is not None else (0, 0)
        self._processor = processor
        self._functions = Functions(decode, slots, entry)
        self.entries: Mapping[int, int] = self._functions.entries
        self.returned = self._functions.returned
        self.compiled: dict[Entry, Compiled] = {}
        self._ready: dict[Entry, Function] = {}
        self._guesses = Guesses(decode, slots)
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes of code that there are."""
        return sum(len(compiled.code.text) for compiled in list(self.compiled.values()))

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""
        return among(Entry(pc, self._kinds(pc, registers)), self._ready, VARIANTS)

    def _kinds(self, pc: int, registers: Sequence[int]) -> Kinds:
        """What is known of the registers. At a run's beginning they say what the shape of memory says."""
        live = self.entries[pc]
        kinds = kinds_of(registers, live)
        if pc != self._start:
            return kinds
        expected = (0, *self._arguments, *[0] * (FRAME_POINTER - 3))
        return (
            tuple(
                exactly(value) if live & BOTH[register] and value == registers[register] else kinds[register]
                for register, value in enumerate(expected)
            )
            + kinds[FRAME_POINTER:]
        )

    def find(self, entry: Entry) -> Function | None:
        """The function of an entry, if it was made."""
        return self._ready.get(entry)

    def make(self, entry: Entry) -> bool:
        """Compile a unit and what it calls, if that was not done; False when it cannot be entered."""
        with self._lock:
            if entry not in self._ready and entry.start in self.entries:
                compiled = compile_unit(self._functions, entry, self._shape, self._guesses.distrusted)
                registers = tuple(sorted({register for register, _ in compiled.parameters}))
                taken = tuple(register for register in registers if register != FRAME_POINTER)
                self.compiled[entry] = compiled
                asked = [Asked.of(request) for request in compiled.requests]
                self._ready[entry] = Function(partial(self._run, compiled, asked, taken), taken)
            return entry in self._ready

    def missed(self, pc: int) -> bool:
        """An access at `pc` was left to the exact tier; whether the guess about it was given up now."""
        with self._lock:
            stale = self._guesses.missed(pc)
            if stale:
                self._ready.clear()
                self.compiled.clear()
            return stale

    # Running

    def _run(
        self,
        compiled: Compiled,
        asked: Sequence[Asked],
        taken: Sequence[int],
        budget: int,
        m: Machine,
        pointer: int,
        *values: int,
    ) -> tuple[int, ...]:
        """Enter compiled code; raises Left when the exact tier has to go on."""
        processor = self._processor()
        loaded = processor.load(compiled)
        mailbox = processor.machine.mailbox
        for register, value in zip(taken, values, strict=True):
            mailbox[state_word(register, False)] = value & MASK32
            mailbox[state_word(register, True)] = value >> 32
        mailbox[state_word(FRAME_POINTER, False)] = pointer
        mailbox[BUDGET_WORD] = budget
        with processor.memory(m.run.memory):
            stop = processor.machine.run(
                loaded.entry,
                service=_Service(asked, mailbox, m, self._shape.frame_size),
                should_stop=partial(_killed, m.run.control),
                singles=compiled.singles,
            )
            if stop.reason is not Reason.RETURNED:
                left = _Taking(compiled, loaded, processor, stop, pointer, self._shape.frame_size).left(m)
        if stop.reason is not Reason.RETURNED:
            raise left
        low, high, rest = processor.machine.results
        others = [
            mailbox[state_word(register, False)] | mailbox[state_word(register, True)] << 32
            for register in self.returned
        ]
        return rest, low | high << 32, *others


def _killed(control: Control) -> bool:
    """Whether a run has to stop: for the watchdog's thread, so nothing that the run's own may wait for."""
    try:
        Control.check(control)
    except GuestFault:
        return True
    return False


_FRAME_POINTER_WORD: Final = state_word(FRAME_POINTER, False)


class _Service:
    """What SVCs ask for in one run."""

    __slots__ = ("_asked", "_bytes", "_frame_size", "_help", "_mailbox", "_stack")

    def __init__(self, asked: Sequence[Asked], mailbox: memoryview, m: Machine, frame_size: int) -> None:
        self._asked = asked
        self._mailbox = mailbox
        self._bytes = mailbox.cast("B")
        self._help = m.help
        self._stack = m.stack
        self._frame_size = frame_size

    def __call__(self, number: int) -> None:
        """Serve request `number`. Words that are known come from the request, code has stored the others."""
        if not 0 < number <= len(self._asked):
            raise JitError(f"request {number} of {len(self._asked)}")
        asked = self._asked[number - 1]
        numbers: Sequence[int] = _OPERANDS.unpack_from(self._bytes, _OPERANDS_AT)
        if asked.patched:
            numbers = [
                number & stored | known
                for number, stored, known in zip(numbers, asked.stored, asked.known, strict=True)
            ]
        if asked.helper is not None:
            # Code calls its local functions by itself: their frames are active for as long as a helper looks.
            base = self._stack.base
            self._stack.base = self._mailbox[_FRAME_POINTER_WORD] - self._frame_size
            try:
                result = self._help(asked.helper, *numbers) & MASK64
            finally:
                self._stack.base = base
        else:
            result = asked.operation(numbers[0], numbers[1], 64) & MASK64
        _RESULT.pack_into(self._bytes, _OPERANDS_AT, result)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in the form that serves it fast: 64-bit masks of what code stores, and the bits known."""

    helper: int | None
    operation: Operation
    stored: tuple[int, ...]
    known: tuple[int, ...]
    patched: bool

    @classmethod
    def of(cls, request: Request) -> Asked:
        """From what the compiler says."""
        stored, known = [MASK64] * 5, [0] * 5
        for word, value in request.known.items():
            index, shift = word // 2, 32 * (word % 2)
            stored[index] &= ~(MASK32 << shift)
            known[index] |= value << shift
        operation = OPERATIONS[request.operation or Sem.DIV]
        return cls(request.helper, operation, tuple(stored), tuple(known), bool(request.known))


class _Taking:
    """Takes over a machine that has stopped."""

    def __init__(
        self,
        compiled: Compiled,
        loaded: Loaded,
        processor: Processor,
        stop: Stop,
        pointer: int,
        frame_size: int,
    ) -> None:
        self._compiled = compiled
        self._base = loaded.base
        self._processor = processor
        self._stop = stop
        self._pointer = pointer
        self._frame_size = frame_size

    def left(self, m: Machine) -> Left:
        """The state to go on with."""
        stop, offset = self._stop, self._stop.pc - self._base
        if stop.reason is Reason.KILLED:
            return self._killed(m, offset)
        exit_ = self._compiled.exits.get(offset)
        if exit_ is None or stop.reason is Reason.MEMORY:
            where = f"{stop.reason.value} at {stop.pc:#x}, offset {offset:#x} of the code"
            raise JitError(f"{where}, {stop.access} {stop.address}")
        registers = [*self._registers(exit_), self._pointer]
        budget = stop.registers[BUDGET] + exit_.refund & MASK32
        left = Left(exit_.pc, registers, budget, Short() if exit_.short else Elsewhere())
        left.frames = [] if exit_.outermost else self._callers(stop.registers[13])
        registers[FRAME_POINTER] = self._pointer - len(left.frames) * self._frame_size
        for index, (_, saved) in enumerate(left.frames, 1):
            saved.append(registers[FRAME_POINTER] + index * self._frame_size)
        if stop.reason is Reason.FAULTED:
            left.fault = stop.fault
            left.budget -= 1
        return left

    def _killed(self, m: Machine, offset: int) -> Left:
        """A run that was stopped anywhere: nothing goes on, and of the registers nothing is known."""
        inside = 0 <= offset < len(self._compiled.code.text)
        pc = self._compiled.code.pc_at(offset) if inside else -1
        left = Left(max(pc, 0), [LOST] * (FRAME_POINTER + 1), self._stop.registers[BUDGET], Elsewhere())
        try:
            m.run.control.check()
        except GuestFault as fault:
            left.fault = fault
        return left

    def _registers(self, exit_: Exit) -> list[int]:
        halves = {
            half: where if isinstance(where, int) else self._held(where) for half, where in exit_.halves
        }
        return [_joined(halves, register) for register in range(FRAME_POINTER)]

    def _held(self, home: Home) -> int:
        if home.single:
            return self._stop.registers[_SINGLES_AT + home.number]
        return self._stop.registers[home.number]

    def _callers(self, stack: int) -> list[tuple[int, list[int]]]:
        """The frames of local functions that were in compiled code, the innermost first, without r10."""
        word = self._processor.machine.native_word
        frames = []
        outermost = False
        while not outermost:
            site = self._compiled.calls[(word(stack) & ~1) - self._base]
            stack += _WORD
            halves: dict[Half, int] = dict(site.constants)
            for half in site.saved:
                halves[half] = word(stack)
                stack += _WORD
            frames.append((site.pc, [_joined(halves, register) for register in range(6, FRAME_POINTER)]))
            outermost = site.outermost
        return frames


def _joined(halves: Mapping[Half, int], register: int) -> int:
    if (register, False) not in halves and (register, True) not in halves:
        return LOST
    return halves.get((register, False), 0) | halves.get((register, True), 0) << 32
