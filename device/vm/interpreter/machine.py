"""The state of one run, in the form that both tiers of the interpreter work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from device.vm.faults import GuestFault
from device.vm.helpers.contract import BoundHelper
from device.vm.helpers.gate import bound
from device.vm.isa import REGISTERS
from device.vm.memory import (
    STACK_PLACE,
    STACK_TOP,
    WINDOWS,
    Buffer,
    GuestMemory,
    Region,
    window_of,
)
from device.vm.program import Run

Frame = tuple[int, list[int]]
"""Where a caller goes on, and its r6 to r10."""

SHARE: Final = 200_000
"""Instructions that translated code is handed at once; between two shares the run's control is looked at."""

MISSING: Final = bytearray()
"""Stands for a region that is not there, or may not be written: every index is out of range."""

_ALIGNED: Final[dict[int, Literal["H", "I", "Q"]]] = {2: "H", 4: "I", 8: "Q"}


class Lost(int):
    """The value of a register that nothing reads any more and that translated code did not keep.

    What is computed from it is lost too. Nothing that is tested, stored or returned is.
    """

    def _lost(self, *_others: int) -> Lost:
        return self

    def __bool__(self) -> bool:
        return True  # as a divisor it is not zero

    def __eq__(self, other: object) -> bool:
        return False

    def __and__(self, other: int) -> int:
        return self if other else 0  # that takes no value to know, so that it may be alive

    __hash__ = int.__hash__
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _lost
    __rand__ = __and__
    __or__ = __ror__ = __xor__ = __rxor__ = _lost
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _lost
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __abs__ = _lost


LOST: Final = Lost(0)


class Finished(Exception):
    """The entry function has returned."""


class Short(Exception):
    """The budget left may not last to the next place where translated code looks at it."""


class Elsewhere(Exception):
    """What follows is for the exact tier: an access that was not where it was guessed, or no translation."""


class Renewed(Exception):
    """The exact tier has slept in a run whose budget begins anew then; it goes on at `pc`."""

    def __init__(self, pc: int) -> None:
        super().__init__(pc)
        self.pc = pc


class Left(Exception):
    """Translated code was left: the exact tier is to go on at `pc` with these registers and this budget.

    `frames` are the callers that were in translated code too, the innermost first. With `fault` there is
    nothing to go on with: a helper has ended the run. `cause` says why it was left, `blamed` are the slots
    of accesses that were guessed wrong if it was for a guess.
    """

    def __init__(self, pc: int, registers: list[int], budget: int, cause: BaseException) -> None:
        super().__init__(pc)
        self.pc = pc
        self.registers = registers
        self.budget = budget
        self.cause = cause
        self.blamed: tuple[int, ...] = (pc,)
        self.frames: list[Frame] = []
        self.fault: GuestFault | None = None


class Machine:
    """What the instructions of one run work on beside the registers.

    `frames` are the callers, the innermost last. `reads[k]` and `writes[k]` are the bytes of the region at
    window k for loads and stores, provided that all are `canonical`: where the map has their places. `rest`
    is the part of the budget that translated code was not handed yet. `settled` keeps a run in the exact tier
    from here on.
    """

    __slots__ = (
        "_helpers",
        "canonical",
        "frames",
        "memory",
        "reads",
        "rest",
        "run",
        "settled",
        "stack",
        "writes",
    )

    def __init__(self, run: Run, places: Sequence[int] | None = None) -> None:
        """`places` are `places_of(run.memory)` where they are known."""
        self.run = run
        self.memory: GuestMemory = run.memory
        self.stack = run.memory.stack
        self._helpers: dict[int, BoundHelper] = {}
        self.frames: list[Frame] = []
        self.rest = 0
        self.settled = False
        self.reads: list[Buffer] = [MISSING] * len(WINDOWS)
        self.writes: list[Buffer] = [MISSING] * len(WINDOWS)
        found = places_of(run.memory) if places is None else places
        self.canonical = found is not None
        for index, place in enumerate(found or ()):
            region = self.memory.regions[index]
            self.reads[place] = region.data
            if region.writable:
                self.writes[place] = region.data

    # What translated code calls

    def more(self, budget: int, need: int) -> int:
        """A further share of the budget; raises Short when it is below `need` all the same, and KILLED."""
        self.run.control.check()
        share = min(SHARE, self.rest)
        self.rest -= share
        if budget + share < need:
            self.rest += share
            raise Short
        return budget + share

    def find(self, address: int, size: int) -> tuple[Buffer, int, int]:
        """Bytes that hold a load's address, the address of the first, and the last offset for `size`."""
        region, _ = self.memory.find(address, size, write=False)
        return _accessible(region, size)

    def find_writable(self, address: int, size: int) -> tuple[Buffer, int, int]:
        """The same for a store."""
        region, _ = self.memory.find(address, size, write=True)
        return _accessible(region, size)

    def aligned(self, place: int, size: int, *, write: bool) -> Buffer:
        """The bytes at a window as little-endian numbers of `size` bytes, as far as they are whole ones."""
        data = memoryview(self.writes[place] if write else self.reads[place])
        return data[: len(data) // size * size].cast(_ALIGNED[size])

    def wake_up(self, helper: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        """PERIODIC_WAKEUP, which is for the exact tier where the budget begins anew with it."""
        if self.run.renews:
            raise Elsewhere
        return self.help(helper, r1, r2, r3, r4, r5)

    def help(self, helper: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        """Call a helper as an instruction does: the control is looked at first."""
        self.run.control.check()
        return (self._helpers.get(helper) or self._bind(helper))(r1, r2, r3, r4, r5)

    def _bind(self, helper: int) -> BoundHelper:
        found = self._helpers[helper] = bound(self.run.call_helper, helper)
        return found


def places_of(memory: GuestMemory) -> Sequence[int] | None:
    """The windows of the regions, None when one of them is not where the map has its place."""
    places = []
    for region in memory.regions:
        place = window_of(region.origin)
        start = STACK_TOP - len(region.data) if place == STACK_PLACE else WINDOWS[place]
        if region.origin != start:
            return None
        places.append(place)
    return places


def shown(registers: Sequence[int]) -> tuple[int | None, ...]:
    """Registers for a fault: None for what was not kept."""
    return tuple(None if isinstance(value, Lost) else value for value in registers)


def frame_pointer(depth: int, frame_size: int) -> int:
    """r10 in the frame that has `depth` callers."""
    return STACK_TOP - depth * frame_size


def _accessible(region: Region, size: int) -> tuple[Buffer, int, int]:
    """Only the active part of the stack is there; a depth is as good as a region of its own."""
    data: Buffer = region.data
    if region.base != region.origin:
        data = memoryview(data)[region.base - region.origin :]
    return data, region.base, region.end - region.base - size


def fresh_registers() -> list[int]:
    """All zero."""
    return [0] * REGISTERS
