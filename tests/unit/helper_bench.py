"""A run's surroundings for tests of helpers: memory with known bytes, and services that remember."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from device.peripherals import Signal, make_board
from device.vm.helpers import HELPERS, Helper, Services, gate
from device.vm.memory import CONTEXT_BASE, DATA_BASE, RODATA_BASE, GuestMemory, Region
from device.vm.packet import Packet

SCRATCH = DATA_BASE
"""Address of 64 writable bytes, 0xee each."""
INPUT = CONTEXT_BASE
"""Address of the bytes that a test puts in."""
CONSTANT = RODATA_BASE
"""Address of read-only bytes."""


@dataclass
class DictStore:
    """A KeyValueStore of two entries."""

    entries: dict[int, int] = field(default_factory=dict)
    capacity: int = 2

    def fetch(self, key: int) -> int | None:
        return self.entries.get(key)

    def store(self, key: int, value: int) -> bool:
        if key not in self.entries and len(self.entries) >= self.capacity:
            return False
        self.entries[key] = value
        return True


@dataclass
class FixedClock:
    us: int = 0

    def now_us(self) -> int:
        return self.us


@dataclass
class Printed:
    content: bytearray = field(default_factory=bytearray)

    def write(self, text: bytes) -> None:
        self.content += text


@dataclass
class Pauses:
    """Lets time pass on a clock."""

    clock: FixedClock
    taken: list[int] = field(default_factory=list)

    def __call__(self, us: int) -> None:
        self.taken.append(us)
        self.clock.us += us


class Bench:
    """Calls helpers through the gate of one run."""

    def __init__(
        self,
        content: bytes = b"",
        *,
        clock_us: int = 0,
        available: Mapping[int, Helper] = HELPERS,
        allowed: Collection[int] | None = None,
        board: str = "native",
        signals: Mapping[str, Signal] | None = None,
        sound_class: bool = True,
        packet: Packet | None = None,
    ) -> None:
        self.scratch = bytearray(b"\xee" * 64)
        self.input = bytearray(content)
        self.constant = bytearray(b"constant\0")
        self.local, self.shared, self.console = DictStore(), DictStore(), Printed()
        self.warnings: list[str] = []
        self.memory = GuestMemory(
            [
                Region(".rodata", CONSTANT, self.constant, writable=False),
                Region(".data", SCRATCH, self.scratch, writable=True),
                Region("the context", INPUT, self.input, writable=True),
                *(packet.regions if packet else ()),
            ]
        )
        self.clock = FixedClock(clock_us)
        self.pauses = Pauses(self.clock)
        self.board = make_board(board, self.clock.now_us, signals)
        self.services = Services(
            self.local,
            self.shared,
            self.clock,
            self.console,
            self.warnings.append,
            board=self.board,
            pause=self.pauses,
            sound_class=sound_class,
            packet=packet,
        )
        self._available, self._allowed = available, allowed
        self.use(self.services)

    def use(self, services: Services) -> None:
        """Have the calls that follow find other services."""
        self._gate = gate(self.memory, services, self._available, self._allowed)

    def call(self, helper: int, *arguments: int) -> int:
        """r0 of the call; the registers that are not given hold garbage, as in a program."""
        registers = (*arguments, *(0xDEADBEEF_DEADBEEF,) * 5)[:5]
        r1, r2, r3, r4, r5 = registers
        return self._gate(helper, r1, r2, r3, r4, r5)

    def state(self) -> tuple[bytes, ...]:
        """Everything that a call could have changed."""
        stores = f"{self.local.entries} {self.shared.entries} {self.warnings}".encode()
        memory = (bytes(self.scratch), bytes(self.input), bytes(self.constant), bytes(self.memory.stack.data))
        board = f"{self.board.state()} {self.board.magic} {self.pauses.taken}".encode()
        return (*memory, bytes(self.console.content), stores, board)
