"""How a run gives up its turn: while it sleeps, and for a moment when others wait.

    thread:  pause ──▶ step aside ──▶ the device's clock ──▶ come back ──▶ go on, or GuestFault KILLED
    loop:                 └ slot and turn are free for others ┘ └ both, or neither

Turns and slots belong to the event loop's thread; the run's own thread asks it, and waits for `_go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Final

from device.execution.pool import OPEN, Gate, Place, Turns
from device.execution.slot import Entry
from device.vm.ports import SleepingClock
from device.vm.program import Control

SLICE_S: Final = 0.05
"""Seconds that a job runs before it lets others have its turn."""


class RunControl(Control):
    """The control of a run that others can wake: `kill` is to be called on the loop's thread only.

    `on_check` is called whenever the engine looks, on the run's thread.
    """

    __slots__ = ("on_check", "on_kill")

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.on_kill: Callable[[], None] = lambda: None
        self.on_check: Callable[[], None] | None = None

    def kill(self, reason: str = "operator") -> None:
        """See Control."""
        super().kill(reason)
        self.on_kill()

    def check(self) -> None:
        """See Control."""
        super().check()
        if self.on_check is not None:
            self.on_check()


class Turn:
    """One run's turn in `turns`, beginning with `place`, which it has been granted.

    `entry` is its way through the lock of its slot, `contended` whether anybody waits for something that this
    run may hold; `on_sleep` hears on the loop's thread that the run sleeps, and that it runs again.
    """

    def __init__(
        self,
        place: Place,
        entry: Entry,
        turns: Turns,
        clock: SleepingClock,
        control: RunControl,
        contended: Callable[[], bool],
        on_sleep: Callable[[bool], None] = lambda _asleep: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = place
        self._entry = entry
        self._turns = turns
        self._clock = clock
        self._control = control
        self._contended = contended
        self._on_sleep = on_sleep
        self._go = Event()
        self._slice_ends = monotonic() + SLICE_S
        control.on_kill = self._go.set

    # On the run's thread

    def pause(self, us: int) -> None:
        """Services.pause: sleep on the device's clock while others have slot and turn."""
        self._control.check()
        if us == 0 and not self._contended():
            return
        until = self._clock.now_us() + us
        self._tell(self._step_aside, self._entry)
        self._clock.sleep_until(until, self._control.stopped)
        self._come_back(self._entry)

    def share(self) -> None:
        """Let others run when this one has run for a while; the slot stays its own."""
        if monotonic() >= self._slice_ends and self._turns.contended:
            kept = Kept(self._entry)
            self._tell(self._step_aside, kept)
            self._come_back(kept)

    def _come_back(self, gate: Gate) -> None:
        self._go.clear()
        self._tell(self._ask, gate)
        self._go.wait()
        self._slice_ends = monotonic() + SLICE_S
        Control.check(self._control)

    def _tell(self, step: Callable[[Gate], None], gate: Gate) -> None:
        self._loop.call_soon_threadsafe(step, gate)

    # On the loop's thread

    def end(self) -> None:
        """The run is over: give back what it holds."""
        self._place.give_back()

    def _step_aside(self, gate: Gate) -> None:
        keeps = isinstance(gate, Kept)
        if keeps:
            self._place.gate = OPEN
        self._place.give_back()
        if not keeps:
            self._on_sleep(True)

    def _ask(self, gate: Gate) -> None:
        if self._control.stopped.is_set():
            self._go.set()
            return
        if gate is self._entry:
            self._entry.claim()
            self._on_sleep(False)
        old = self._place
        self._place = self._turns.request(old.device, old.client, gate, self._go.set)


@dataclass(frozen=True, slots=True)
class Kept:
    """The gate of a run that is past it, and will give it back in the end."""

    gate: Gate

    def try_enter(self) -> bool:
        """See pool.Gate."""
        return True

    def leave(self) -> None:
        """See pool.Gate."""
        self.gate.leave()
