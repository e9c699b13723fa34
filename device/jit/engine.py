"""`jit`: programs as native code of a Cortex-M4, run by Unicorn (engines.md)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import local
from time import perf_counter
from typing import Final, NamedTuple
from weakref import finalize

from device.jit.compile import Compiled, Shape
from device.jit.errors import JitError, MachineError
from device.jit.lowering.memory import Place
from device.jit.machines import Claim, Machines
from device.jit.processor import Processor
from device.jit.session import Session
from device.jit.stop import RETURNED, Stop
from device.jit.translation import NativeTranslation
from device.jit.unit import Unit, packed
from device.jit.watchdog import Watchdog
from device.vm.faults import GuestFault
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.discarded import (
    DiscardedProgram,
    Remains,
    WholePrepared,
    bytecode_discarded,
)
from device.vm.interpreter.engine import InterpreterEngine
from device.vm.interpreter.entrance import LARGEST_BUDGET, Entrance
from device.vm.interpreter.execution import Execution, at_entry
from device.vm.interpreter.machine import Machine, places_of
from device.vm.interpreter.prepared import Enterable, Prepared
from device.vm.memory import STACK_TOP, WINDOWS, GuestMemory, window_of
from device.vm.program import PLAIN, Outcome, Program, Run

SHARE: Final = 1 << 24
"""Instructions that compiled code is handed at once, some 50 ms: then a job looks whether others wait."""

CACHED_CODE: Final = 1 << 20
"""Bytes of code that an engine keeps. Beyond it the programs that were not run for longest are forgotten."""

CACHED_PROGRAMS: Final = 4096
"""Programs of which it keeps code, once for each shape of memory: there is more to code than its bytes."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes of compiled code that there are of a program, for all shapes of its memory, in so many units."""

    size: int = 0
    units: int = 0


class Key(NamedTuple):
    """Under what code is kept: what any translation of a program depends on, and GuestMemory.shape."""

    program: Hashable
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NativeEntrance(Entrance):
    """An entrance to compiled code, with the registers there as a unit takes them."""

    native: Unit
    state: bytes


class JitEngine(InterpreterEngine):
    """Compiled code where it can go on, the exact tier of the interpreter where it cannot.

    A program is compiled when it first runs, for the shape of that run's memory. A run has a machine for
    itself from its beginning to its end, asleep or not; `machines` are there at a time, None for any number.
    What is compiled is kept under all that it depends on, so a slot's next program never meets it.
    """

    name: str = "jit"
    share: int = SHARE

    def __init__(
        self, processor: Callable[[Watchdog], Processor] = Processor, *, machines: int | None = None
    ) -> None:
        super().__init__(hot_after=0, background=False)
        self.machines = Machines(processor, machines)
        self._thread = local()
        self._compiler: ThreadPoolExecutor | None = None
        self._compiling: dict[Hashable, bytes] = {}
        self._closed = False
        self._sizes: dict[Prepared, int] = {}
        self._code = 0
        finalize(self, self.machines.close).atexit = False

    def begin(self, program: Program, run: Run) -> Outcome:
        """See InterpreterEngine. Outside of a session it waits for a machine; one that is stopped faults."""
        if self._session is not None:
            return self._begin(program, run)
        try:
            claim = self.machines.wait(run.control.check)
        except GuestFault as stopped:
            return Outcome(None, program.locate(stopped.record(program.entry)), 0)
        try:
            with self.session(claim):
                return self._begin(program, run)
        finally:
            claim.release()

    def _begin(self, program: Program, run: Run) -> Outcome:
        if not isinstance(program, DiscardedProgram):
            return super().begin(program, run)
        if run.rules != PLAIN:
            bytecode_discarded()
        machine = Machine(run)
        known = run.budget <= LARGEST_BUDGET and machine.canonical
        prepared = program.remains.prepared(run.memory.shape) if known else program.remains.alone
        return Execution(self, prepared, program, machine).outcome()

    def enter(self, entrance: Entrance, run: Run) -> Outcome:
        """See InterpreterEngine: here without what only the exact tier needs."""
        if not isinstance(entrance, NativeEntrance):
            raise JitError(f"{entrance} does not lead to compiled code")
        session: Session | None = getattr(self._thread, "session", None)
        processor = self.machines.lend() if session is None else session.processor()
        if processor is None:
            return self.begin(entrance.program, run)
        try:
            share = self.share
            if run.budget < share:
                share = run.budget
            stop = entrance.native.begin(processor, run, entrance.state, share)
            if stop is RETURNED:
                r0, rest = processor.machine.returned
                return Outcome(r0, None, share - rest)
            return self._left(processor, entrance, run, share, stop)
        finally:
            if session is None:
                self.machines.give_back(processor)

    def _left(
        self, processor: Processor, entrance: NativeEntrance, run: Run, share: int, stop: Stop
    ) -> Outcome:
        """The unit has stopped somewhere: both tiers go on."""
        left = entrance.native.left(processor, stop, run, STACK_TOP)
        machine = Machine(run, entrance.places)
        machine.rest = run.budget - share
        if self._session is not None:
            return self.resumed(entrance, machine, left)
        with Session(self._thread, lambda: processor):
            return self.resumed(entrance, machine, left)

    def entrance(
        self, program: Program, run: Run, prepared: Prepared, version: int, unit: Enterable
    ) -> Entrance:
        """See InterpreterEngine."""
        if not isinstance(unit, Unit):
            raise JitError(f"{unit} is not compiled code")
        registers = tuple(at_entry(run))
        places = places_of(run.memory)
        return NativeEntrance(
            program, prepared, version, unit, registers, (), places, unit, packed(registers)
        )

    def session(self, claim: Claim) -> Session:
        """Have the calling thread use the machine of a claim."""
        return Session(self._thread, claim.processor)

    def close(self) -> None:
        """Free the machines. Nothing may be run any more."""
        with self._lock:
            self._closed = True
        if self._compiler is not None:
            self._compiler.shutdown(cancel_futures=True)
        self.machines.close()

    def ensure(self, program: Program, run: Run) -> None:
        """Have the code be there that such a run enters. Raises EncodingError.

        Without bytecode there is what there is: other runs begin in the exact tier.
        """
        if isinstance(program, DiscardedProgram) or self._entrances.find(program, run) is not None:
            return
        prepared, registers = self.prepared(program, run), at_entry(run)
        if not self._is_ready(prepared, program, registers):
            self.translate(prepared, program.entry, registers)

    def ensure_soon(self, program: Program, run: Run, done: Callable[[int, int], None]) -> None:
        """The same on a thread of its own; `done` hears how many were compiled, and the microseconds.

        Whatever goes wrong there is met again by whoever insists on compiled code.
        """
        key = self.key(program, run)
        with self._lock:
            if key in self._compiling or self._closed:
                return
            self._compiling[key] = program.text
            if self._compiler is None:
                self._compiler = ThreadPoolExecutor(1, thread_name_prefix="jit-compiler")
            self._compiler.submit(self._compile_now, key, program, run, done)

    def _compile_now(
        self, key: Hashable, program: Program, run: Run, done: Callable[[int, int], None]
    ) -> None:
        begin = perf_counter()
        with suppress(JitError):
            self.ensure(program, run)
            with self._lock:
                if self._compiling.pop(key, None) is None:  # one that failed is not tried again
                    if key in self._programs:  # it was dropped meanwhile
                        self.drop(key)
                    return
            done(1, int((perf_counter() - begin) * 1_000_000))

    def is_ready(self, program: Program, run: Run) -> bool:
        """Whether it is."""
        if isinstance(program, DiscardedProgram) or self._entrances.find(program, run) is not None:
            return True
        with self._lock:
            prepared = self._programs.get(self.key(program, run))
        return prepared is not None and self._is_ready(prepared, program, at_entry(run))

    def _is_ready(self, prepared: Prepared, program: Program, registers: list[int]) -> bool:
        made = prepared.translation
        return made is not None and made.find(made.entry_at(program.entry, registers)) is not None

    def figures(self, program: Program) -> Figures:
        """What there is of a program."""
        if isinstance(program, DiscardedProgram):
            return Figures(program.remains.size, len(program.remains.compiled))
        with self._lock:
            kept = [one.translation for one in self._programs.values() if one.closures.text == program.text]
        made = [one for one in kept if isinstance(one, NativeTranslation)]
        return Figures(sum(one.size for one in made), sum(len(one.compiled) for one in made))

    def discard(self, program: Program) -> None:
        """Drop all code of a program; what runs keeps its own until it ends."""
        if isinstance(program, DiscardedProgram):
            for prepared in program.remains.all:
                prepared.drop()
                self._entrances.forget(prepared)
            return
        with self._lock:
            for key in [key for key, text in self._compiling.items() if text == program.text]:
                del self._compiling[key]
        self.forget(program)

    def without_bytecode(self, program: Program, run: Run) -> DiscardedProgram:
        """The program with code for such runs and all shapes of memory that there is code for, and no text.

        What it has is its own: it is not shared with who has the same text, and not evicted. Raises
        EncodingError.
        """
        prepared, registers = self.prepared(program, run), at_entry(run)
        prepared.translate(program.entry, registers)
        kept = {run.memory.shape: prepared}
        wanted = super().key(program, run)
        with self._lock:
            for key, one in self._programs.items():
                if isinstance(key, Key) and key.program == wanted:
                    kept.setdefault(key.shape, one)
        made = {
            shape: (one.translation.finished(), one.translation.size)
            for shape, one in kept.items()
            if isinstance(one.translation, NativeTranslation)
        }
        exact = Closures(program.text, program.relative_data_base).whole()
        return DiscardedProgram.of(program, Remains.of(exact, made))

    def translate(self, prepared: Prepared, pc: int, registers: list[int]) -> None:
        """See InterpreterEngine."""
        if isinstance(prepared, WholePrepared):
            return
        start = perf_counter()
        super().translate(prepared, pc, registers)
        session = self._session
        if session is not None:
            session.compiles += 1
            session.compile_us += int((perf_counter() - start) * 1_000_000)
        self._make_room(prepared)

    def _make_room(self, prepared: Prepared) -> None:
        """Forget programs while there are too many, the last one excepted; `prepared` has new code."""
        with self._lock:
            if prepared.dropped or not isinstance(prepared.translation, NativeTranslation):
                return
            size = prepared.translation.size
            self._code += size - self._sizes.get(prepared, 0)
            self._sizes[prepared] = size
            while len(self._programs) > 1 and (
                self._code > CACHED_CODE or len(self._programs) > CACHED_PROGRAMS
            ):
                self.drop_oldest()

    def drop(self, key: Hashable) -> None:
        """See InterpreterEngine."""
        self._code -= self._sizes.pop(self._programs[key], 0)
        super().drop(key)

    @property
    def _session(self) -> Session | None:
        session: Session | None = getattr(self._thread, "session", None)
        return session

    def key(self, program: Program, run: Run) -> Hashable:
        """What a translation depends on."""
        return Key(super().key(program, run), run.memory.shape)

    def translator(self, closures: Closures, program: Program, run: Run) -> Callable[[], NativeTranslation]:
        """What compiles the program."""
        shape = self.shape(program, run)
        return lambda: NativeTranslation(closures.step, closures.slots, program.entry, shape, self._processor)

    def compile(self, program: Program, run: Run) -> Sequence[Compiled]:
        """What the whole program becomes in such runs, made anew and not kept. Raises EncodingError."""
        closures = Closures(program.text, program.relative_data_base)
        translation = self.translator(closures, program, run)()
        translation.make(translation.entry_at(program.entry, at_entry(run)))
        return list(translation.compiled)

    def shape(self, program: Program, run: Run) -> Shape:
        """What code is compiled for in such runs."""
        stack = run.memory.stack
        return Shape(_places(run.memory), stack.frame_size, stack.frames, program.relative_data_base)

    def _processor(self) -> Processor:
        session = self._session
        if session is None:
            raise MachineError("compiled code is run outside of a session")
        return session.processor()


def _places(memory: GuestMemory) -> tuple[Place | None, ...]:
    """The regions by window, of the stack all frames."""
    places: list[Place | None] = [None] * len(WINDOWS)
    for region in memory.regions:
        places[window_of(region.origin)] = Place(region.origin, region.end, region.writable)
    return tuple(places)
