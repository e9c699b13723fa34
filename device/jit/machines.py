"""The machines of one device: few, made when first needed, used by one run at a time (engines.md)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import Final

from device.jit.errors import MachineError
from device.jit.processor import Processor
from device.jit.watchdog import Watchdog

_LOOK_S: Final = 0.02
"""Seconds between two looks of a run that waits for a machine at whether it has been stopped."""


class Machines:
    """Gives out claims to machines, of which there are at most `limit` at a time, None for any number.

    What was given back last is used first: its code is loaded. Any thread may call anything here.
    """

    def __init__(self, make: Callable[[Watchdog], Processor], limit: int | None = None) -> None:
        self.limit = limit
        self.watchdog = Watchdog()
        self._make = make
        self._idle: list[Processor] = []
        self._claimed = 0
        self._made = 0
        self._changed = Condition()
        self._closed = False

    @property
    def made(self) -> int:
        """How many machines there are."""
        return self._made

    def claim(self) -> Claim | None:
        """The right to a machine, or None when all are in use."""
        with self._changed:
            if not self._is_free():
                return None
            self._claimed += 1
            return Claim(self)

    def wait(self, check: Callable[[], None]) -> Claim:
        """The same, sooner or later. `check` raises when the caller is to wait no longer."""
        while (claim := self.claim()) is None:
            check()
            if self._closed:
                raise MachineError("the machines are gone")
            with self._changed:
                self._changed.wait_for(self._is_free, _LOOK_S)
        return claim

    def close(self) -> None:
        """Free all machines, those in use when they come back; none is made any more."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
        for processor in idle:
            processor.adopt()
            self._free(processor)
        self.watchdog.close()

    def _is_free(self) -> bool:
        return not self._closed and (self.limit is None or self._claimed < self.limit)

    def _free(self, processor: Processor) -> None:
        processor.close()
        self._made -= 1

    # For claims

    def take(self) -> Processor:
        """A machine of the calling thread's, which has a claim."""
        with self._changed:
            processor = self._idle.pop() if self._idle else None
        if processor is None:
            processor = self._make(self.watchdog)
            with self._changed:
                self._made += 1
        processor.adopt()
        return processor

    def give_back(self, processor: Processor | None) -> None:
        """A claim is given up, with the machine that it had."""
        with self._changed:
            self._claimed -= 1
            closed = self._closed
            if processor is not None and not closed:
                self._idle.append(processor)
            self._changed.notify()
        if processor is not None and closed:
            self._free(processor)


class Claim:
    """The right to one machine, until it is released. The machine is there when it is first asked for."""

    __slots__ = ("_machines", "_processor", "_released")

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._processor: Processor | None = None
        self._released = False

    def processor(self) -> Processor:
        """The machine. All calls have to come from one thread."""
        if self._processor is None:
            self._processor = self._machines.take()
        return self._processor

    def release(self) -> None:
        """Give it up, from the thread that used the machine or when none did; a second time is nothing."""
        if not self._released:
            self._released = True
            self._machines.give_back(self._processor)
