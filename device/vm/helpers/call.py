"""A call as the helper's function sees it: guest memory that names the argument, and services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from device.vm.faults import GuestFault
from device.vm.memory import GuestMemory
from device.vm.ports import Clock, Console, KeyValueStore


@dataclass(frozen=True, slots=True)
class Services:
    """What helpers need from outside. `local` is the slot's store, `shared` the device's.

    `warn` takes a line for the log; each text comes at most once in a run.
    """

    local: KeyValueStore
    shared: KeyValueStore
    clock: Clock
    console: Console
    warn: Callable[[str], None]


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
            helper=self.helper,
            argument=argument,
        )
