"""The engine: both tiers of the interpreter, and what is kept of programs between their runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Final

from device.vm.decode import check_text
from device.vm.faults import GuestFault
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.entrance import LARGEST_BUDGET, Entrance, Entrances
from device.vm.interpreter.execution import Execution, at_entry
from device.vm.interpreter.machine import SHARE, Left, Machine, places_of
from device.vm.interpreter.prepared import Enterable, Prepared, Translating
from device.vm.interpreter.translation import Translation
from device.vm.memory import STACK_TOP
from device.vm.program import PLAIN, Outcome, Program, Run
from device.vm.switch import SwitchEngine

HOT_AFTER: Final = 8_000
"""Instructions of a program, over all its runs, after which translating it pays (engines.md)."""

CACHED_SLOTS: Final = 65_536
"""Slots of programs that an engine keeps prepared."""


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
        self._entrances = Entrances()
        self._held = 0
        self._lock = Lock()
        self._translator: ThreadPoolExecutor | None = None

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""
        entrance = self._entrances.find(program, run)
        if entrance is None:
            return self.begin(program, run)
        try:
            run.control.check()
            return self.enter(entrance, run)
        except GuestFault as fault:
            return Outcome(None, program.locate(fault.record(program.entry, entrance.registers)), 0)

    def begin(self, program: Program, run: Run) -> Outcome:
        """A run of which nothing is known."""
        machine = Machine(run)
        if run.budget > LARGEST_BUDGET or run.rules != PLAIN or not machine.canonical:
            return self._plain.run(program, run)
        try:
            check_text(program.text, program.entry)
        except GuestFault as fault:
            return Outcome(None, program.locate(fault.record(0)), 0)
        return Execution(self, self.prepared(program, run), program, machine).outcome()

    def enter(self, entrance: Entrance, run: Run) -> Outcome:
        """A run like one before."""
        machine = Machine(run, entrance.places)
        share = min(run.budget, self.share)
        machine.rest = run.budget - share
        machine.stack.reset()
        try:
            rest, r0, *_ = entrance.unit.call(share, machine, STACK_TOP, *entrance.arguments)
        except Left as left:
            return self.resumed(entrance, machine, left)
        return Outcome(r0, None, run.budget - rest - machine.rest)

    def resumed(self, entrance: Entrance, machine: Machine, left: Left) -> Outcome:
        """Go on in both tiers where the unit of an entrance was left."""
        return Execution(self, entrance.prepared, entrance.program, machine).resumed(left)

    def entered(self, program: Program, run: Run, prepared: Prepared, version: int, unit: Enterable) -> None:
        """See Translator: runs like this one will begin there."""
        self._entrances.add(run, self.entrance(program, run, prepared, version, unit))

    def entrance(
        self, program: Program, run: Run, prepared: Prepared, version: int, unit: Enterable
    ) -> Entrance:
        """The entrance of such runs."""
        registers = tuple(at_entry(run))
        arguments = tuple(registers[register] for register in unit.parameters)
        return Entrance(program, prepared, version, unit, registers, arguments, places_of(run.memory))

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
                self.drop_oldest()
        return prepared

    def drop_oldest(self) -> None:
        """Drop of at least two programs one that was not run for long, and not the last one.

        Those that ran by an entrance since they were looked at are passed over. The lock is the caller's.
        """
        last = next(reversed(self._programs))
        while (key := next(iter(self._programs))) == last or self._programs[key].used:
            self._programs[key].used = False
            self._programs.move_to_end(key)
        self.drop(key)

    def drop(self, key: Hashable) -> None:
        """Keep no longer what is kept under a key. The lock is the caller's."""
        dropped = self._programs.pop(key)
        dropped.drop()
        self._entrances.forget(dropped)
        self._held -= dropped.closures.slots

    def forget(self, program: Program) -> None:
        """Keep nothing of a text any longer; what runs keeps its own until it ends."""
        with self._lock:
            for key in [key for key, one in self._programs.items() if one.closures.text == program.text]:
                self.drop(key)

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
