"""A call as the helper's function sees it: guest memory that names the argument, and services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from device.vm.faults import GuestFault
from device.vm.helpers.bare import BareBoard
from device.vm.memory import GuestMemory
from device.vm.packet import Packet
from device.vm.ports import Board, Clock, Console, KeyValueStore


@dataclass(frozen=True, slots=True)
class Services:
    """What helpers need from outside. `local` is the slot's store, `shared` the device's.

    `warn` takes a line for the log; each text comes at most once in a run. `pause` lets so many microseconds
    of the device's time pass, or gives others their turn when they are 0; it raises GuestFault KILLED when
    the run has to stop. `sound_class`: see Profile. `packet` is there in a packet run.
    """

    local: KeyValueStore
    shared: KeyValueStore
    clock: Clock
    console: Console
    warn: Callable[[str], None]
    board: Board = field(default_factory=BareBoard)
    pause: Callable[[int], None] = lambda _us: None
    sound_class: bool = True
    packet: Packet | None = None


@dataclass(slots=True)
class Call:
    """One helper in one run. Memory is reached by argument number, from 1, so that a fault names it."""

    helper: int
    name: str
    memory: GuestMemory
    services: Services
    warned: set[str] = field(default_factory=set)

    def read(self, argument: int, address: int, size: int) -> bytes:
        """`size` bytes; size 0 is always legal."""
        try:
            return self.memory.read(address, size)
        except GuestFault as fault:
            raise self.blame(fault, argument) from None

    def read_string(self, argument: int, address: int, limit: int | None) -> bytes:
        """The bytes before a NUL within `limit` bytes and one region."""
        try:
            return self.memory.read_string(address, limit)
        except GuestFault as fault:
            raise self.blame(fault, argument) from None

    def read_prefix(self, argument: int, address: int, size: int) -> bytes:
        """The bytes before a NUL, or `size` of them when there is none."""
        try:
            return self.memory.read_prefix(address, size)
        except GuestFault as fault:
            raise self.blame(fault, argument) from None

    def write(self, argument: int, address: int, payload: bytes) -> None:
        """Write all of it or nothing; no bytes are always legal."""
        try:
            self.memory.write(address, payload)
        except GuestFault as fault:
            raise self.blame(fault, argument) from None

    def warn_once(self, text: str) -> None:
        """A line for the log, the first time that the run gives reason for it."""
        if text not in self.warned:
            self.warned.add(text)
            self.services.warn(text)

    def blame(self, fault: GuestFault, argument: int) -> GuestFault:
        """The fault with the helper and the argument that caused it."""
        return GuestFault(
            fault.code,
            f"{self.name}, argument {argument}: {fault.detail}",
            address=fault.address,
            size=fault.size,
            access=fault.access,
            region=fault.region,
            distance=fault.distance,
            helper=self.helper,
            argument=argument,
        )
