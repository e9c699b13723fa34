"""Runs side by side: the interpreter for real, compiled code on a copy of the same state (engines.md).

    copy = copied(run); record = Record(run)
    expected = interpreter.run(program, record.run)
    found = jit.run(program, record.replayed(copy))
    difference = record.difference(expected, found, run, copy)

Each helper call of the first run is recorded: id, arguments, result or fault, the bytes that changed. The
second run is fed the record, so nothing outside it happens twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from device.vm.faults import Fault, FaultCode, GuestFault
from device.vm.memory import GuestMemory, Region, Stack
from device.vm.program import Outcome, Run

MAX_CALLS: Final = 20_000
"""Helper calls that are recorded; a run with more is not compared."""

MAX_BYTES: Final = 1 << 24
"""Bytes of memory, changed by helpers, that are recorded; likewise."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison came to; `equal` is None for runs that could not be compared."""

    equal: bool | None
    difference: str | None = None

    def to_map(self) -> dict[str, Any]:
        """As in a run answer."""
        shown: dict[str, Any] = {"equal": self.equal}
        if self.difference is not None:
            shown["difference"] = self.difference
        return shown


class Differs(Exception):
    """The second run has called a helper otherwise than the first."""


@dataclass(frozen=True, slots=True)
class HelperCall:
    """One helper call: registers r1 to r5, what came of it, and the regions that are different after it."""

    helper: int
    arguments: tuple[int, ...]
    result: int
    fault: GuestFault | None
    changed: tuple[tuple[int, bytes], ...]


def copied(run: Run) -> Run:
    """A run with the same state, and memory of its own."""
    stack = run.memory.stack
    regions = []
    for region in run.memory.regions[1:]:
        copy = Region(
            region.name,
            region.origin,
            bytearray(region.data),
            writable=region.writable,
            updated=not region.fixed,
        )
        regions.append(copy)
    return replace(run, memory=GuestMemory(regions, Stack(stack.frame_size, stack.frames)))


class Record:
    """The helper calls of one run. `run` is to be executed in its place."""

    def __init__(self, run: Run) -> None:
        self.run = replace(run, call_helper=self._call)
        self.overflowed = False
        self._real = run.call_helper
        self._regions = run.memory.regions
        self._calls: list[HelperCall] = []
        self._bytes = 0
        self._next = 0

    def _call(self, helper: int, *arguments: int) -> int:
        if self.overflowed or len(self._calls) >= MAX_CALLS or self._bytes > MAX_BYTES:
            self.overflowed = True
            self._calls.clear()
            return self._real(helper, *arguments)
        before = self._contents()
        fault: GuestFault | None = None
        result = 0
        try:
            result = self._real(helper, *arguments)
        except GuestFault as raised:
            fault = raised
        both = enumerate(zip(before, self._contents(), strict=True))
        changed = tuple((index, new) for index, (old, new) in both if new != old)
        self._bytes += sum(len(content) for _, content in changed)
        self._calls.append(HelperCall(helper, arguments, result, fault, changed))
        if fault is not None:
            raise fault
        return result

    def _contents(self) -> list[bytes]:
        return [bytes(region.data) for region in self._regions]

    def replayed(self, copy: Run) -> Run:
        """A run whose helpers do what they did in the first; called otherwise they raise Differs."""
        self._next = 0
        regions = copy.memory.regions

        def call(helper: int, *arguments: int) -> int:
            number = self._next
            if number == len(self._calls):
                raise Differs(f"helper call {number + 1}, of 0x{helper:02x}, which was not made before")
            expected = self._calls[number]
            if (helper, arguments) != (expected.helper, expected.arguments):
                wanted, made = (
                    _shown(one, values)
                    for one, values in ((expected.helper, expected.arguments), (helper, arguments))
                )
                raise Differs(f"helper call {number + 1}: {made}, expected {wanted}")
            self._next += 1
            for index, content in expected.changed:
                regions[index].data[:] = content
            if expected.fault is not None:
                raise expected.fault
            return expected.result

        return replace(copy, call_helper=call)

    def interrupted(self, error: Exception) -> Compared:
        """What it means that the second run ended with an error."""
        if self.overflowed:
            return Compared(None, "not compared: too many helper calls")
        return Compared(False, str(error))

    def difference(self, expected: Outcome, found: Outcome, run: Run, copy: Run) -> Compared:
        """What is different after both runs, the first thing only."""
        if self.overflowed:
            return Compared(None, "not compared: too many helper calls")
        if any(one.fault is not None and one.fault.code is FaultCode.KILLED for one in (expected, found)):
            return Compared(None, "not compared: a run was stopped")
        text = (
            _fault_difference(expected.fault, found.fault)
            or _value_difference("r0", expected.r0, found.r0)
            or _value_difference("helper calls", len(self._calls), self._next)
            or _value_difference("instructions", expected.instructions, found.instructions)
            or _memory_difference(run.memory.regions, copy.memory.regions)
        )
        return Compared(text is None, text)


def _shown(helper: int, arguments: Sequence[int]) -> str:
    return f"0x{helper:02x}({', '.join(f'0x{value:x}' for value in arguments)})"


def _fault_difference(expected: Fault | None, found: Fault | None) -> str | None:
    wanted, got = (
        None if one is None else (one.name, one.pc, one.address, one.size, one.access, one.helper)
        for one in (expected, found)
    )
    return None if wanted == got else f"fault {got or 'none'}, expected {wanted or 'none'}"


def _value_difference(what: str, expected: int | None, found: int | None) -> str | None:
    return None if expected == found else f"{what} {found}, expected {expected}"


def _memory_difference(expected: Sequence[Region], found: Sequence[Region]) -> str | None:
    for one, other in zip(expected, found, strict=True):
        if one.data == other.data:
            continue
        pairs = enumerate(zip(bytes(one.data), bytes(other.data), strict=True))
        at, (wanted, got) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
        return f"byte at 0x{one.origin + at:x} in {one.name}: 0x{got:02x}, expected 0x{wanted:02x}"
    return None
