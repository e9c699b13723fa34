"""A program's translation: its units as Python functions, made when asked for, and how they are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from threading import Lock
from types import CodeType
from typing import Any, Final

from device.vm.analysis.entries import Entry, among, kinds_at_call, kinds_of
from device.vm.analysis.functions import Functions
from device.vm.analysis.inlining import Bodies
from device.vm.analysis.lift import Decode
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.values import State
from device.vm.arithmetic import OPERATIONS
from device.vm.faults import GuestFault
from device.vm.interpreter.blocks import Callees
from device.vm.interpreter.guesses import Guesses
from device.vm.interpreter.lines import Kind, Site
from device.vm.interpreter.machine import LOST, Elsewhere, Left, Short
from device.vm.interpreter.units import Surroundings, translate
from device.vm.isa import FRAME_POINTER, Sem

VARIANTS: Final = 4
"""Entries at one slot with different knowledge; further ones share one that knows nothing."""

UNITS: Final = 256
"""Units of one program."""

_PROBLEMS: Final = (IndexError, OverflowError, StructError, GuestFault, Short, Elsewhere, Left)
_FORMATS: Final = {2: Struct("<H"), 4: Struct("<I"), 8: Struct("<Q")}


@dataclass(frozen=True, slots=True)
class Function:
    """A unit that can be called; `parameters` are the registers that it takes behind budget, machine, r10."""

    call: Callable[..., tuple[int, ...]]
    parameters: tuple[int, ...]


class Translation:
    """The units of a text that runs from `entry` with one stack shape.

    `entries` are the slots where one may begin (functions and headers of loops) with the halves live there.
    Any number of threads may call `find` and the functions; `make` is for one at a time.
    """

    def __init__(
        self, decode: Decode, slots: int, entry: int, data_base: int, frame_size: int, frames: int
    ) -> None:
        self._decode = decode
        self._slots = slots
        self._functions = Functions(decode, slots, entry)
        self.entries = self._functions.entries
        self.returned = self._functions.returned
        self._ready: dict[Entry, Function] = {}
        self._names: dict[Entry, str] = {}
        self._made = 0
        self._guesses = Guesses(decode, slots)
        self._space: dict[str, Any] = _space()
        callees = Callees(
            self._functions.needs.__getitem__, self.returned, self._functions.quiet, self._callee
        )
        bodies = Bodies(lambda start: self._functions.part(start).unit)
        self._around = Surroundings(
            frame_size, frames, data_base, callees, bodies.at, self._guesses.distrusted
        )
        self._waiting: list[Entry] = []
        self._lock = Lock()

    @property
    def distrusted(self) -> frozenset[int]:
        """The accesses whose guess was given up."""
        return frozenset(self._guesses.distrusted)

    @property
    def count(self) -> int:
        """How many functions there are."""
        return len(self._ready)

    # Finding and making units

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""
        return among(Entry(pc, kinds_of(registers, self.entries[pc])), self._names, VARIANTS)

    def find(self, entry: Entry) -> Function | None:
        """The function of an entry, if it was made."""
        return self._ready.get(entry)

    def make(self, entry: Entry) -> bool:
        """Translate a unit and what it calls, if it is not there; False when there are too many."""
        with self._lock:
            if entry not in self._ready and len(self._ready) < UNITS:
                self._name(entry)
                made: dict[Entry, Function] = {}
                while self._waiting:
                    callee = self._waiting.pop()
                    made[callee] = self._make(callee)
                self._ready.update(made)  # all at once: they call each other, and `find` waits for nobody
            return entry in self._ready

    def missed(self, pc: int) -> bool:
        """An access at `pc` was left to the exact tier; whether the guess about it was given up now."""
        with self._lock:
            stale = self._guesses.missed(pc)
            if stale:
                self._ready.clear()
                self._names.clear()
                self._space = _space()  # functions that still run keep theirs
            return stale

    def _name(self, entry: Entry) -> str:
        """The global name of an entry's function; it is made soon if it is not there."""
        name = self._names.get(entry)
        if name is None:
            self._made += 1
            name = self._names[entry] = f"u{entry.start}_{self._made}"
            self._waiting.append(entry)
        return name

    def _callee(self, start: int, state: State) -> str:
        entry = Entry(start, kinds_at_call(state, self._functions.needs[start]))
        return self._name(among(entry, self._names, VARIANTS))

    def _make(self, entry: Entry) -> Function:
        name = self._names[entry]
        part = self._functions.part(entry.start)
        made = translate(name, entry, part, self._around)
        code: CodeType = compile(made.text, "<translated program>", "exec", dont_inherit=True)
        self._space[f"sites_{name}"] = made.sites
        exec(code, self._space)  # noqa: S102 - only integers and the identifiers of this package
        return Function(self._space[name], made.parameters)


def leave(error: BaseException, sites: Mapping[int, Site], names: dict[str, Any]) -> Left:
    """How a function's variables are the machine's registers at the line that raised `error`."""
    trace = error.__traceback__
    site = sites[trace.tb_lineno if trace else 0]
    registers = [
        names.get(f"r{register}", LOST) if site.live & BOTH[register] else LOST
        for register in range(FRAME_POINTER)
    ]
    for register, text in site.texts:
        registers[register] = eval(text, _NAMES, names)  # noqa: S307 - as above
    registers.append(names["r10"])
    if isinstance(error, OverflowError):
        error = Elsewhere()  # an index beyond any region
    if isinstance(error, Left):
        error.frames.append((site.pc, registers[6:]))
        return error
    left = Left(site.pc, registers, names["n"] + site.refund, error)
    if site.kind is Kind.HELPER and isinstance(error, GuestFault):
        left.fault = error
        left.budget -= 1
    return left


_NAMES: Final[dict[str, Any]] = {
    "leave": leave,
    "PROBLEMS": _PROBLEMS,
    "Elsewhere": Elsewhere,
    "sdiv": OPERATIONS[Sem.SDIV],
    "smod": OPERATIONS[Sem.SMOD],
    "swap": OPERATIONS[Sem.BSWAP64],
    **{f"load{size}": one.unpack_from for size, one in _FORMATS.items()},
    **{f"store{size}": one.pack_into for size, one in _FORMATS.items()},
}


def _space() -> dict[str, Any]:
    """What the functions of one program see as globals."""
    return {**_NAMES, "__builtins__": {"locals": locals, "range": range}}
