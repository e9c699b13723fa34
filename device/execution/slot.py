"""A slot as the executor sees it: the program that is loaded, its memory, its lock, its counters.

Only the event loop's thread touches these; a run on a thread of the pool gets `data` and `local` and nothing
else of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from device.errors import Conflict, MicroBpfError, StorageError
from device.execution.programs import Prepared
from device.execution.run import Result
from device.storage.stores import MemoryStore
from device.vm.program import Control

KILL_GRACE_S: Final = 5.0
"""Seconds within which a run that was killed has to be gone; engines take milliseconds."""


class Slot:
    """The state of one storage slot between runs, and its lock (programs.md section 3.3, suit.md section 6).

    A program with .data or .bss runs alone, others run side by side. While the slot is closed, nothing
    begins.
    """

    def __init__(self, number: int, local: MemoryStore) -> None:
        self.number = number
        self.local = local
        self.closed = False
        self._active: set[Control] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.load(None)

    def load(self, prepared: Prepared | None) -> None:
        """Make this the current program, as after a deploy or reboot: fresh .data, counters at zero."""
        self.prepared = prepared
        self.refusal: MicroBpfError | None = None
        self.data = prepared.program.fresh_data() if prepared else bytearray()
        self.runs = 0
        self.faults = 0
        self.run_us = 0
        self.last_fault: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a run is in the slot."""
        return bool(self._active)

    @property
    def mean_us(self) -> int | None:
        """Mean duration of the runs since the deploy."""
        return self.run_us // self.runs if self.runs else None

    def count(self, result: Result) -> None:
        """Take note of what a request did."""
        self.runs += len(result.times_us)
        self.run_us += sum(result.times_us)
        fault = result.outcome.fault
        if fault is not None:
            self.faults += 1
            self.last_fault = fault.to_map()

    # The lock

    def try_enter(self, control: Control) -> bool:
        """Let a run in, unless the slot is closed, or its program runs alone and does."""
        alone = self.prepared is not None and self.prepared.program.has_memory
        if self.closed or (alone and self._active):
            return False
        self._active.add(control)
        self._idle.clear()
        return True

    def leave(self, control: Control) -> None:
        """A run is over."""
        self._active.discard(control)
        if not self._active:
            self._idle.set()

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
    control: Control

    def try_enter(self) -> bool:
        """See pool.Gate."""
        return self.slot.try_enter(self.control)

    def leave(self) -> None:
        """See pool.Gate."""
        self.slot.leave(self.control)


def slot_empty(number: int) -> Conflict:
    """The error of whoever wants something of a program that is not there."""
    return Conflict(f"slot {number} is empty", code="slot-empty", hint="deploy a program first")
