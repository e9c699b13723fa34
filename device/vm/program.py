"""The values that flow: bytes → Program → Run → Outcome.

Each is frozen; only a Run carries state, and it lives for one execution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from threading import Event
from time import monotonic
from typing import Final, NamedTuple, Protocol

from device.vm.faults import Fault, FaultCode, GuestFault
from device.vm.isa import SLOT_SIZE
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    EXTRA_BASE,
    EXTRA_STRIDE,
    FRAME_SIZE,
    RODATA_BASE,
    GuestMemory,
    Region,
    Stack,
)

BUDGET_DEFAULT: Final = 2_000_000
BUDGET_MAX: Final = 2**32 - 1
PERIODIC_WAKEUP: Final = 0x61
"""The helper that sleeps: the budget of a long run begins anew when it returns (programs.md section 5)."""


class Layout(Enum):
    """Image layouts, by the names that people use (programs.md section 2)."""

    TEXT = "text"
    FEMTO = "femto"
    SMING = "sming"
    EXTENDED = "extended"
    ELF = "elf"

    @property
    def code(self) -> int:
        """The code of µBPF's configuration word; both headers without calls and helpers have 1."""
        return _LAYOUT_CODES[self]

    @property
    def has_header(self) -> bool:
        """Whether `lddwd` and `lddwr` mean something: .data and .rodata are where the header says."""
        return self in (Layout.FEMTO, Layout.SMING, Layout.EXTENDED)

    def admits(self, detected: Layout) -> bool:
        """Whether bytes of the other layout may be declared as this one: femto is also said of sming."""
        return self is detected or (self is Layout.FEMTO and detected is Layout.SMING)


_LAYOUT_CODES: Final = {
    Layout.TEXT: 0,
    Layout.FEMTO: 1,
    Layout.SMING: 1,
    Layout.EXTENDED: 2,
    Layout.ELF: 3,
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the linked text: `start` in slots, `name` where the image has one."""

    start: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Program:
    """A linked program: what the verifier judges and the engines run.

    `text` is the linked text, `entry` the slot where a run begins. `rodata` and `data` are the initial
    bytes at RODATA_BASE and DATA_BASE, `bss_size` zero bytes follow data. `functions` are in ascending
    order of start. `lines` maps slots to "file:line" where the object has debug information.
    `digest` is the SHA-256 of the image the program came from. `declared_helpers` are the ids that the
    image itself lists (helpers.md section 9.1, B): None in layouts that cannot list any.
    """

    text: bytes
    layout: Layout
    digest: bytes
    entry: int = 0
    rodata: bytes = b""
    data: bytes = b""
    bss_size: int = 0
    functions: tuple[Function, ...] = ()
    declared_helpers: frozenset[int] | None = None
    lines: Mapping[int, str] = field(default_factory=dict, compare=False)

    @property
    def slots(self) -> int:
        """Slots in the text."""
        return len(self.text) // SLOT_SIZE

    @property
    def tag(self) -> str:
        """The first 8 hex digits of the image's SHA-256: how people name a program."""
        return self.digest.hex()[:8]

    @property
    def has_memory(self) -> bool:
        """Whether runs share .data or .bss, so that they have to be serialised."""
        return bool(self.data) or self.bss_size > 0

    @property
    def relative_data_base(self) -> int:
        """What `lddwd` counts from: .data, or .rodata in an image that has neither .data nor .bss."""
        return DATA_BASE if self.has_memory else RODATA_BASE

    def function_at(self, pc: int) -> str | None:
        """The name of the function that holds slot `pc`, if known."""
        name = None
        for function in self.functions:
            if function.start > pc:
                break
            name = function.name
        return name

    def source_at(self, pc: int) -> str | None:
        """file:line of the last line entry at or before `pc` within its function, if known."""
        start = max((f.start for f in self.functions if f.start <= pc), default=0)
        for slot in range(pc, start - 1, -1):
            if slot in self.lines:
                return self.lines[slot]
        return None

    def locate(self, fault: Fault) -> Fault:
        """The fault with function and source line filled in."""
        return fault.at(function=self.function_at(fault.pc), source=self.source_at(fault.pc))

    def fresh_data(self) -> bytearray:
        """The bytes of .data and .bss as they are after a deploy or a reboot."""
        return bytearray(self.data) + bytearray(self.bss_size)


class Control:
    """The operator's hand on a run: a deadline, and the order to stop.

    Engines call `check` at least every few thousand instructions. `reason` is why the run has to stop, once
    it has to: `operator`, `deadline` or `replaced`.
    """

    __slots__ = ("deadline", "reason", "stopped")

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.reason: str | None = None
        self.stopped = Event()

    def kill(self, reason: str = "operator") -> None:
        """Stop the run. It sets `stopped`."""
        if self.reason is None:
            self.reason = reason
        self.stopped.set()

    def is_due(self) -> bool:
        """Whether the run has to stop, for any thread. Deadlines are on time.monotonic's scale."""
        if self.reason is None and self.deadline is not None and monotonic() > self.deadline:
            self.reason = "deadline"
        return self.reason is not None

    def check(self) -> None:
        """Raise GuestFault KILLED when the run has to stop. For the run's own thread, which may wait here."""
        if Control.is_due(self):
            raise GuestFault(FaultCode.KILLED, self.reason or "")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a profile changes in a run (programs.md sections 5 and 7).

    `branch_limit` is how many taken jumps a run may have, None for any number; `zero_divisor_faults` makes
    a zero divisor ILLEGAL_DIV.
    """

    branch_limit: int | None = None
    zero_divisor_faults: bool = False


PLAIN: Final = Rules()
"""The rules of RFC 9669 and nothing else."""


HelperGate = Callable[[int, int, int, int, int, int], int]
"""(id, r1, r2, r3, r4, r5) → r0 as 64 bits; raises GuestFault. All checks are behind it."""


def no_helpers(helper: int, *_arguments: int) -> int:
    """The gate of a run without any helper."""
    raise GuestFault(FaultCode.ILLEGAL_CALL, f"helper 0x{helper:x} does not exist here", helper=helper)


@dataclass(slots=True)
class Run:
    """Everything one execution needs. `budget` is in instructions, r1 and r2 are the entry's arguments.

    `renews`: the budget begins anew whenever PERIODIC_WAKEUP returns, as in long runs.
    """

    memory: GuestMemory
    call_helper: HelperGate = no_helpers
    budget: int = BUDGET_DEFAULT
    r1: int = 0
    r2: int = 0
    control: Control = field(default_factory=Control)
    rules: Rules = PLAIN
    renews: bool = False


class Outcome(NamedTuple):
    """How a run ended: r0 as an unsigned 64-bit value, or a fault; and the instructions it executed."""

    r0: int | None
    fault: Fault | None
    instructions: int

    @property
    def r0_signed(self) -> int | None:
        """r0 as C's int64_t."""
        return None if self.r0 is None else self.r0 - ((self.r0 >> 63) << 64)


class Engine(Protocol):
    """A way to run a program. All of them agree to the bit (programs.md section 6)."""

    @property
    def name(self) -> str:
        """`switch`, `interpreter` or `jit`."""

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""


def build_memory(
    program: Program,
    data: bytearray,
    context: bytearray | None = None,
    *,
    context_writable: bool = True,
    extra: Sequence[tuple[bytearray, bool]] = (),
    frame_size: int = FRAME_SIZE,
    rodata: bytearray | None = None,
) -> GuestMemory:
    """The memory of one run: `data` is the slot's .data and .bss and keeps what is written.

    So is `rodata` its .rodata, where that may be written to; else the program's own is there to be read.
    `extra` are (bytes, writable) pairs, the k-th at EXTRA_BASE + k * EXTRA_STRIDE.
    """
    regions = [
        Region(
            ".rodata",
            RODATA_BASE,
            bytearray(program.rodata) if rodata is None else rodata,
            writable=rodata is not None,
        ),
        Region(".data", DATA_BASE, data, writable=True),
        Region("the context", CONTEXT_BASE, context or bytearray(), writable=context_writable),
    ]
    for index, (content, writable) in enumerate(extra):
        base = EXTRA_BASE + index * EXTRA_STRIDE
        regions.append(Region(f"extra region {index}", base, content, writable=writable))
    return GuestMemory(regions, Stack(frame_size))
