"""A program's native code, as the tiers of the interpreter want it: units that are entered and left.

Compiled code stops where it cannot go on: at an exit, at a request that ended in a fault, or because the run
was killed (unit, takeover).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from device.jit.compile import Compiled, Shape, compile_unit
from device.jit.processor import Processor
from device.jit.unit import Unit
from device.vm.analysis.entries import Entry, Kinds, among, exactly, kinds_of
from device.vm.analysis.functions import Functions
from device.vm.analysis.lift import Decode
from device.vm.analysis.liveness import BOTH
from device.vm.interpreter.guesses import Guesses
from device.vm.isa import FRAME_POINTER
from device.vm.memory import CONTEXT_BASE, CONTEXT_PLACE

VARIANTS: Final = 4
"""Entries at one slot with different knowledge; further ones share one that knows nothing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of registers at `entries`; a run begins at `start`, with `arguments` in r1 and r2."""

    entries: Mapping[int, int]
    start: int
    arguments: tuple[int, int]

    def kinds(self, pc: int, registers: Sequence[int]) -> Kinds:
        """Of these registers. At a run's beginning they say what the shape of memory says."""
        live = self.entries[pc]
        kinds = kinds_of(registers, live)
        if pc != self.start:
            return kinds
        expected = (0, *self.arguments, *[0] * (FRAME_POINTER - 3))
        return (
            tuple(
                exactly(value) if live & BOTH[register] and value == registers[register] else kinds[register]
                for register, value in enumerate(expected)
            )
            + kinds[FRAME_POINTER:]
        )


class NativeTranslation:
    """The compiled units of a text for one shape of memory. May be used by several threads.

    `processor` gives the calling thread's machine.
    """

    def __init__(
        self, decode: Decode, slots: int, entry: int, shape: Shape, processor: Callable[[], Processor]
    ) -> None:
        self._shape = shape
        self._processor = processor
        self._functions = Functions(decode, slots, entry)
        self.entries: Mapping[int, int] = self._functions.entries
        context = shape.places[CONTEXT_PLACE]
        length = 0 if context is None else context.end - context.start
        self.known = Known(self.entries, entry, (CONTEXT_BASE, length) if context is not None else (0, 0))
        self.returned = self._functions.returned
        self._units: dict[Entry, Unit] = {}
        self._guesses = Guesses(decode, slots)
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes of code that there are."""
        return sum(len(compiled.code.text) for compiled in self.compiled)

    @property
    def compiled(self) -> Sequence[Compiled]:
        """The code that there is."""
        return [unit.compiled for unit in list(self._units.values())]

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""
        return among(Entry(pc, self.known.kinds(pc, registers)), self._units, VARIANTS)

    def finished(self) -> FinishedTranslation:
        """The units that there are, without what others are made from."""
        with self._lock:
            return FinishedTranslation(self, dict(self._units))

    def find(self, entry: Entry) -> Unit | None:
        """The unit of an entry, if it was made."""
        return self._units.get(entry)

    def make(self, entry: Entry) -> bool:
        """Compile a unit and what it calls, if that was not done; False when it cannot be entered."""
        with self._lock:
            if entry not in self._units and entry.start in self.entries:
                compiled = compile_unit(self._functions, entry, self._shape, self._guesses.distrusted)
                self._units[entry] = Unit(compiled, self.returned, self._shape.frame_size, self._processor)
            return entry in self._units

    def missed(self, pc: int) -> bool:
        """An access at `pc` was left to the exact tier; whether the guess about it was given up now."""
        with self._lock:
            stale = self._guesses.missed(pc)
            if stale:
                self._units.clear()
            return stale


class FinishedTranslation:
    """The units of a translation that makes no others: an entry that has none is left to the exact tier."""

    def __init__(self, made: NativeTranslation, units: Mapping[Entry, Unit]) -> None:
        self.entries = made.entries
        self.returned = made.returned
        self._known = made.known
        self._units = units

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""
        return among(Entry(pc, self._known.kinds(pc, registers)), self._units, 0)

    def find(self, entry: Entry) -> Unit | None:
        """The unit of an entry, if it was made."""
        return self._units.get(entry)

    def make(self, entry: Entry) -> bool:
        """Whether there is one."""
        return entry in self._units

    def missed(self, _pc: int) -> bool:
        """Guesses are not given up: there would be no code without them."""
        return False
