"""Which halves of registers are read behind an instruction, and whether their values exceed 32 bits.

The analyses are those of the fast engines (`device/vm/analysis`). Arguments of helpers count as 32 bits here:
that is what helpers take of them. Where a function is too large for the analyses everything may matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from device.vm.analysis import intervals
from device.vm.analysis.effects import bound, step_over
from device.vm.analysis.lift import UNIT_LIMIT, Unit, lift
from device.vm.analysis.liveness import ARGUMENTS, BOTH, EVERYTHING, HIGH, LOW, RESULT, before
from device.vm.analysis.structure import shape
from device.vm.analysis.values import ANY, WORD, State, Value, constant
from device.vm.decode import CALL_HELPER, MASK32, Step, decode_step
from device.vm.isa import FRAME_POINTER, REGISTERS
from device.vm.memory import STACK_TOP
from device.vm.program import Program

_LOW_ARGUMENTS: Final = sum(LOW[1:6])
_INSTRUCTIONS: Final = 4 * UNIT_LIMIT
"""How many are analysed, over all functions: those that overlap would take quadratic time."""


class Halves:
    """Facts about every instruction that is reached from the first slots of functions."""

    def __init__(self, program: Program, starts: Iterable[int]) -> None:
        self._read: dict[int, int] = {}
        self._after: dict[int, State] = {}
        left = _INSTRUCTIONS
        for start in starts:
            unit = lift(lambda pc: decode_step(program.text, pc), program.slots, start)
            left -= UNIT_LIMIT if unit is None else unit.instructions
            if unit is not None:
                self._note_reads(unit)
                self._note_values(unit, program, start)
            if left <= 0:
                break

    def is_read(self, pc: int, register: int) -> bool:
        """Whether anything of the register is read behind the instruction at `pc`."""
        return bool(self._read.get(pc, EVERYTHING) & BOTH[register])

    def high_is_read(self, pc: int, register: int) -> bool:
        """Whether the upper half of the register is read behind the instruction at `pc`."""
        return register < REGISTERS and bool(self._read.get(pc, EVERYTHING) & HIGH[register])

    def most(self, pc: int, register: int) -> int:
        """The largest value that the register may have behind the instruction at `pc`."""
        state = self._after.get(pc)
        return ANY[1] if state is None else state[register][1]

    def constant(self, pc: int, register: int) -> int | None:
        """The value of the register behind the instruction at `pc`, where it is always the same."""
        low, high, _ = ANY if pc not in self._after else self._after[pc][register]
        return low if low == high else None

    def matters(self, pc: int, register: int) -> bool:
        """Whether the upper half is read behind `pc` and may be anything but 0."""
        return self.high_is_read(pc, register) and self.most(pc, register) > MASK32

    def _note_reads(self, unit: Unit) -> None:
        ends = _solve(unit)
        for block, live in zip(unit.blocks, ends, strict=True):
            for pc, step in reversed(block.steps):
                self._read[pc] = self._read.get(pc, 0) | live
                live = _before(step, live)  # noqa: PLW2901  # it runs backwards through the block

    def _note_values(self, unit: Unit, program: Program, start: int) -> None:
        entry = _at_entry(start == program.entry)
        states = intervals.solve(unit, shape(unit.blocks), bound(unit, program.relative_data_base), entry)
        for block, known in zip(unit.blocks, states, strict=True):
            if known is None:
                continue
            state = list(known)
            for pc, step in block.steps:
                step_over(step, state, program.relative_data_base)
                self._after[pc] = _either(self._after.get(pc), state)


def _at_entry(is_entry: bool) -> State:
    """What registers hold where a function begins (programs.md section 3.2); a callee's are not known."""
    if not is_entry:
        state = [ANY] * REGISTERS
        state[FRAME_POINTER] = WORD
        return state
    state = [constant(0)] * REGISTERS
    state[1] = state[2] = WORD
    state[FRAME_POINTER] = constant(STACK_TOP)
    return state


def _either(known: State | None, other: State) -> State:
    """What holds for an instruction that two functions share."""
    if known is None:
        return list(other)
    return [_hull(a, b) for a, b in zip(known, other, strict=True)]


def _hull(a: Value, b: Value) -> Value:
    return min(a[0], b[0]), max(a[1], b[1]), a[2]


def _before(step: Step, live: int) -> int:
    if step[0] == CALL_HELPER:
        return live & ~RESULT | _LOW_ARGUMENTS
    return before(step, live, lambda _start: EVERYTHING, ARGUMENTS)


def _solve(unit: Unit) -> list[int]:
    """What is read behind every block; callees may read everything of their callers."""
    starts = [0] * len(unit.blocks)
    ends = [0] * len(unit.blocks)
    work = list(range(len(unit.blocks)))
    while work:
        number = work.pop()
        block = unit.blocks[number]
        live = EVERYTHING if block.leave >= 0 else 0
        for target in block.successors():
            live |= starts[target]
        ends[number] = live
        for _, step in reversed(block.steps):
            live = _before(step, live)
        if live != starts[number]:
            starts[number] = live
            work.extend(block.before)
    return ends
