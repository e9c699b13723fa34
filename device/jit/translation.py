"""A program's native code, as the tiers of the interpreter want it: units that are entered and left.

Compiled code stops where it cannot go on: at an exit, at a request that ended in a fault, or because the run
was killed (unit, takeover).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        return among(Entry(pc, self._kinds(pc, registers)), self._units, VARIANTS)

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
