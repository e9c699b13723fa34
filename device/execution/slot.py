"""A slot as the executor sees it: the program that is loaded, its memory, its lock, its counters.

Only the event loop's thread touches these; a run on a thread of the pool gets `data` and `local` and nothing
else of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from device.engines import ENGINES
from device.engines.runner import Runner
from device.errors import Conflict, MicroBpfError, StorageError
from device.execution.programs import Prepared
from device.execution.run import Result
from device.storage.stores import MemoryStore
from device.vm.program import Control, Engine

if TYPE_CHECKING:
    from device.execution.turn import RunControl

KILL_GRACE_S: Final = 5.0
"""Seconds within which a run that was killed has to be gone; engines take milliseconds."""

PATIENCE_S: Final = 0.1
"""Seconds after which a run that wants its slot back is not overtaken any more."""


class Slot:
    """The state of one storage slot between runs, and its lock (programs.md section 3.3, suit.md section 6).

    A program with .data or .bss, or .rodata that it may write to, runs alone, others run side by side; who
    sleeps steps out meanwhile. While the slot is closed, nothing begins. `on_free` is called when somebody
    has stepped out.
    """

    def __init__(self, number: int, local: MemoryStore, engines: Mapping[str, Engine] = ENGINES) -> None:
        self.number = number
        self.local = local
        self.engines = engines
        self.on_free: Callable[[Slot], None] = lambda _slot: None
        self._open = asyncio.Event()
        self._open.set()
        self._inside: set[Control] = set()
        self._claims: dict[Control, float] = {}
        self._newcomer_next = False
        self._active: set[Control] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.load(None)

    def load(self, prepared: Prepared | None) -> None:
        """Make this the current program, as after a deploy or reboot: fresh .data, counters at zero.

        `rodata` is None where it cannot be written to.
        """
        self.prepared = prepared
        self.runner = (
            Runner(prepared.program, self.engines, may_compile=prepared.grant.jit) if prepared else None
        )
        self.refusal: MicroBpfError | None = None
        self.data = prepared.program.fresh_data() if prepared else bytearray()
        writable = prepared is not None and prepared.grant.writable_rodata
        self.rodata = bytearray(prepared.program.rodata) if prepared and writable else None
        self.runs = 0
        self.faults = 0
        self.run_us = 0
        self.last_fault: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a run is in the slot."""
        return bool(self._active)

    @property
    def source(self) -> str:
        """Under what name its lines are in the log."""
        return f"slot{self.number}"

    @property
    def mean_us(self) -> int | None:
        """Mean duration of the runs since the deploy."""
        return self.run_us // self.runs if self.runs else None

    @property
    def current(self) -> Runner:
        """What runs its program. Raises Conflict when there is none any more."""
        if self.runner is None:
            raise slot_empty(self.number)
        return self.runner

    def count(self, result: Result) -> None:
        """Take note of what a request did."""
        self.runs += len(result.times_us)
        self.run_us += sum(result.times_us)
        fault = result.outcome.fault
        if fault is not None:
            self.faults += 1
            self.last_fault = fault.to_map()

    # The lock

    @property
    def closed(self) -> bool:
        """Whether nothing may begin here at the moment."""
        return not self._open.is_set()

    @closed.setter
    def closed(self, value: bool) -> None:
        if value:
            self._open.clear()
        else:
            self._open.set()

    async def opened(self) -> None:
        """Wait until runs may begin."""
        await self._open.wait()

    def try_enter(self, control: Control, *, newcomer: bool = True) -> bool:
        """Let a run in, unless the slot is closed, or its program runs alone and does.

        A run that has stepped out comes in again also while the slot is closed: it is waited for.
        """
        if self.closed and control not in self._active:
            return False
        if self._alone and (self._inside or not self._is_due(control, newcomer=newcomer)):
            return False
        if newcomer or control in self._claims:
            self._newcomer_next = not newcomer
        self._claims.pop(control, None)
        self._inside.add(control)
        self._active.add(control)
        self._idle.clear()
        return True

    def claim(self, control: Control) -> None:
        """A job, or a run that has slept, wants in: after a while nobody overtakes it any more."""
        self._claims.setdefault(control, monotonic())

    @property
    def _alone(self) -> bool:
        return self.prepared is not None and (self.prepared.program.has_memory or bool(self.rodata))

    def _is_due(self, control: Control, *, newcomer: bool) -> bool:
        """Whether nobody has waited for too long before this one; newcomers take turns with those who did.

        Only who is sure to come in soon may claim. A short run that waits for a thread is not: it would keep
        out the very runs that hold the threads.
        """
        first = next(iter(self._claims), control)
        if self.closed or first is control or monotonic() - self._claims[first] < PATIENCE_S:
            return True
        return newcomer and self._newcomer_next

    def step_out(self, control: Control) -> None:
        """A run sleeps, or is over: another may come in."""
        if control in self._inside:
            self._inside.discard(control)
            self.on_free(self)

    def leave(self, control: Control) -> None:
        """A run is over, or gives up wanting to begin."""
        self._claims.pop(control, None)
        self._inside.discard(control)
        self._active.discard(control)
        if not self._active:
            self._idle.set()
        self.on_free(self)

    def kill(self, reason: str) -> None:
        """Stop all runs."""
        for control in self._active:
            control.kill(reason)

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no run is in the slot; False when that takes longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return not self.running

    async def drain(self, grace_s: float, reason: str) -> None:
        """Let the runs end by themselves for so long, then kill them. The slot has to be closed.

        Raises StorageError when a run does not stop.
        """
        if await self.wait_idle(grace_s):
            return
        self.kill(reason)
        if not await self.wait_idle(KILL_GRACE_S):
            raise StorageError(
                f"a run in slot {self.number} does not stop", code="slot-stuck", hint="restart the device"
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """One run's way through the lock of its slot (pool.Gate)."""

    slot: Slot
    control: RunControl
    newcomer: bool = True

    def try_enter(self) -> bool:
        """See pool.Gate."""
        return self.slot.try_enter(self.control, newcomer=self.newcomer)

    def claim(self) -> None:
        """Have the slot know that this run waits."""
        self.slot.claim(self.control)

    def leave(self) -> None:
        """See pool.Gate; the run may come again until it is over."""
        self.slot.step_out(self.control)


def slot_empty(number: int) -> Conflict:
    """The error of whoever wants something of a program that is not there."""
    return Conflict(f"slot {number} is empty", code="slot-empty", hint="deploy a program first")
