"""The engine: both tiers of the interpreter, and when a run goes from one to the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from struct import error as StructError  # noqa: N812 - it is a class
from threading import Lock
from typing import Final, Protocol

from device.vm.analysis.entries import Entry
from device.vm.decode import MASK64, check_text
from device.vm.faults import Fault, FaultCode, GuestFault
from device.vm.interpreter.closures import Closure, Closures
from device.vm.interpreter.machine import (
    LOST,
    SHARE,
    Elsewhere,
    Finished,
    Left,
    Machine,
    Renewed,
    Short,
    fresh_registers,
    shown,
)
from device.vm.interpreter.translation import Function, Translation
from device.vm.isa import FRAME_POINTER
from device.vm.memory import STACK_TOP
from device.vm.program import PLAIN, Outcome, Program, Run
from device.vm.switch import SwitchEngine

HOT_AFTER: Final = 8_000
"""Instructions of a program, over all its runs, after which translating it pays (engines.md)."""

CHUNK: Final = 4_096
"""Instructions of the exact tier between two looks at the run's control, about 1 ms."""

CACHED_SLOTS: Final = 65_536
"""Slots of programs that an engine keeps prepared."""

LARGEST_BUDGET: Final = 2**32 - 1
"""What the analysis of counters allows for."""


class InterpreterEngine:
    """Closures first, generated Python once a program is hot. An instance may serve any number of threads.

    Translation begins after `hot_after` instructions and happens on a thread of the engine's own, or with
    `background` False in the run that is hot.
    """

    name: str = "interpreter"
    share: int = SHARE
    """Instructions that translated code is handed at once."""

    def __init__(self, *, hot_after: int | None = HOT_AFTER, background: bool = True) -> None:
        self.hot_after = hot_after
        self._background = background
        self._plain = SwitchEngine()
        self._programs: OrderedDict[Hashable, Prepared] = OrderedDict()
        self._held = 0
        self._lock = Lock()
        self._translator: ThreadPoolExecutor | None = None

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""
        machine = Machine(run)
        if run.budget > LARGEST_BUDGET or run.rules != PLAIN or not machine.canonical:
            return self._plain.run(program, run)
        try:
            check_text(program.text, program.entry)
        except GuestFault as fault:
            return Outcome(None, program.locate(fault.record(0)), 0)
        return _Execution(self, self.prepared(program, run), program, machine).outcome()

    def prepared(self, program: Program, run: Run) -> Prepared:
        """What the engine keeps of a program."""
        key = self.key(program, run)
        with self._lock:
            prepared = self._programs.pop(key, None)
            if prepared is None:
                closures = Closures(program.text, program.relative_data_base)
                prepared = Prepared(closures, self.translator(closures, program, run))
                self._held += prepared.closures.slots
            self._programs[key] = prepared
            while self._held > CACHED_SLOTS and len(self._programs) > 1:
                self.drop(next(iter(self._programs)))
        return prepared

    def drop(self, key: Hashable) -> None:
        """Keep no longer what is kept under a key. The lock is the caller's."""
        dropped = self._programs.pop(key)
        dropped.dropped = True
        self._held -= dropped.closures.slots

    def key(self, program: Program, run: Run) -> Hashable:
        """What a translation depends on."""
        stack = run.memory.stack
        return program.text, program.entry, program.relative_data_base, stack.frame_size, stack.frames

    def translator(self, closures: Closures, program: Program, run: Run) -> Callable[[], Translating]:
        """What makes the translation once it is needed; depends on nothing that is not in the key."""
        stack = run.memory.stack
        shape = (program.entry, program.relative_data_base, stack.frame_size, stack.frames)
        return lambda: Translation(closures.step, closures.slots, *shape)

    def translate(self, prepared: Prepared, pc: int, registers: list[int]) -> None:
        """Have the unit made that is entered at `pc` with such registers; it is asked for once."""
        if not prepared.ask(pc):
            return
        work = partial(prepared.translate, pc, list(registers))
        if not self._background:
            work()
            return
        with self._lock:
            if self._translator is None:
                self._translator = ThreadPoolExecutor(1, thread_name_prefix="translator")
        self._translator.submit(work).add_done_callback(Future.result)


class Translating(Protocol):
    """A program's translation, whatever it is translated to.

    `entries` are the slots where it may be entered, with the halves live there; `returned` the registers
    that a function hands back beside r0.
    """

    @property
    def entries(self) -> Mapping[int, int]: ...  # noqa: D102

    @property
    def returned(self) -> tuple[int, ...]: ...  # noqa: D102

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""

    def find(self, entry: Entry) -> Function | None:
        """The function of an entry, if it was made."""

    def make(self, entry: Entry) -> bool:
        """Translate a unit and what it calls, if it is not there; False when that cannot be."""

    def missed(self, pc: int) -> bool:
        """An access at `pc` was left to the exact tier; whether the guess about it was given up now."""


class Prepared:
    """A program in both tiers. `heat` counts the instructions that the exact tier has executed; `dropped`
    says that its engine keeps it no longer.
    """

    def __init__(self, closures: Closures, translator: Callable[[], Translating]) -> None:
        self.closures = closures
        self.heat = 0
        self.dropped = False
        self.translation: Translating | None = None
        self.originals: dict[int, Closure] = {}
        self._translator = translator
        self._asked: set[int] = set()
        self._lock = Lock()

    def ask(self, pc: int) -> bool:
        """Whether this is the first wish for something at `pc` since the last was fulfilled."""
        with self._lock:
            if pc in self._asked:
                return False
            self._asked.add(pc)
            return True

    def translate(self, pc: int, registers: list[int]) -> None:
        """Make the unit that is entered at `pc` with these registers, if one can be."""
        translation = self.translation
        if translation is None:
            translation = self.translation = self._translator()
            self._set_traps(translation)
        if pc in translation.entries and not translation.make(translation.entry_at(pc, registers)):
            self.closures.code[pc] = self.originals[pc]
        with self._lock:
            self._asked.discard(pc)

    def _set_traps(self, translation: Translating) -> None:
        for pc in translation.entries:
            self.originals[pc] = self.closures.build(pc)
        for pc, original in self.originals.items():
            self.closures.code[pc] = partial(_trap, original)


class _Enter(Exception):
    """The exact tier has come to a slot where translated code may begin."""


def _trap(original: Closure, r: list[int], m: Machine) -> int:
    """Stands at the entries of a translated program."""
    if m.settled:
        return original(r, m)
    raise _Enter


class _Execution:
    """One run. `executed` are the instructions up to `pc`, `limit` is where the budget ends."""

    def __init__(
        self, engine: InterpreterEngine, prepared: Prepared, program: Program, machine: Machine
    ) -> None:
        self._engine = engine
        self._prepared = prepared
        self._program = program
        self._run = machine.run
        self._code = prepared.closures.code
        self._slots = prepared.closures.slots
        self._machine = machine
        self._registers = fresh_registers()
        self._pc = program.entry
        self._executed = 0
        self._limit = machine.run.budget

    def outcome(self) -> Outcome:
        """Execute from the entry to exit or fault."""
        registers, stack, run = self._registers, self._machine.stack, self._run
        registers[1], registers[2], registers[FRAME_POINTER] = run.r1 & MASK64, run.r2 & MASK64, STACK_TOP
        stack.reset()
        try:
            if self._pc in self._prepared.originals and run.budget > 0:
                run.control.check()
                self._enter()
            while True:
                self._go_on()
        except Finished:
            return Outcome(registers[0], None, self._executed)
        except GuestFault as fault:
            return Outcome(None, self._located(fault), self._executed)

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
        except _Enter:
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
        except _Enter:
            raise
        except BaseException:
            executed += pc < self._slots  # there is no instruction to count past the end
            raise
        finally:
            self._pc, self._executed = pc, executed

    def _enter(self) -> None:
        """Go on in translated code, or past its entry when there is none yet."""
        prepared, registers, pc = self._prepared, self._registers, self._pc
        translation = prepared.translation
        function = translation.find(translation.entry_at(pc, registers)) if translation else None
        if translation is None or function is None:
            self._engine.translate(prepared, pc, registers)
            self._step_past()
            return
        limit, machine, before = self._limit, self._machine, self._executed
        share = min(self._engine.share, limit - before)
        machine.rest = limit - self._executed - share
        arguments = [registers[register] for register in function.parameters]
        try:
            budget, registers[0], *others = function.call(
                share, machine, registers[FRAME_POINTER], *arguments
            )
        except Left as left:
            self._executed = limit - left.budget - machine.rest
            self._take_over(left, translation, before)
            return
        self._executed = limit - budget - machine.rest
        registers[1:6] = [LOST] * 5
        for register, value in zip(translation.returned, others, strict=True):
            registers[register] = value
        if not machine.frames:
            raise Finished
        self._pc, registers[6:] = machine.frames.pop()
        machine.stack.activate(len(machine.frames) + 1)

    def _take_over(self, left: Left, translation: Translating, before: int) -> None:
        """Make the machine what it was in translated code, and execute what that could not.

        It had been entered after `before` instructions; a share that is used up may be followed by another.
        """
        machine = self._machine
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
            translation.missed(left.pc)
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
