"""Programs that mean harm: each ends in the named refusal or fault, on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import pytest

from device.engines import ENGINES
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.helpers import HELPERS, CheckedByHelper, Helper, ReadableString, gate
from device.vm.interpreter import InterpreterEngine
from device.vm.memory import (
    CONTEXT_BASE,
    PACKET_BUFFER_BASE,
    PACKET_VIEW_BASE,
    STACK_TOP,
    GuestMemory,
    Region,
)
from device.vm.packet import Packet, PacketRequest
from device.vm.program import Control, Engine, Layout, Outcome, Program, Run, build_memory
from device.vm.verifier import verify
from tests.unit import hostile_programs as hostile
from tests.unit.helper_bench import Bench

EVERY: Final[Mapping[str, Engine]] = {
    **ENGINES,
    "generated": InterpreterEngine(hot_after=0, background=False),
    "closures": InterpreterEngine(hot_after=None),
}
"""The engines, and both tiers of the interpreter by themselves."""

LETTERS = b"a" * 16


def made(text: str | bytes, fields: Mapping[str, Any]) -> Program:
    raw = assemble(text) if isinstance(text, str) else text
    return Program(raw, **{"layout": Layout.TEXT, "digest": b"", **fields})


def run(engine: str, program: Program, *, budget: int = 20_000, **options: Any) -> tuple[Outcome, bytes]:
    """The outcome, and everything that the run could have written but the stack."""
    bench = Bench()
    data, context = program.fresh_data(), bytearray(LETTERS)
    memory = build_memory(
        program, data, context,
        context_writable=options.get("context_writable", True), frame_size=options.get("frame_size", 512),
    )  # fmt: skip
    seconds = options.get("seconds")
    state = Run(
        memory,
        gate(memory, bench.services, HELPERS),
        budget=budget,
        r1=CONTEXT_BASE,
        r2=len(context),
        control=Control(None if seconds is None else monotonic() + seconds),
    )
    return EVERY[engine].run(program, state), bytes(data) + bytes(context) + b"".join(bench.state()[3:])


@pytest.mark.parametrize(("text", "finding"), hostile.REFUSED.values(), ids=list(hostile.REFUSED))
def test_refused(text: str | bytes, finding: str) -> None:
    report = verify(made(text, {}), helpers={number: helper.name for number, helper in HELPERS.items()})
    assert not report.accepted
    assert finding in [found.id for found in report.errors]


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("text", [row[0] for row in hostile.REFUSED.values()], ids=list(hostile.REFUSED))
def test_an_engine_that_gets_it_all_the_same_comes_to_an_end(text: str | bytes, engine: str) -> None:
    program = made(text, {})
    outcome, _ = run(engine, program)
    expected, _ = run("switch", program)
    assert (outcome.r0, outcome.instructions) == (expected.r0, expected.instructions)
    assert (outcome.fault and (outcome.fault.code, outcome.fault.pc)) == (
        expected.fault and (expected.fault.code, expected.fault.pc)
    )


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("case", hostile.FAULTS.values(), ids=list(hostile.FAULTS))
def test_faults(case: hostile.Run, engine: str) -> None:
    program = made(case.text, case.fields)
    assert verify(program, helpers=HELPERS, frame_size=case.frame_size).accepted
    outcome, _ = run(
        engine, program, budget=case.budget, seconds=case.seconds,
        context_writable=case.context_writable, frame_size=case.frame_size,
    )  # fmt: skip
    fault = outcome.fault
    assert fault is not None
    assert (fault.code, fault.address) == (case.code, case.address)
    assert case.pc in (-1, fault.pc)
    if case.code is FaultCode.OUT_OF_INSTRUCTIONS:
        assert outcome.instructions == case.budget


# Helpers: every pointer one byte out, and lengths of 4 GiB.

CONTEXT_END = CONTEXT_BASE + len(LETTERS)
VALID = STACK_TOP - 256
"""Zeros on the stack, for pointers that are not the point."""

_TESTED_ELSEWHERE = ("the packet context", "R str 256 for %s")
"""Pointers only in a packet run, and only for a format that says so: `test_formats`."""

POINTERS = [
    (number, position)
    for number, helper in HELPERS.items()
    for position, parameter in enumerate(helper.parameters, 1)
    if parameter.contract is not None and str(parameter.contract) not in _TESTED_ELSEWHERE
]


def arguments(helper: Helper, position: int, wrong: int) -> list[int]:
    """Small numbers and valid pointers, but for one."""
    values = [8 if parameter.contract is None else VALID for parameter in helper.parameters]
    values[position - 1] = wrong
    return values


def calling(helper: int, values: list[int]) -> Program:
    loads = "\n".join(f"lddw r{register}, {value}" for register, value in enumerate(values, 1))
    return made(f"{loads}\ncall {helper}\nexit", {})


def one_byte_out(helper: Helper, position: int) -> int:
    """The last address at which the pointer is wrong by a byte: what is there is not a whole value."""
    contract = helper.parameters[position - 1].contract
    if isinstance(contract, ReadableString):
        return CONTEXT_END - 1  # a letter, and no NUL behind it
    if isinstance(contract, CheckedByHelper):
        return CONTEXT_END
    size = getattr(contract, "size", 8)
    return CONTEXT_END + 1 - (size if isinstance(size, int) else 8)


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize(
    ("number", "position"), POINTERS, ids=[f"0x{number:02x}-{position}" for number, position in POINTERS]
)
def test_a_pointer_one_byte_out(number: int, position: int, engine: str) -> None:
    helper = HELPERS[number]
    values = arguments(helper, position, one_byte_out(helper, position))
    before = run(engine, made("mov r0, 0\nexit", {}))[1]
    outcome, after = run(engine, calling(number, values))
    fault = outcome.fault
    assert fault is not None
    assert (fault.code, fault.helper, fault.argument) == (FaultCode.ILLEGAL_MEM, number, position)
    assert fault.pc == 2 * len(values)
    assert after == before


HUGE = 0xFFFFFFFF
LENGTHS: list[tuple[str, int, list[int], int]] = [
    ("memcpy", 0x02, [CONTEXT_BASE, VALID, HUGE], 1),
    ("memcpy, one too many", 0x02, [CONTEXT_BASE, VALID, 17], 1),
    ("memcpy, upper half", 0x02, [CONTEXT_BASE, VALID, 0x5_0000_0011], 1),
    ("memcpy, source", 0x02, [VALID, CONTEXT_BASE, 17], 2),
    ("memcpy, nothing mapped", 0x02, [0, 0, HUGE], 1),
    ("send_packet", 0x102, [CONTEXT_BASE, HUGE], 1),
    ("send_packet, one too many", 0x102, [CONTEXT_BASE, 17], 1),
    ("read_packet", 0x103, [CONTEXT_BASE, HUGE], 1),
    ("read_packet at the end", 0x103, [CONTEXT_END - 1, 2], 1),
    ("strlen without NUL", 0x52, [CONTEXT_BASE], 1),
    ("strlen of nothing", 0x52, [0], 1),
    ("periodic wakeup", 0x61, [CONTEXT_END - 3, HUGE], 1),
]  # fmt: skip


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize(
    ("helper", "values", "argument"), [row[1:] for row in LENGTHS], ids=[row[0] for row in LENGTHS]
)
def test_lengths(helper: int, values: list[int], argument: int, engine: str) -> None:
    before = run(engine, made("mov r0, 0\nexit", {}))[1]
    outcome, after = run(engine, calling(helper, values))
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.argument) == (FaultCode.ILLEGAL_MEM, argument)
    assert after == before


# format, the values, the faulting argument or None
FORMATS: list[tuple[str, bytes, list[int], int | None]] = [
    ("%s of a wild pointer", b"%s", [0x1000], 2),
    ("fourth %s", b"%d%d%d%s", [1, 2, 3, 0xDEAD_BEEF], 5),
    ("%.*s longer than its region", b"%.*s", [HUGE >> 1, CONTEXT_BASE], 3),
    ("%n writes nothing", b"%n", [CONTEXT_BASE], None),
    ("a fifth conversion", b"%x%x%x%x%x%x", [1, 2, 3, 4], None),
    ("a width of 2^31 - 1", b"%*d", [HUGE >> 1, 5], None),
    ("a width of twenty digits", b"%99999999999999999999d", [5], None),
    ("a precision of 2^31 - 1", b"%.2147483647d", [5], None),
    ("cut in the middle", b"%-+ #0", [], None),
]  # fmt: skip


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize(
    ("text", "values", "argument"), [row[1:] for row in FORMATS], ids=[row[0] for row in FORMATS]
)
def test_formats(text: bytes, values: list[int], argument: int | None, engine: str) -> None:
    stores = "".join(f"stb [r10-{64 - at}], {byte}\n" for at, byte in enumerate(text + b"\0"))
    loads = "".join(f"lddw r{register}, {value}\n" for register, value in enumerate(values, 2))
    outcome, _ = run(engine, made(f"{stores}{loads}mov r1, r10\nadd r1, -64\ncall 1\nexit", {}))
    if argument is None:
        assert outcome.fault is None
        assert outcome.r0_signed is not None
        assert -22 <= outcome.r0_signed <= 512
    else:
        assert outcome.fault is not None
        assert (outcome.fault.code, outcome.fault.argument) == (FaultCode.ILLEGAL_MEM, argument)


# Packet runs: the context's address is the only one that 0x40 to 0x43 take; everything has its last byte.

PACKETS: list[tuple[str, str, int, int | None]] = [
    *((f"0x{id_:x} of another", f"add r1, 1\ncall {id_}", CONTEXT_BASE + 1, 1) for id_ in range(0x40, 0x44)),
    *((f"0x{id_:x} of null", f"mov r1, 0\ncall {id_}", 0, 1) for id_ in range(0x40, 0x44)),
    ("write to the context", "stxdw [r1], r1", CONTEXT_BASE, None),
    ("behind the context", "ldxb r0, [r1+24]", CONTEXT_BASE + 24, None),
    ("write to the view", "ldxdw r3, [r1]\nstxw [r3+4], r1", PACKET_VIEW_BASE + 4, None),
    ("behind the view", "ldxdw r3, [r1]\nldxb r0, [r3+16]", PACKET_VIEW_BASE + 16, None),
    ("behind the buffer", "ldxdw r3, [r1+8]\nstb [r3+128], 1", PACKET_BUFFER_BASE + 128, None),
    ("over the buffer's end", "ldxdw r3, [r1+8]\nstxdw [r3+121], r1", PACKET_BUFFER_BASE + 121, None),
    ("before the buffer", "ldxdw r3, [r1+8]\nldxb r0, [r3-1]", PACKET_BUFFER_BASE - 1, None),
    (
        "a payload of 4 GiB", "ldxdw r1, [r1+8]\nmov r2, r1\nlddw r3, 0xffffffff\ncall 2",
        PACKET_BUFFER_BASE, 1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize(
    ("text", "address", "argument"), [row[1:] for row in PACKETS], ids=[row[0] for row in PACKETS]
)
def test_packets(text: str, address: int, argument: int | None, engine: str) -> None:
    packet = Packet(PacketRequest(True, 7, b"\x01\x02", 1, (), b"hello"))
    bench, program = Bench(packet=packet), made(f"{text}\nmov r0, 0\nexit", {})
    memory = GuestMemory(
        [Region("the context", CONTEXT_BASE, packet.context, writable=False), *packet.regions]
    )
    before = bytes(packet.buffer)
    state = Run(memory, gate(memory, bench.services, HELPERS), r1=CONTEXT_BASE, r2=len(packet.context))
    fault = EVERY[engine].run(program, state).fault
    assert fault is not None
    assert (fault.code, fault.address, fault.argument) == (FaultCode.ILLEGAL_MEM, address, argument)
    assert bytes(packet.buffer) == before
