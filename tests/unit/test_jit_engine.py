"""The JIT as an engine, in cases of its own; that it means what the others mean, tests/property says."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from device.jit.compile import Compiled
from device.jit.engine import JitEngine
from device.jit.translation import NativeTranslation
from device.vm.asm import assemble
from device.vm.faults import FaultCode, GuestFault
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Control, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine

SPIN = "mov r0, 0\nagain: add r0, 1\nja again\nexit"


def program(source: str, **fields: object) -> Program:
    return Program(assemble(source), Layout.TEXT, bytes(32), **fields)  # type: ignore[arg-type]  # fields of tests


def run(
    engine: JitEngine | SwitchEngine, linked: Program, context: bytes = b"", **fields: object
) -> tuple[Outcome, bytes]:
    held = bytearray(context)
    memory = build_memory(linked, linked.fresh_data(), held)
    r1, r2 = (CONTEXT_BASE if context else 0), len(context)
    outcome = engine.run(linked, Run(memory, r1=r1, r2=r2, **fields))  # type: ignore[arg-type]  # fields of tests
    return outcome, bytes(held)


def both(source: str, context: bytes = b"", **fields: object) -> Outcome:
    """What the JIT does, which is what `switch` does."""
    linked = program(source)
    found, expected = (
        run(JitEngine(), linked, context, **fields),
        run(SwitchEngine(), linked, context, **fields),
    )
    assert found == expected
    return found[0]


def compiled(engine: JitEngine, linked: Program, context: bytes = b"") -> list[Compiled]:
    memory = build_memory(linked, linked.fresh_data(), bytearray(context))
    translation = engine.prepared(linked, Run(memory)).translation
    assert isinstance(translation, NativeTranslation)
    return list(translation.compiled)


def test_code_runs_natively_and_is_kept() -> None:
    engine, linked = JitEngine(), program("mov r0, 0\nagain: add r0, 3\njlt r0, 30000, again\nexit")
    for _ in range(3):
        outcome, _ = run(engine, linked)
        assert (outcome.r0, outcome.instructions) == (30_000, 20_002)
    assert len(compiled(engine, linked)) == 1


@pytest.mark.parametrize("budget", [0, 1, 2, 3, 4, 5, 1000, 2**32 - 1])
def test_the_budget_is_exact(budget: int) -> None:
    source = SPIN if budget < 2**20 else "mov r0, 0\nagain: add r0, 1\njlt r0, 1000000, again\nexit"
    assert both(source, budget=budget).instructions == min(budget, 2_000_002)


@pytest.mark.parametrize("reason", ["operator", "deadline"])
def test_a_spinning_program_is_stopped(reason: str) -> None:
    control = Control(monotonic() + 0.2) if reason == "deadline" else Control()
    outcomes: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(run(JitEngine(), program(SPIN), budget=2**32 - 1, control=control)[0])
    )
    thread.start()
    sleep(0.2)
    if reason == "operator":
        control.kill()
    thread.join(20)
    [outcome] = outcomes
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.detail) == (FaultCode.KILLED, reason)
    assert 0 < outcome.instructions < 2**32 - 1


CALLS = """
    mov r6, 11
    lddw r7, 0x500000007
    stxdw [r10-8], r6
    mov r1, r10
    add r1, -8
    call local below
    add r0, r6
    add r0, r7
    exit
below:
    mov r6, 1
    lddw r7, 0x900000000
    ldxdw r2, [r1]
    call local deeper
    add r0, r7
    exit
deeper:
    mov r6, r2
    {what}
    mov r0, r6
    exit
"""


@pytest.mark.parametrize(
    "what",
    ["mov r7, 1", "ldxb r3, [r1+600]", "ldxdw r3, [r1-1]", "stb [r10-513], 1", "call 5", "div r6, 0"],
)
def test_callers_are_found_where_code_is_left(what: str) -> None:
    """An access, a budget or a helper ends a function two calls deep: the exact engine goes on in it."""
    source = CALLS.format(what=what)
    length = both(source, budget=1000, call_helper=lambda *_: 5).instructions
    for budget in range(length + 1):
        both(source, budget=budget, call_helper=lambda *_: 5)


def test_a_helper_sees_and_changes_memory_and_may_end_the_run() -> None:
    calls: list[tuple[int, ...]] = []
    linked = program(
        "stdw [r10-8], 0x1234\nlddw r1, 0x1122334455667788\nmov r2, r10\nadd r2, -8\nmov r3, -1\n"
        "call 9\nldxdw r1, [r10-8]\nadd r0, r1\nmov r1, 7\ncall 9\nexit"
    )
    memory = build_memory(linked, bytearray())

    def helper(*arguments: int) -> int:
        calls.append(arguments)
        if arguments[1] == 7:
            raise GuestFault(FaultCode.HELPER_DENIED, "enough", helper=9)
        assert memory.load(arguments[2], 8) == 0x1234
        memory.store(arguments[2], 8, 0x99)
        return 2**64 - 1

    outcome = JitEngine().run(linked, Run(memory, call_helper=helper))
    assert calls[0] == (9, 0x1122334455667788, 0x20100FF8, 2**64 - 1, 0, 0)
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.pc, outcome.instructions) == (FaultCode.HELPER_DENIED, 10, 10)
    assert calls[1][1] == 7


def test_memory_of_other_lengths_and_rights_is_other_code() -> None:
    engine, linked = JitEngine(), program("ldxb r0, [r1+3]\nstb [r1], 1\nexit")
    for length, writable, fault in ((4, True, None), (3, True, 0), (4, False, 1), (9, True, None)):
        memory = build_memory(linked, bytearray(), bytearray(length), context_writable=writable)
        outcome = engine.run(linked, Run(memory, r1=CONTEXT_BASE, r2=length))
        assert (outcome.fault and outcome.fault.pc) == fault


def test_two_threads_run_the_same_program_at_once() -> None:
    engine = JitEngine()
    linked = program("mov r0, 0\nagain: add r0, 1\njlt r0, 2000000, again\nadd r0, r2\nexit")
    results: list[int | None] = []

    def work(length: int) -> None:
        results.extend(run(engine, linked, bytes(length), budget=2**31)[0].r0 for _ in range(5))

    threads = [threading.Thread(target=work, args=(length,)) for length in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results, key=int) == [2_000_001] * 5 + [2_000_002] * 5  # type: ignore[arg-type]  # none is None


DIVISIONS = [
    (a, b)
    for a in (0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
    for b in (0, 1, 3, 2**31, 2**32 - 1, 2**32 + 5, 2**63, 2**64 - 1)
]


@pytest.mark.parametrize("op", ["div", "mod", "sdiv", "smod", "div32", "mod32", "sdiv32", "smod32"])
def test_division(op: str) -> None:
    """64-bit division is Python's, 32-bit division the machine's; zero and overflow included."""
    for a, b in DIVISIONS:
        both(f"lddw r0, {a}\nlddw r3, {b}\nldxdw r0, [r1]\nldxdw r3, [r1+8]\n{op} r0, r3\nexit", pair(a, b))


@pytest.mark.parametrize("op", ["lsh", "rsh", "arsh", "lsh32", "rsh32", "arsh32"])
def test_shifts_by_register(op: str) -> None:
    for a in (1, 0x8000000000000000, 0xFEDCBA9876543210, 0x80000000, 2**64 - 1):
        for b in (0, 1, 5, 31, 32, 33, 63, 64, 255, 2**32):
            both(f"ldxdw r0, [r1]\nldxdw r3, [r1+8]\n{op} r0, r3\nexit", pair(a, b))


def pair(a: int, b: int) -> bytes:
    return a.to_bytes(8, "little") + b.to_bytes(8, "little")


def test_more_halves_than_core_registers() -> None:
    """Ten 64-bit registers at once: most of their halves live in VFP registers, also where code is left."""
    loads = "\n".join(f"ldxdw r{r}, [r1+{8 * r}]" for r in (0, 2, 3, 4, 5, 6, 7, 8, 9))
    mix = "\n".join(
        f"add r{r}, r{s}\nxor r{s}, r{r}\nlsh r{r}, 7" for r, s in ((0, 2), (3, 4), (5, 6), (7, 8), (9, 0))
    )
    end = "\n".join(f"xor r0, r{r}\nmul r0, 31" for r in range(2, 10))
    context = bytes(range(1, 81))
    source = f"{loads}\nmov r1, 3\nagain:\n{mix}\nadd r1, -1\njne r1, 0, again\n{end}\nexit"
    length = both(source, context).instructions
    for budget in range(0, length, 3):
        both(source, context, budget=budget)
