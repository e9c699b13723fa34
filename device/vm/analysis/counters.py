"""Registers that a loop only ever increments, and how far they can get.

A run executes fewer than 2^32 instructions. What is only changed by adding constants below 2^31 therefore
grows by less than 2^63, so that it cannot wrap when it began below that; with 32 bits the same holds for
a single step of 1, as a round has at least two instructions. Bounds of counters come from this and not from
widening, which knows nothing of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from device.vm.analysis.lift import GO, TEST, Unit
from device.vm.analysis.liveness import HIGH_AT, changed
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State, Value
from device.vm.decode import (
    ALU,
    CALL_HELPER,
    MASK32,
    Step,
)
from device.vm.isa import Sem
from device.vm.program import PERIODIC_WAKEUP


class Stop(NamedTuple):
    """A register that every round of a loop changes by `step`, once, and that the loop is left with at `end`.

    Unless it is `wide`, that holds for registers below 2^32 only.
    """

    register: int
    step: int
    end: int
    wide: bool

    def range(self, entering: Value) -> tuple[int, int] | None:
        """Between which bounds it is wherever a round begins, if it comes past its end; see Counters."""
        low, high, _ = entering
        if not self.wide and high > MASK32:
            return None
        if abs(self.step) > 1 and (low != high or (self.end - low) % self.step):
            return None
        if self.step > 0:
            return (low, self.end - self.step) if high < self.end else None
        return (self.end - self.step, high) if low > self.end else None


class Counters(NamedTuple):
    """What is known of a loop: by how much each counter can grow, and the one that ends it, if there is."""

    growth: dict[int, int]
    stop: Stop | None


_Growth = list[int | None]
"""Of each register: 0 where nothing changes it, a bound of a counter's growth, None for anything else."""

_REGISTERS: Final = HIGH_AT
"""Those of liveness, spare ones included."""

_GROWTH: Final = {32: 1 << 31, 64: 1 << 63}
"""Of a counter with so many bits."""

_SIGN: Final = 1 << 31
_ADD: Final = Sem.ADD


def find(unit: Unit, shape: Structure) -> dict[int, Counters]:
    """The counters of every loop, by header. A helper that renews the budget makes all of it void."""
    if not shape.headers or not shape.structured or _renews(unit):
        return {}
    grows: dict[int, _Growth] = {header: [0] * _REGISTERS for header in shape.headers}
    for number, block in enumerate(unit.blocks):
        header = shape.loop[number]
        if header == -1:
            continue
        own: _Growth = [0] * _REGISTERS
        for _, step in block.steps:
            _note(step, own)
        while header != -1:
            grows[header] = [_worse(old, new) for old, new in zip(grows[header], own, strict=True)]
            header = shape.outer[header]
    return {
        header: Counters(
            {register: growth for register, growth in enumerate(found) if growth}, _stop(unit, shape, header)
        )
        for header, found in grows.items()
    }


def bounded(entering: State, state: State, counters: Counters) -> State:
    """A state at a header with its counters no further than they can get from `entering`."""
    found = state.copy()
    for register, growth in counters.growth.items():
        low, high, _ = entering[register]
        if high < growth >> 1:
            _, reached, place = state[register]
            found[register] = low, max(high, min(reached, high + growth)), place
    stop = counters.stop
    between = None if stop is None else stop.range(entering[stop.register])
    if stop is not None and between is not None:
        low, high, place = found[stop.register]
        low, high = max(low, between[0]), min(high, between[1])
        if low <= high:
            found[stop.register] = low, high, place
    return state if found == state else found


def _stop(unit: Unit, shape: Structure, header: int) -> Stop | None:
    """The counter that a loop is left with, where it is left otherwise as well or not."""
    back = [source for source in unit.blocks[header].before if source >= header]
    if len(back) != 1:
        return None
    number, target = back[0], header
    block = unit.blocks[number]
    if block.end == GO and len(block.steps) == 1 and len(block.before) == 1:
        number, target = block.before[0], number  # a jump alone: the one before it says whether to go on
        block = unit.blocks[number]
    if block.end != TEST or block.taken == block.next or shape.loop[number] != header:
        return None
    _, sem, width, mask, register, _, _, imm, from_register = block.steps[-1][1]
    if from_register or sem is not (Sem.JNE if target == block.taken else Sem.JEQ):
        return None
    changes = [step for step in _steps_of(unit, shape, header) if register in changed(step)]
    if len(changes) != 1 or all(step is not changes[0] for _, step in block.steps):
        return None
    case, operation, added, _, _, _, _, by, from_register = changes[0]
    if case != ALU or from_register or operation not in (Sem.ADD, Sem.SUB):
        return None
    by = (by & MASK32 ^ _SIGN) - _SIGN
    step = by if operation is Sem.ADD else -by
    end, wide = imm & mask, width == added == 64
    return Stop(register, step, end, wide) if step and (wide or end <= MASK32) else None


def _steps_of(unit: Unit, shape: Structure, header: int) -> Iterator[Step]:
    """The steps of a loop and of those in it."""
    for number, block in enumerate(unit.blocks):
        around = shape.loop[number]
        while around not in (-1, header):
            around = shape.outer[around]
        if around == header:
            yield from (step for _, step in block.steps)


def _renews(unit: Unit) -> bool:
    steps = (step for block in unit.blocks for _, step in block.steps)
    return any(step[0] == CALL_HELPER and step[7] == PERIODIC_WAKEUP for step in steps)


def _note(step: Step, growth: _Growth) -> None:
    """Add what a step does."""
    case, sem, width, _, dst, _, _, imm, from_register = step
    if case == ALU:
        counts = sem is _ADD and not from_register and 0 < imm < (2**31 if width == 64 else 2)
        growth[dst] = _worse(growth[dst], _GROWTH[width]) if counts else None
        return
    for register in changed(step):
        growth[register] = None


def _worse(old: int | None, new: int | None) -> int | None:
    """The growth under both. With 32 bits there may be one step only: more are not a jump apart."""
    if not old or not new:
        return None if old is None or new is None else old or new
    return old if old == new == _GROWTH[64] else None
