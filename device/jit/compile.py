"""A text to native code: the unit that is asked for, and every function that it calls.

The code is for one shape of memory: the length and right of every region, and the stack's frames. It is
entered through a thunk that keeps to the machine's calling convention (layout.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.jit.assembler import Assembler
from device.jit.code import Code
from device.jit.encoder import Access, R, access, load_constant, mov, pop, push
from device.jit.fixups import Label
from device.jit.layout import MAILBOX
from device.jit.lowering.calls import STATE, CallSite, Request
from device.jit.lowering.function import Exit, FunctionWriter, Program
from device.jit.lowering.homes import BUDGET, SCRATCH, Half
from device.jit.lowering.memory import Place, checker
from device.vm.analysis.entries import Entry, among, kinds_at_call
from device.vm.analysis.functions import Functions
from device.vm.analysis.intervals import State

BUDGET_WORD: Final = STATE + 22
"""The word of the budget where code is entered."""

VARIANTS: Final = 2
"""Versions of a callee by what is known at its calls; further calls share one that knows nothing."""

_SAVED: Final = (R.R3, R.R4, R.R5, R.R6, R.R7, R.R8, R.R9, R.R10, R.R11, R.LR)


@dataclass(frozen=True, slots=True)
class Shape:
    """What code is compiled for: the regions by window (None where there is none), and the stack's frames.

    Without `checked` memory is not tested and the budget not looked at: only the evaluation asks for that, to
    tell what tests cost.
    """

    places: tuple[Place | None, ...]
    frame_size: int
    frames: int
    data_base: int
    checked: bool = True


@dataclass(frozen=True, slots=True)
class Compiled:
    """Code with what it takes to enter it and to take over where it stops.

    `parameters` are the halves that it wants in the words of the state. `exits` are by offset, for traps and
    for requests that a fault ended; `calls` by the offset behind a local call; `requests` by their number.
    `singles` VFP registers are used.
    """

    code: Code
    parameters: Sequence[Half]
    exits: Mapping[int, Exit]
    calls: Mapping[int, CallSite]
    requests: Sequence[Request]
    singles: int


def compile_unit(
    functions: Functions, entry: Entry, shape: Shape, distrusted: Collection[int] = ()
) -> Compiled:
    """Native code for the unit that begins at `entry`. Raises EncodingError when it becomes too long."""
    return _Compilation(functions, shape, frozenset(distrusted)).compiled(entry)


class _Compilation:
    def __init__(self, functions: Functions, shape: Shape, distrusted: frozenset[int]) -> None:
        self._functions = functions
        self._shape = shape
        self._asm = Assembler()
        self._requests: list[Request] = []
        self._checkers: dict[tuple[int, bool], Label] = {}
        self._labels: dict[Entry, Label] = {}
        self._waiting: list[Entry] = []
        self._program = Program(
            shape.places,
            shape.frame_size,
            shape.frames,
            shape.data_base,
            distrusted,
            functions.needs.__getitem__,
            functions.returned,
            self._function,
            self._checker,
            self._request,
            shape.checked,
        )

    def compiled(self, entry: Entry) -> Compiled:
        asm = self._asm
        self._thunk(self._label(entry))
        written: list[FunctionWriter] = []
        while self._waiting:
            written.append(self._write(self._waiting.pop(0), len(written)))
        for (size, write), label in self._checkers.items():
            checker(asm, label, self._shape.places, size, write=write)
        code = asm.finish()
        exits: dict[int, Exit] = {}
        calls: dict[int, CallSite] = {}
        for function in written:
            exits |= {code.label(name): exit_ for name, exit_ in function.exits.items()}
            exits |= {code.label(name): exit_ for name, exit_ in function.requests.items()}
            calls |= {code.label(name): site for name, site in function.call_sites.items()}
        homes = [home for function in written for home in function.homes.values()]
        singles = max((home.number + 1 for home in homes if home.single), default=0)
        return Compiled(code, written[0].parameters, exits, calls, self._requests, singles)

    def _thunk(self, function: Label) -> None:
        """Called by the dispatcher: R4 to R11 are kept, R0 to R2 are r0's halves and the budget left."""
        asm = self._asm
        asm.emit(push(_SAVED), *load_constant(SCRATCH[0], MAILBOX))
        asm.emit(access(Access.LDR, BUDGET, SCRATCH[0], 4 * BUDGET_WORD))
        asm.call(function)
        asm.emit(mov(R.R0, SCRATCH[0]), mov(R.R1, SCRATCH[3]), mov(R.R2, BUDGET))
        asm.emit(pop([R.PC if register is R.LR else register for register in _SAVED]))

    def _write(self, entry: Entry, number: int) -> FunctionWriter:
        part = self._functions.part(entry.start)
        stack_size = self._shape.frame_size * self._shape.frames
        state = entry.state(self._shape.frame_size, stack_size)
        writer = FunctionWriter(self._asm, self._program, part, state, f"f{number}")
        self._asm.bind(self._labels[entry])
        writer.write()
        return writer

    # What functions ask for

    def _label(self, entry: Entry) -> Label:
        label = self._labels.get(entry)
        if label is None:
            label = self._labels[entry] = self._asm.label()
            self._waiting.append(entry)
        return label

    def _function(self, start: int, state: State) -> Label:
        entry = Entry(start, kinds_at_call(state, self._functions.needs[start]))
        return self._label(among(entry, self._labels, VARIANTS))

    def _checker(self, size: int, write: bool) -> Label:
        return self._checkers.setdefault((size, write), self._asm.label())

    def _request(self, request: Request) -> int:
        self._requests.append(request)
        return len(self._requests)
