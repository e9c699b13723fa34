"""The functions of a text that is translated: which there are, what they read, where one may be entered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.analysis import liveness
from device.vm.analysis.lift import Decode, Unit, lift
from device.vm.analysis.liveness import BOTH
from device.vm.analysis.structure import Structure, shape
from device.vm.decode import (
    ATOMIC,
    ATOMIC_FETCH,
    CALL_HELPER,
    CALL_LOCAL,
    COMPARE_EXCHANGE,
    LOAD,
    LOAD_SIGNED,
    STORE,
    Step,
)
from device.vm.faults import FaultCode, GuestFault
from device.vm.program import PERIODIC_WAKEUP

_LOUD: Final = frozenset({LOAD, LOAD_SIGNED, STORE, ATOMIC, ATOMIC_FETCH, COMPARE_EXCHANGE, CALL_HELPER})


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a unit wherever it is entered.

    Its shape, and the halves that are live behind each block and, `starts`, before it.
    """

    unit: Unit
    shape: Structure
    live: Sequence[int]
    starts: Sequence[int]

    @property
    def entering(self) -> int:
        """The halves live where it begins."""
        return self.starts[0]


class Functions:
    """The functions that are reached by calls from `entry`, except those too large for a unit.

    `needs` are the halves that each reads of its caller, `returned` the argument registers that come back
    beside r0, `entries` the slots where a unit may begin (functions, headers of loops) with the halves live.
    `quiet` functions touch no memory and call no helper, nor does what they call.
    """

    def __init__(self, decode: Decode, slots: int, entry: int) -> None:
        self._decode_step = decode
        self._slots = slots
        self._refused: set[int] = set()
        units = self._reached(entry)
        self.needs: Mapping[int, int]
        self.needs, returned = liveness.around_calls(units)
        self.returned = tuple(register for register in range(1, 6) if returned & BOTH[register])
        self.returned_halves = sum(BOTH[register] for register in self.returned)
        self.quiet = _quiet(units)
        self._parts = {start: self._part(unit) for start, unit in units.items()}
        self.entries: Mapping[int, int] = self._find_entries()

    def part(self, start: int) -> Part:
        """The unit that begins at one of `entries`."""
        part = self._parts.get(start)
        if part is None:
            unit = lift(self._decode, self._slots, start)
            if unit is None:
                raise AssertionError("a part of a function that was small enough")
            part = self._parts[start] = self._part(unit)
        return part

    def _reached(self, entry: int) -> dict[int, Unit]:
        while True:
            found: dict[int, Unit] = {}
            work, refused = [entry], len(self._refused)
            while work:
                start = work.pop()
                if start in found or start in self._refused:
                    continue
                unit = lift(self._decode, self._slots, start)
                if unit is None:
                    self._refused.add(start)
                    continue
                found[start] = unit
                work += [step[6] for block in unit.blocks for _, step in block.steps if step[0] == CALL_LOCAL]
            if len(self._refused) == refused:
                return found

    def _decode(self, pc: int) -> Step:
        """The step at a slot; raises GuestFault where the exact engine is to go on.

        PERIODIC_WAKEUP is such a place: it renews the budget, and others may change .data meanwhile.
        """
        step = self._decode_step(pc)
        case = step[0]
        if case == CALL_LOCAL and (not 0 <= step[6] < self._slots or step[6] in self._refused):
            raise GuestFault(FaultCode.ILLEGAL_CALL, "a call that is not translated")
        if case == CALL_HELPER and step[7] == PERIODIC_WAKEUP:
            raise GuestFault(FaultCode.ILLEGAL_CALL, "a helper that is not called from here")
        return step

    def _part(self, unit: Unit) -> Part:
        live = liveness.solve(unit, self.needs.__getitem__, self.returned_halves)
        return Part(unit, shape(unit.blocks), live.ends, live.starts)

    def _find_entries(self) -> dict[int, int]:
        entries: dict[int, int] = {}
        for part in self._parts.values():
            for number in {0, *part.shape.headers}:
                start = part.unit.blocks[number].start
                entries[start] = entries.get(start, 0) | part.starts[number]
        return entries


def _quiet(units: Mapping[int, Unit]) -> frozenset[int]:
    """The functions that neither touch memory nor call helpers, themselves or through others."""
    calls: dict[int, set[int]] = {}
    for start, unit in units.items():
        steps = [step for block in unit.blocks for _, step in block.steps]
        if not any(step[0] in _LOUD for step in steps) and all(block.leave < 0 for block in unit.blocks):
            calls[start] = {step[6] for step in steps if step[0] == CALL_LOCAL}
    quiet = set(calls)
    while True:
        loud = {start for start in quiet if not calls[start] <= quiet}
        if not loud:
            return frozenset(quiet)
        quiet -= loud
