"""A text to native code: the unit that is asked for, and every function that it calls.

The code is for one shape of memory: the length and right of every region, and the stack's frames. The unit
itself keeps to the machine's calling convention (layout.py), what it calls to one of its own (calls.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.jit.assembler import Assembler
from device.jit.code import Code
from device.jit.fixups import Label
from device.jit.lowering.calls import Callee, CallSite, Request
from device.jit.lowering.exits import Exit
from device.jit.lowering.function import END, FunctionWriter
from device.jit.lowering.looked import FRAME, Half, halves_of, known
from device.jit.lowering.memory import Place, checker
from device.jit.lowering.operands import Scratch
from device.jit.lowering.program import Program
from device.jit.lowering.rounds import Rounds
from device.jit.lowering.webs import Crowded
from device.vm.analysis.entries import Entry, exactly, kinds_at_call, nothing_known
from device.vm.analysis.functions import Functions
from device.vm.analysis.inlining import Bodies
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import SPARE
from device.vm.analysis.values import State
from device.vm.decode import CALL_LOCAL
from device.vm.isa import FRAME_POINTER

VARIANTS: Final = 2
"""Versions of a callee by what is known at its calls; further calls share one that knows nothing."""


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
    `singles` VFP registers are used. `loops` are charged for several rounds at once, by (first offset, end).
    """

    code: Code
    parameters: Sequence[Half]
    exits: Mapping[int, Exit]
    calls: Mapping[int, CallSite]
    requests: Sequence[Request]
    singles: int
    loops: Mapping[tuple[int, int], Rounds]


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
        self._checkers: dict[tuple[int, bool, Scratch], Label] = {}
        self._callees: dict[Entry, Callee] = {}
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
            Bodies(lambda start: functions.part(start).unit, SPARE, shape.frames - 1, divides=False),
            any(_calls(functions.part(start).unit) for start in functions.needs),
            shape.checked,
        )

    def compiled(self, entry: Entry) -> Compiled:
        asm = self._asm
        written = [self._write(entry, 0, None)]
        while self._waiting:
            callee = self._waiting.pop(0)
            written.append(self._write(callee, len(written), self._callees[callee]))
        for (size, write, scratch), label in self._checkers.items():
            checker(asm, label, self._shape.places, size, scratch, write=write)
        code = asm.finish()
        exits: dict[int, Exit] = {}
        calls: dict[int, CallSite] = {}
        loops: dict[tuple[int, int], Rounds] = {}
        for function in written:
            exits |= {code.label(name): exit_ for name, exit_ in function.exits.items()}
            exits |= {code.label(name): exit_ for name, exit_ in function.requests.items()}
            calls |= {code.label(name): site for name, site in function.call_sites.items()}
            for name, rounds in function.loops.items():
                loops[code.label(name), code.label(name + END)] = rounds
        singles = max(function.singles for function in written)
        return Compiled(code, written[0].parameters, exits, calls, self._requests, singles, loops)

    def _write(self, entry: Entry, number: int, callee: Callee | None) -> FunctionWriter:
        """The function of an entry; of the unit itself where nobody calls it but the dispatcher."""
        part = self._functions.part(entry.start)
        passed = callee.passed if callee is not None else None
        given = self._asm, self._program, part, self._state(entry), f"f{number}", passed
        try:
            writer = FunctionWriter(*given)
        except Crowded:
            writer = FunctionWriter(*given, calls=True)
        if callee is not None:
            self._asm.bind(callee.label)
        writer.write()
        return writer

    def _state(self, entry: Entry) -> State:
        return entry.state(self._shape.frame_size, self._shape.frame_size * self._shape.frames)

    # What functions ask for

    def _function(self, start: int, state: State) -> Callee:
        """A callee for what is known at a call; where there are many, one for which nothing is."""
        kinds = kinds_at_call(state, self._functions.needs[start])
        pointer = known(state, FRAME_POINTER, high=False)
        if pointer is not None:
            kinds = (*kinds[:FRAME_POINTER], exactly(pointer - self._shape.frame_size))
        entry = Entry(start, kinds)
        made = self._callees.get(entry)
        if made is None and sum(other.start == start for other in self._callees) >= VARIANTS:
            entry = nothing_known(start)
            made = self._callees.get(entry)
        if made is None:
            made = self._callees[entry] = Callee(self._asm.label(), self._passed(entry))
            self._waiting.append(entry)
        return made

    def _passed(self, entry: Entry) -> list[Half]:
        state = self._state(entry)
        halves = [*halves_of(self._functions.needs[entry.start]), FRAME]
        return [half for half in halves if known(state, *half) is None]

    def _checker(self, size: int, write: bool, scratch: Scratch) -> Label:
        return self._checkers.setdefault((size, write, scratch), self._asm.label())

    def _request(self, request: Request) -> int:
        self._requests.append(request)
        return len(self._requests)


def _calls(unit: Unit) -> bool:
    return any(step[0] == CALL_LOCAL for block in unit.blocks for _, step in block.steps)
