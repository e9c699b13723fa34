"""Registers that a loop only ever increments, and how far they can get.

A run executes fewer than 2^32 instructions. What is only changed by adding constants below 2^31 therefore
grows by less than 2^63, so that it cannot wrap when it began below that; with 32 bits the same holds for
steps of 1, as a round has at least two instructions. Bounds of counters come from this and not from
widening, which knows nothing of time.
"""

from __future__ import annotations

from typing import Final

from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import HIGH_AT
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State
from device.vm.decode import (
    ALU,
    ATOMIC_FETCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    CONSTANT,
    DATA_ADDRESS,
    LOAD,
    LOAD_SIGNED,
    RODATA_ADDRESS,
    Step,
)
from device.vm.isa import Sem
from device.vm.program import PERIODIC_WAKEUP

Counters = dict[int, int]
"""By how much each counter of a loop can grow."""

_Growth = list[int | None]
"""Of each register: 0 where nothing changes it, a bound of a counter's growth, None for anything else."""

_REGISTERS: Final = HIGH_AT
"""Those of liveness, spare ones included."""

_ADD: Final = Sem.ADD
_LOADING: Final = frozenset({LOAD, LOAD_SIGNED, CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})


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
        header: {register: growth for register, growth in enumerate(found) if growth}
        for header, found in grows.items()
    }


def bounded(entering: State, state: State, counters: Counters) -> State:
    """A state at a header with its counters no further than they can get from `entering`."""
    found = state
    for register, growth in counters.items():
        low, high, _ = entering[register]
        if high >= growth >> 1:
            continue
        _, reached, place = state[register]
        value = (low, max(high, min(reached, high + growth)), place)
        if value != state[register]:
            if found is state:
                found = state.copy()
            found[register] = value
    return found


def _renews(unit: Unit) -> bool:
    steps = (step for block in unit.blocks for _, step in block.steps)
    return any(step[0] == CALL_HELPER and step[7] == PERIODIC_WAKEUP for step in steps)


def _note(step: Step, growth: _Growth) -> None:
    """Add what a step does."""
    case, sem, width, _, dst, src, _, imm, from_register = step
    if case == ALU:
        counts = sem is _ADD and not from_register and 0 < imm < (2**31 if width == 64 else 2)
        growth[dst] = _worse(growth[dst], 1 << (width - 1)) if counts else None
    elif case in _LOADING:
        growth[dst] = None
    elif case in (CALL_HELPER, COMPARE_EXCHANGE):
        growth[0] = None
    elif case == ATOMIC_FETCH:
        growth[src] = None
    elif case == CALL_LOCAL:
        growth[0:6] = [None] * 6


def _worse(old: int | None, new: int | None) -> int | None:
    """The growth under both: None (unknown) wins, then the narrower kind of counter."""
    if old is None or new is None:
        return None
    return min(old, new) if old and new else old or new
