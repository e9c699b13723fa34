"""Runs side by side: what is recorded, what is compared, and that every difference is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device.engines import ENGINES, CompilingEngine, shadow
from device.engines.ran import Ran
from device.engines.runner import Runner
from device.engines.wish import Wish
from device.jit.engine import JitEngine
from device.vm.asm import assemble
from device.vm.faults import FaultCode, GuestFault
from device.vm.memory import CONTEXT_BASE, DATA_BASE
from device.vm.program import Layout, Outcome, Program, Run, build_memory

# Stores to the stack, .data and the context; calls helper 9, which writes to the context, twice.
SOURCE = """
    mov r6, r1
    lddw r7, 0x20000000
    mov r1, 5
    stxdw [r10-8], r1
    stxw [r7], r1
    mov r2, r6
    call 9
    mov r8, r0
    mov r1, 6
    mov r2, r6
    call 9
    add r0, r8
    stxb [r6+3], r0
    ldxb r1, [r6]
    add r0, r1
    exit
"""


class Bench:
    """A program whose compiled runs can be made to differ."""

    def __init__(self, source: str = SOURCE) -> None:
        self.program = Program(assemble(source), Layout.TEXT, bytes(32), data=bytes(4))
        self.engines = {**ENGINES, "jit": CompilingEngine()}
        self.runner = Runner(self.program, self.engines)
        self.data = self.program.fresh_data()
        self.context = bytearray(4)
        self.calls = list[tuple[int, ...]]()
        self.deny = False
        self.memory = build_memory(self.program, self.data, self.context)

    def helper(self, *arguments: int) -> int:
        self.calls.append(arguments)
        if self.deny:
            raise GuestFault(FaultCode.HELPER_DENIED, "no", helper=9)
        self.memory.store(CONTEXT_BASE, 1, arguments[1] + 40)
        return arguments[1]

    def run(self, **fields: object) -> Ran:
        run = Run(self.memory, call_helper=self.helper, r1=CONTEXT_BASE, r2=4, **fields)  # type: ignore[arg-type]  # of tests
        return self.runner.once(run, Wish(shadow=True))


def test_equal_runs_happen_once() -> None:
    bench = Bench()
    ran = bench.run()
    assert ran.compared == shadow.Compared(True)
    assert (ran.engine, ran.outcome.r0) == ("interpreter", 11 + 46)
    assert [call[:2] for call in bench.calls] == [(9, 5), (9, 6)], "helpers were called by one of them"
    assert (bytes(bench.data), bytes(bench.context)) == (bytes([5, 0, 0, 0]), bytes([46, 0, 0, 11]))


def test_runs_of_code_that_is_there_are_fed_their_own_record() -> None:
    """The second and third run begin like the first, with memory and calls of their own."""
    bench = Bench()
    for number in range(1, 4):
        bench.memory.store(CONTEXT_BASE, 4, number)
        ran = bench.run()
        assert ran.compared == shadow.Compared(True)
        assert len(bench.calls) == 2 * number
        assert bytes(bench.context) == bytes([46, 0, 0, 11])
    bench.deny = True
    assert bench.run().compared == shadow.Compared(True)
    assert len(bench.calls) == 7
    assert bench.runner.code.compiles == 1


def test_faults_of_helpers_are_repeated() -> None:
    bench = Bench()
    bench.deny = True
    ran = bench.run()
    assert ran.compared == shadow.Compared(True)
    assert ran.outcome.fault is not None
    assert ran.outcome.fault.code is FaultCode.HELPER_DENIED
    assert len(bench.calls) == 1


@pytest.mark.parametrize("budget", range(1, 17))
def test_runs_that_end_early_are_equal(budget: int) -> None:
    assert Bench().run(budget=budget).compared == shadow.Compared(True)


Change = Callable[[Program, Run, Outcome], Outcome]


def _r0(_program: Program, _run: Run, outcome: Outcome) -> Outcome:
    return outcome._replace(r0=1)


def _count(_program: Program, _run: Run, outcome: Outcome) -> Outcome:
    return outcome._replace(instructions=15)


def _fault(program: Program, _run: Run, outcome: Outcome) -> Outcome:
    fault = GuestFault(FaultCode.ILLEGAL_MEM, "x", address=16, size=1, access="load").record(3)
    return outcome._replace(r0=None, fault=program.locate(fault))


def _stack(_program: Program, run: Run, outcome: Outcome) -> Outcome:
    run.memory.stack.data[-1] = 9
    return outcome


def _data(_program: Program, run: Run, outcome: Outcome) -> Outcome:
    run.memory.store(DATA_BASE + 2, 1, 9)
    return outcome


def _call_more(_program: Program, run: Run, outcome: Outcome) -> Outcome:
    run.call_helper(9, 5, CONTEXT_BASE, 0, 0, 0)
    return outcome


DIFFERENCES: dict[str, tuple[Change, str]] = {
    "r0": (_r0, "r0 1, expected 57"),
    "instructions": (_count, "instructions 15, expected 16"),
    "fault": (_fault, "fault ('ILLEGAL_MEM', 3, 16, 1, 'load', None), expected none"),
    "stack": (_stack, "byte at 0x20100fff in the stack frame: 0x09, expected 0x00"),
    "data": (_data, "byte at 0x20000002 in .data: 0x09, expected 0x00"),
    "a call too many": (_call_more, "helper call 3, of 0x09, which was not made before"),
}


@pytest.mark.parametrize(("change", "text"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_each_difference_is_seen(monkeypatch: pytest.MonkeyPatch, change: Change, text: str) -> None:
    real = JitEngine.run
    monkeypatch.setattr(
        JitEngine, "run", lambda self, program, run: change(program, run, real(self, program, run))
    )
    bench = Bench()
    ran = bench.run()
    assert ran.compared == shadow.Compared(False, text)
    assert ran.outcome.r0 == 57
    assert bench.runner.code.quarantined == text


CALLS = {
    "argument": (
        (9, 7, CONTEXT_BASE),
        "helper call 1: 0x09(0x7, 0x20200000, 0x0, 0x0, 0x0), expected 0x09(0x5, ",
    ),
    "helper": (
        (8, 5, CONTEXT_BASE),
        "helper call 1: 0x08(0x5, 0x20200000, 0x0, 0x0, 0x0), expected 0x09(0x5, ",
    ),
}


@pytest.mark.parametrize(("made", "text"), CALLS.values(), ids=CALLS)
def test_another_call_is_seen(monkeypatch: pytest.MonkeyPatch, made: tuple[int, int, int], text: str) -> None:
    def other(_self: JitEngine, _program: Program, run: Run) -> Outcome:
        return Outcome(run.call_helper(*made, 0, 0, 0), None, 1)

    monkeypatch.setattr(JitEngine, "run", other)
    compared = Bench().run().compared
    assert compared is not None
    assert compared.equal is False
    assert (compared.difference or "").startswith(text)


def test_a_call_too_few_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JitEngine, "run", lambda *_: Outcome(57, None, 16))
    assert Bench().run().compared == shadow.Compared(False, "helper calls 0, expected 2")


@pytest.mark.parametrize("limit", ["MAX_CALLS", "MAX_BYTES"])
def test_what_cannot_be_recorded_is_not_compared(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(shadow, limit, 1)
    bench = Bench()
    ran = bench.run()
    assert ran.compared == shadow.Compared(None, "not compared: too many helper calls")
    assert ran.outcome.r0 == 57
    assert bench.runner.code.quarantined is None


def test_a_run_that_is_stopped_is_not_compared() -> None:
    bench = Bench("again: ja +0\nja again")
    run = Run(bench.memory, budget=2**32 - 1)
    run.control.kill()
    ran = bench.runner.once(run, Wish(shadow=True))
    assert ran.compared == shadow.Compared(None, "not compared: a run was stopped")
    assert bench.runner.code.quarantined is None
