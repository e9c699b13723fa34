"""One case on one engine: what programs.md section 6 says that engines agree on, and nothing else.

Helper calls go through a gate that records them. Most ids are the real helpers of the table; the others are
here, made to look at as much as possible: all five registers in full, and memory as it is during the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from time import monotonic
from types import MappingProxyType
from typing import Final
from zlib import crc32

from device.storage.stores import MemoryStore
from device.vm.faults import Fault, FaultCode, GuestFault
from device.vm.helpers import HELPERS, Call, CType, Helper, Parameter, Services, gate
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    PACKET_BUFFER_BASE,
    PACKET_VIEW_BASE,
    GuestMemory,
    Region,
)
from device.vm.program import PERIODIC_WAKEUP, Control, Engine, HelperGate, Program, Run, build_memory
from tests.property.differential.case import Case

DEADLINE_S: Final = 10.0
"""A run that takes longer hangs. Budgets are small: `switch` needs a hundredth of it."""

HANGS: Final = 3
"""Times that a run has to hang to be taken for one that does."""

LATE: Final = "deadline"
"""The reason that a run past its deadline is killed for, and what such a fault is called here."""

_LEFT_OVER: Final = bytes(range(1, 256)) * 17
"""What the stack holds before a run: engines make it zero."""

MIX: Final = 0xF0
REFUSE: Final = 0xF1
SUM: Final = 0xF2
POKE: Final = 0xF3
SLEEP: Final = PERIODIC_WAKEUP
SLEEPS: Final = 5
"""How often a program can sleep before the operator has enough of it: its budget may begin anew each time."""


def _mix(_call: Call, *values: int) -> int:
    total = 0x9E3779B97F4A7C15
    for value in values:
        total = (total ^ value) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return total


def _refuse(_call: Call, *values: int) -> int:
    """Refuses odd first arguments with a fault that names no argument."""
    if values[0] & 1:
        place = values[1] & 0xFFFFFFFF
        raise GuestFault(FaultCode.ILLEGAL_MEM, "refused", address=place, size=1, helper=REFUSE)
    return 0xFFFFFFFF00000000 | values[0] & 0xFFFFFFFF


def _sum(call: Call, address: int, size: int) -> int:
    return crc32(call.read(1, address, size))


def _poke(call: Call, address: int, value: int) -> int:
    call.write(1, address, value.to_bytes(8, "little"))
    return value


def _sleep(call: Call, _time: int, _period: int) -> int:
    """Meanwhile the slot's memory changes, as when another run of the slot had its turn."""
    slept = (call.services.local.fetch(SLEEP) or 0) + 1
    call.services.local.store(SLEEP, slept)
    if slept > SLEEPS:
        raise GuestFault(FaultCode.KILLED, "operator")
    for region in call.memory.regions:
        if region.base == DATA_BASE:
            region.data[0] = (region.data[0] + 1) & 0xFF
    return 0


def _words(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, CType.U64) for name in names)


_ALL: Final = _words("r1", "r2", "r3", "r4", "r5")
_OWN: Final = (
    Helper(MIX, "uint64_t mix(...)", "all five registers", _ALL, CType.U64, _mix),
    Helper(REFUSE, "uint64_t refuse(...)", "faults now and then", _ALL, CType.U64, _refuse),
    Helper(
        SUM,
        "uint32_t sum(const void *from, size_t n)",
        "checksum of memory",
        (Parameter("from", CType.POINTER), Parameter("n", CType.SIZE)),
        CType.U32,
        _sum,
    ),
    Helper(
        POKE,
        "uint64_t poke(void *to, uint64_t value)",
        "writes eight bytes",
        (Parameter("to", CType.POINTER), Parameter("value", CType.U64)),
        CType.U64,
        _poke,
    ),
)
_SLEEP: Final = Helper(
    SLEEP,
    "void sleep(uint32_t *time, uint32_t period)",
    "lets others have their turn",
    (Parameter("time", CType.U32), Parameter("period", CType.U32)),
    CType.VOID,
    _sleep,
)
_BORROWED: Final = (0x01, 0x02, 0x10, 0x11, 0x12, 0x13, 0x20, 0x50, 0x51, 0x52, 0x60)
CALLABLE: Final[Mapping[int, Helper]] = MappingProxyType(
    {number: HELPERS[number] for number in _BORROWED} | {helper.id: helper for helper in (*_OWN, _SLEEP)}
)
"""The helpers that exist for the programs of this fuzzer."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run came to. `raised` is what no engine may do: an exception out of `run`."""

    r0: int | None
    fault: tuple[object, ...] | None
    instructions: int
    memory: tuple[bytes, ...]
    calls: tuple[tuple[object, ...], ...]
    raised: str | None = None

    def differs_in(self, other: Observed) -> tuple[str, ...]:
        """The names of the fields that are not equal."""
        names = (field.name for field in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


class _Ticking:
    """A Clock that goes on with each look at it."""

    def __init__(self) -> None:
        self._us = 0

    def now_us(self) -> int:
        self._us += 1500
        return self._us


class _Silent:
    def write(self, text: bytes) -> None:
        """A Console that keeps nothing."""


def execute(engine: Engine, program: Program, case: Case) -> Observed:
    """Run from a fresh state. Raises nothing. A run that hung is tried again: the machine may have slept."""
    for _ in range(HANGS):
        observed = _run(engine, program, case)
        if observed.fault is None or observed.fault[0] != LATE:
            break
    return observed


def _run(engine: Engine, program: Program, case: Case) -> Observed:
    setup = case.setup
    data, context = program.fresh_data(), bytearray(setup.context)
    extra = [(bytearray(content), writable) for content, writable in setup.extra]
    memory = build_memory(
        program,
        data,
        context,
        context_writable=setup.context_writable,
        extra=extra,
        frame_size=setup.frame_size,
    )
    if setup.packet is not None:
        memory = GuestMemory((*memory.regions[1:], *_packet(*setup.packet)), memory.stack)
    memory.stack.data[:] = _LEFT_OVER[: len(memory.stack.data)]
    calls: list[tuple[object, ...]] = []
    run = Run(
        memory=memory,
        call_helper=_recording(memory, case, calls),
        budget=case.budget,
        r1=(CONTEXT_BASE if context else 0) if setup.r1 is None else setup.r1,
        r2=len(context) if setup.r2 is None else setup.r2,
        control=Control(monotonic() + DEADLINE_S),
        rules=setup.rules,
        renews=setup.renews,
    )
    try:
        outcome = engine.run(program, run)
    except Exception as error:  # noqa: BLE001  # that is what the fuzzer looks for
        return Observed(None, None, 0, (), (), f"{type(error).__name__}: {error}")
    content = tuple(bytes(region.data) for region in memory.regions)
    return Observed(outcome.r0, _essence(outcome.fault), outcome.instructions, content, tuple(calls))


def _packet(view: bytes, buffer: bytes) -> tuple[Region, Region]:
    """The regions of a packet hook (device/vm/packet.py)."""
    return (
        Region("the packet view", PACKET_VIEW_BASE, bytearray(view), writable=False),
        Region("the packet buffer", PACKET_BUFFER_BASE, bytearray(buffer), writable=True),
    )


def _essence(fault: Fault | None) -> tuple[object, ...] | None:
    """What engines agree on of a fault; not its words, nor its registers."""
    if fault is None:
        return None
    name = LATE if fault.code is FaultCode.KILLED and fault.detail == LATE else fault.name
    return (name, fault.pc, fault.address, fault.size, fault.access, fault.helper)


def _recording(memory: GuestMemory, case: Case, calls: list[tuple[object, ...]]) -> HelperGate:
    """A gate that notes each call: id, arguments cut to their types, a checksum of memory as it is then."""
    services = Services(MemoryStore(), MemoryStore(), _Ticking(), _Silent(), lambda _text: None)
    inner = gate(memory, services, CALLABLE, case.setup.allowed)

    def call_helper(number: int, *registers: int) -> int:
        helper = CALLABLE.get(number)
        types = () if helper is None else [parameter.type for parameter in helper.parameters]
        cut = tuple(kind.cut(register) for kind, register in zip(types, registers, strict=False))
        checksum = 0
        for region in memory.regions:
            checksum = crc32(region.data, checksum)
        calls.append((number, cut, checksum))
        return inner(number, *registers)

    return call_helper
