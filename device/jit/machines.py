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
    """Gives out machines, of which there are at most `limit` at a time, None for any number.

    What was given back last is used first: its code is loaded. Any thread may call anything here. To take and
    to give back is a pop and an append, which threads cannot see halfway; a lock is for those who wait.
    """

    def __init__(self, make: Callable[[Watchdog], Processor], limit: int | None = None) -> None:
        self.limit = limit
        self.watchdog = Watchdog()
        self._make = make
        self._idle: list[Processor] = []
        # A right for each machine that may be used at a time. Who has one finds a machine idle, or makes one.
        self._rights: list[None] = [None] * (limit or 0)
        self._made = 0
        self._changed = Condition()
        self._waiting = 0
        self._closed = False

    @property
    def made(self) -> int:
        """How many machines there are."""
        return self._made

    def claim(self) -> Claim | None:
        """The right to a machine, or None when all are in use."""
        return Claim(self) if self._take_right() else None

    def lend(self) -> Processor | None:
        """A machine for the calling thread, to be given back; None when all are in use."""
        if not self._take_right():
            return None
        try:
            return self.take()
        except BaseException:
            self.give_back(None)
            raise

    def wait(self, check: Callable[[], None]) -> Claim:
        """A claim, sooner or later. `check` raises when the caller is to wait no longer."""
        while (claim := self.claim()) is None:
            check()
            if self._closed:
                raise MachineError("the machines are gone")
            with self._changed:
                self._waiting += 1
                try:
                    self._changed.wait_for(self._is_free, _LOOK_S)
                finally:
                    self._waiting -= 1
        return claim

    def close(self) -> None:
        """Free all machines, those in use when they come back; none is made any more."""
        self._closed = True
        self._free_idle()
        self.watchdog.close()

    def _is_free(self) -> bool:
        return not self._closed and (self.limit is None or bool(self._rights))

    def _take_right(self) -> bool:
        if self._closed:
            return False
        if self.limit is not None:
            try:
                self._rights.pop()
            except IndexError:
                return False
        return True

    def _free_idle(self) -> None:
        while self._idle:
            try:
                processor = self._idle.pop()
            except IndexError:
                return
            processor.adopt()
            processor.close()
            with self._changed:
                self._made -= 1

    # For who has a right

    def take(self) -> Processor:
        """A machine of the calling thread's."""
        try:
            processor = self._idle.pop()
        except IndexError:
            processor = self._make(self.watchdog)
            with self._changed:
                self._made += 1
        processor.adopt()
        return processor

    def give_back(self, processor: Processor | None) -> None:
        """Give up the right, with the machine that was taken for it."""
        if processor is not None:
            self._idle.append(processor)
        if self.limit is not None:
            self._rights.append(None)
            if self._waiting:
                with self._changed:
                    self._changed.notify()
        if self._closed:
            self._free_idle()


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
