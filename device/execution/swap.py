"""Another program for slots in use: they are closed, their runs end, and all of them change at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from device.engines.runner import Runner
from device.errors import Conflict
from device.execution.pool import ended
from device.execution.programs import Prepared
from device.execution.slot import Slot
from device.execution.slots import Slots

REPLACE_GRACE_S: Final = 1.0
"""How long an update lets the runs of its slot end by themselves (suit.md section 6)."""


class Swap:
    """Changes the programs of slots, one change at a time. `opened` is called when slots are open again."""

    def __init__(self, slots: Slots, opened: Callable[[], None]) -> None:
        self._slots = slots
        self._opened = opened
        self._changing = asyncio.Lock()

    async def to(
        self, programs: Mapping[Slot, Prepared | None], commit: Callable[[], None], reason: str
    ) -> None:
        """Commit, and make these the programs of their slots; None empties one.

        Runs that do not end by themselves are killed for this `reason`. When `commit` raises, or this is
        cancelled before it, everything is as it was.
        """
        former: list[Runner] = []
        async with self._changing:
            try:
                for slot in programs:
                    slot.closed = True
                await asyncio.gather(*(slot.drain(REPLACE_GRACE_S, reason) for slot in programs))
                async with _uninterrupted(commit):
                    former = [slot.runner for slot in programs if slot.runner]
                    for slot, program in programs.items():
                        slot.load(program)
                        slot.local.clear()
                        grant = program.grant if program else self._slots.grant(slot.number)
                        slot.local.capacity = grant.store
            finally:
                for slot in programs:
                    slot.closed = False
                self._opened()
        self._slots.drop_code(former)

    @asynccontextmanager
    async def idle(self, slot: Slot) -> AsyncIterator[None]:
        """Hold a slot without any run for as long: new ones wait, and nobody's is killed.

        Raises Conflict `slot-in-use` when those in it do not end soon.
        """
        async with self._changing:
            try:
                slot.closed = True
                if not await slot.wait_idle(REPLACE_GRACE_S):
                    raise Conflict(f"slot {slot.number} is in use", code="slot-in-use", hint="try again")
                yield
            finally:
                slot.closed = False
                self._opened()


@asynccontextmanager
async def _uninterrupted(commit: Callable[[], None]) -> AsyncIterator[None]:
    """Commit on a thread, as it waits for a disk, and do what follows from it even when this is cancelled."""
    future = asyncio.get_running_loop().run_in_executor(None, commit)
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError as error:
        cancelled = error
        await ended(future)
    future.result()
    yield
    if cancelled is not None:
        raise cancelled
