"""Hostile programs as native code: each reaches its own regions, and nothing else of the machine.

The machine's own pages (layout.py) lie in the address space of the code. What keeps programs out of them are
the compiled checks: everything here is compared with `switch`, and those pages are looked at afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from device.jit.engine import JitEngine
from device.jit.errors import JitError
from device.jit.layout import (
    CODE_BASE,
    CODE_SIZE,
    DISPATCHER,
    MAILBOX,
    PAGE,
    STACK_BASE,
)
from device.jit.processor import Processor
from device.jit.requests import service
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.helpers import HELPERS, gate
from device.vm.memory import CONTEXT_BASE, DATA_BASE, EXTRA_BASE, FRAME_SIZE, RODATA_BASE, STACK_TOP
from device.vm.program import Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.unit.helper_bench import Bench

NAMES = {helper.name: number for number, helper in HELPERS.items()}
CONTEXT, EXTRA, DATA, RODATA = 100, 30, 20, 12


def program(source: str, **fields: object) -> Program:
    given: dict[str, object] = {"data": bytes(DATA), "rodata": bytes(range(RODATA)), **fields}
    return Program(assemble(source, helpers=NAMES), Layout.TEXT, bytes(32), **given)  # type: ignore[arg-type]  # of tests


@dataclass
class State:
    """How a run ended, and all the memory that it had."""

    outcome: Outcome
    memory: list[bytes]


def run(
    engine: JitEngine | SwitchEngine,
    linked: Program,
    context: bytes = bytes(CONTEXT),
    *,
    writable: bool = True,
) -> State:
    extra = [(bytearray(EXTRA), True), (bytearray(EXTRA), False)]
    memory = build_memory(
        linked, linked.fresh_data(), bytearray(context), context_writable=writable, extra=extra
    )
    helpers = gate(memory, Bench().services, HELPERS)
    outcome = engine.run(linked, Run(memory, call_helper=helpers, r1=CONTEXT_BASE, r2=len(context)))
    return State(outcome, [bytes(region.data) for region in memory.regions])


@pytest.fixture(scope="module")
def jit() -> JitEngine:
    """One engine for all: what one program leaves behind, the next would find."""
    return JitEngine(machines=1)


def processor(jit: JitEngine) -> Processor:
    claim = jit.machines.claim()
    assert claim is not None
    found = claim.processor()
    claim.release()
    return found


def own(jit: JitEngine) -> list[bytes]:
    """The pages that nobody may write: code as it is loaded, and the dispatcher."""
    maps = processor(jit).machine._maps
    return [bytes(maps[CODE_BASE].data[: 1 << 16]), bytes(maps[DISPATCHER].data)]


def same(jit: JitEngine, linked: Program, context: bytes = bytes(CONTEXT), *, writable: bool = True) -> State:
    """What it does, natively, twice, as it does in `switch`; the machine's own pages stay what they were."""
    expected = run(SwitchEngine(), linked, context, writable=writable)
    assert run(jit, linked, context, writable=writable) == expected
    before = own(jit)
    assert run(jit, linked, context, writable=writable) == expected
    assert own(jit) == before
    assert run(jit, program("mov r0, 77\nexit")).outcome.r0 == 77
    return expected


# Everything that is its own


def fill(start: str, size: int, label: str) -> str:
    """Overwrite `size` bytes from where register `start` points."""
    return f"""
        mov r5, {size}
    {label}:
        stb [{start}], 0xff
        add {start}, 1
        sub r5, 1
        jne r5, 0, {label}
    """


def deep(level: int, deepest: int) -> str:
    """A function that overwrites its frame, calls the next, and returns the number of levels from it on."""
    below = f"call local f{level + 1}\nadd r0, 1" if level < deepest else "mov r0, 1"
    return f"""
    f{level}:
        mov r6, {level}
        mov r1, r10
        sub r1, {FRAME_SIZE}
        {fill("r1", FRAME_SIZE, f"fill{level}")}
        {below}
        jeq r6, {level}, +1
        mov r0, -1
        exit
    """


SPOILER = f"""
    {fill("r1", CONTEXT, "context")}
    lddw r1, {DATA_BASE}
    {fill("r1", DATA, "data")}
    lddw r1, {EXTRA_BASE}
    {fill("r1", EXTRA, "extra")}
    mov r1, r10
    sub r1, {FRAME_SIZE}
    {fill("r1", FRAME_SIZE, "frame")}
"""
"""Overwrites all that it has."""


def test_it_overwrites_all_that_it_has_and_returns_through_eight_frames(jit: JitEngine) -> None:
    functions = "".join(deep(level, 7) for level in range(1, 8))
    state = same(jit, program(f"{SPOILER}\ncall local f1\nexit\n{functions}"))
    assert state.outcome.r0 == 7
    stack, rodata, data, context, extra, read_only = state.memory
    assert {*stack, *data, *context, *extra} == {0xFF}
    assert (rodata, read_only) == (bytes(range(RODATA)), bytes(EXTRA))


def test_a_callee_overwrites_the_frames_of_its_callers(jit: JitEngine) -> None:
    """They hold what the programs put there, and no return address."""
    text = f"""
        mov r6, 11
        mov r1, r10
        call local below
        add r0, r6
        exit
    below:
        mov r6, 5
        mov r2, r10
        sub r2, {FRAME_SIZE}
        call local lowest
        add r0, r6
        exit
    lowest:
        mov r3, r10
        sub r3, {FRAME_SIZE}
        mov r4, {3 * FRAME_SIZE}
    again:
        stb [r3], 0xee
        add r3, 1
        sub r4, 1
        jne r4, 0, again
        mov r0, 100
        exit
    """
    state = same(jit, program(text))
    assert state.outcome.r0 == 116
    assert set(state.memory[0][-3 * FRAME_SIZE :]) == {0xEE}


def test_nine_deep_is_a_fault(jit: JitEngine) -> None:
    state = same(jit, program("call local f1\nexit\n" + "f1: call local f1\nadd r0, 1\nexit"))
    assert state.outcome.fault is not None
    assert state.outcome.fault.code is FaultCode.CALL_DEPTH


# Everything that is not


FOREIGN = {
    "nothing": 0,
    "code": CODE_BASE,
    "its entry": CODE_BASE + 4,
    "the end of code": CODE_BASE + CODE_SIZE - 8,
    "the dispatcher": DISPATCHER,
    "the native stack": STACK_BASE,
    "return addresses": MAILBOX - 64,
    "below the mailbox": MAILBOX - 8,
    "the mailbox: request": MAILBOX,
    "the mailbox: entry": MAILBOX + 12,
    "the mailbox: budget": MAILBOX + 200,
    "the end of the mailbox": MAILBOX + PAGE - 8,
    "guard pages": MAILBOX + PAGE,
    "guard pages below": STACK_BASE - 8,
    "behind .rodata": RODATA_BASE + RODATA,
    "before .data": DATA_BASE - 8,
    "behind .data": DATA_BASE + DATA,
    "the page of .data": DATA_BASE + PAGE - 8,
    "frames that are not active": STACK_TOP - FRAME_SIZE - 8,
    "behind the stack": STACK_TOP,
    "behind the context": CONTEXT_BASE + CONTEXT,
    "the page of the context": CONTEXT_BASE + PAGE - 8,
    "behind a region": EXTRA_BASE + EXTRA,
    "no region": EXTRA_BASE + 0x20000,
    "peripherals": 0x40000000,
    "bits of memory": 0x22000000,
    "system control": 0xE000ED00,
    "debug": 0xE0001000,
    "the end of everything": 0xFFFFFFF8,
}

ACCESSES = (
    "ldxb r0, [r3]",
    "ldxdw r0, [r3]",
    "ldxsh r0, [r3]",
    "stxb [r3], r2",
    "stxdw [r3], r2",
    "stw [r3], 0x41",
    "lock add [r3], r2",
    "lock xchg [r3], r2",
)
ASKEW = ("ldxw r0, [r3+4]", "ldxdw r0, [r3-3]", "stxh [r3+4], r2", "stdw [r3-3], 0x41")
"""These may begin in a region that the address lies behind."""

FORGED = {
    "known": "lddw r3, {address}",
    "read": "ldxdw r3, [r1]",
    "from the stack": "mov r3, r10\nldxdw r4, [r1+8]\nadd r3, r4",
    "from the context": "mov r3, r1\nldxdw r4, [r1+16]\nadd r3, r4",
    "beyond 32 bits": "ldxdw r3, [r1]\nlddw r4, 0x1234567800000000\nor r3, r4",
    "in a loop": "ldxdw r3, [r1]\nadd r3, -40\nmov r4, 10\nmore: add r3, 4\nsub r4, 1\njne r4, 0, more",
}


def context_for(address: int) -> bytes:
    words = (address, address - STACK_TOP, address - CONTEXT_BASE)
    return b"".join((word & 2**64 - 1).to_bytes(8, "little") for word in words).ljust(CONTEXT, b"\0")


@pytest.mark.parametrize("address", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_forged_addresses_are_faults(jit: JitEngine, forged: str, address: int) -> None:
    context, before = context_for(address), own(jit)[1]
    for access in (*ACCESSES, *ASKEW):
        linked = program(f"mov r2, -1\n{forged.format(address=address)}\n{access}\nmov r0, 1\nexit")
        expected, found = (run(engine, linked, context) for engine in (SwitchEngine(), jit))
        assert found == expected, access
        if access in ACCESSES:
            assert found.outcome.fault is not None, access
            assert found.outcome.fault.code is FaultCode.ILLEGAL_MEM
    assert own(jit)[1] == before
    assert run(jit, program("mov r0, 77\nexit")).outcome.r0 == 77


@pytest.mark.parametrize("region", ["context", "rodata", "extra"])
def test_what_may_only_be_read_stays_what_it_is(jit: JitEngine, region: str) -> None:
    address = {"context": CONTEXT_BASE, "rodata": RODATA_BASE, "extra": EXTRA_BASE + 0x10000}[region]
    for forged in (f"lddw r3, {address}", "ldxdw r3, [r1]"):
        for access in ("stb [r3+1], 5", "stxdw [r3], r2", "lock add [r3], r2"):
            text = f"mov r2, -1\n{forged}\nldxb r0, [r3]\n{access}\nexit"
            state = same(jit, program(text), context_for(address), writable=region != "context")
            assert state.outcome.fault is not None
            assert state.outcome.fault.code is FaultCode.ILLEGAL_MEM


@pytest.mark.parametrize(
    "address", [CODE_BASE, DISPATCHER, MAILBOX - 16, MAILBOX, CONTEXT_BASE + CONTEXT - 3]
)
def test_helpers_write_nowhere_else_either(jit: JitEngine, address: int) -> None:
    for call in ("bpf_memcpy", "bpf_store_local"):
        text = f"ldxdw r3, [r1]\nmov r2, r1\nmov r1, r3\nmov r3, 8\ncall {call}\nmov r0, 1\nexit"
        state = same(jit, program(text), context_for(address))
        if call == "bpf_memcpy":
            assert state.outcome.fault is not None
            assert state.outcome.fault.code is FaultCode.ILLEGAL_MEM


# What others have left


def test_the_stack_of_another_program_is_not_there(jit: JitEngine) -> None:
    same(jit, program(SPOILER + "exit"))
    summed = f"""
        mov r3, r10
        sub r3, {FRAME_SIZE}
        mov r4, {FRAME_SIZE}
        mov r0, 0
    again:
        ldxb r5, [r3]
        or r0, r5
        add r3, 1
        sub r4, 1
        jne r4, 0, again
        exit
    """
    assert same(jit, program(summed)).outcome.r0 == 0


@pytest.mark.parametrize("offset", [10, 63, 64, 99, 500, PAGE - 1])
def test_the_memory_of_another_program_is_not_there(jit: JitEngine, offset: int) -> None:
    """The next has less of it in the same pages."""
    secret = program("ldxb r0, [r1+99]\nexit", data=b"\xaa" * PAGE, rodata=b"\xbb" * PAGE)
    assert same(jit, secret, b"\xcc" * PAGE).outcome.r0 == 0xCC
    for address in (DATA_BASE, RODATA_BASE, CONTEXT_BASE):
        for forged in (f"lddw r3, {address}", "ldxdw r3, [r1]"):
            curious = program(f"{forged}\nldxb r0, [r3+{offset}]\nexit", data=b"", rodata=b"")
            fault = same(jit, curious, address.to_bytes(8, "little")).outcome.fault
            assert fault is not None
            assert fault.code is FaultCode.ILLEGAL_MEM


# Requests


@pytest.mark.parametrize("number", [0, 1, 2, 0xFFFFFFFF], ids=str)
def test_requests_that_code_does_not_have_are_refused(jit: JitEngine, number: int) -> None:
    """Only a mistake of the compiler could ask so: it ends the run, and calls nothing."""
    machine = processor(jit).machine
    calls = list[int]()

    def helper(number: int, *_: int) -> int:
        calls.append(number)
        return 0

    memory = build_memory(program("exit"), bytearray())
    serve = service([], Run(memory, call_helper=helper), machine, 512)
    with pytest.raises(JitError, match="request"):
        serve(number)
    assert calls == []


def test_a_helper_that_may_not_be_called_is_not(jit: JitEngine) -> None:
    """Numbers in code are the compiler's; the gate looks at the id all the same."""
    state = same(jit, program("mov r1, 1\ncall 0x7777\nmov r0, 1\nexit"))
    assert state.outcome.fault is not None
    assert state.outcome.fault.code is FaultCode.ILLEGAL_CALL


def test_the_native_stack_is_large_enough_for_the_deepest_program(jit: JitEngine) -> None:
    """Every function saves all that it can; the machine's stack has a guard page below it."""
    registers = (6, 7, 8, 9)
    take = "\n".join(
        f"lddw r{r}, 0x1{r}00000000{r}\nldxdw r0, [r10-{8 * r}]\nadd r{r}, r0" for r in registers
    )
    use = "\n".join(f"add r0, r{r}" for r in registers)
    text = ""
    for level in range(8):
        below = f"call local f{level + 1}" if level < 7 else "mov r0, 1"
        text += f"f{level}:\n{take}\n{below}\n{use}\nexit\n"
    assert same(jit, program(text)).outcome.fault is None
