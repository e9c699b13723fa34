"""The budget of a long run begins anew with every sleep, on all engines alike (programs.md section 5)."""

from __future__ import annotations

import pytest

from device.engines import ENGINES
from device.jit.engine import JitEngine
from device.vm import loader
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.helpers import HELPERS, gate
from device.vm.interpreter import InterpreterEngine
from device.vm.program import Engine, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.unit.helper_bench import Bench

NAMES = {helper.name: number for number, helper in HELPERS.items()}

# Sleeps r6 times, and executes 5 + 3 * 100 instructions from one sleep to the next.
SLEEPER = assemble(
    """
        mov r6, {rounds}
        mov r7, 0
        stw [r10-4], 0
    round:
        mov r8, 100
    work:
        add r7, 1
        sub r8, 1
        jne r8, 0, work
        mov r1, r10
        add r1, -4
        mov r2, 10
        call bpf_ztimer_periodic_wakeup
        sub r6, 1
        jne r6, 0, round
        mov r0, r7
        exit
    """.replace("{rounds}", "200"),
    helpers=NAMES,
)
BETWEEN = 3 + 1 + 3 * 100 + 4  # up to the first wake-up, which is the longest stretch

ENGINES_UNDER_TEST: dict[str, Engine] = {
    "switch": SwitchEngine(),
    "closures": InterpreterEngine(hot_after=None),
    "translated": InterpreterEngine(hot_after=0, background=False),
    "translated when hot": InterpreterEngine(hot_after=1000, background=False),
    "compiled": JitEngine(),
}


def run(engine: Engine, budget: int, *, renews: bool) -> tuple[int | None, FaultCode | None, int]:
    program = loader.load(SLEEPER)
    bench = Bench()
    memory = build_memory(program, program.fresh_data())
    outcome = engine.run(
        program,
        Run(memory=memory, call_helper=gate(memory, bench.services, HELPERS), budget=budget, renews=renews),
    )
    return outcome.r0, outcome.fault.code if outcome.fault else None, outcome.instructions


ALL = 3 + 200 * (1 + 300 + 4 + 2) + 2


@pytest.mark.parametrize("engine", ENGINES_UNDER_TEST.values(), ids=ENGINES_UNDER_TEST)
class TestRenewal:
    def test_it_lasts_from_sleep_to_sleep(self, engine: Engine) -> None:
        assert run(engine, BETWEEN, renews=True) == (20_000, None, ALL)

    def test_it_is_exact(self, engine: Engine) -> None:
        assert run(engine, BETWEEN - 1, renews=True) == (None, FaultCode.OUT_OF_INSTRUCTIONS, BETWEEN - 1)

    def test_short_runs_have_one(self, engine: Engine) -> None:
        assert run(engine, BETWEEN, renews=False) == (None, FaultCode.OUT_OF_INSTRUCTIONS, BETWEEN)
        assert run(engine, ALL, renews=False) == (20_000, None, ALL)
        assert run(engine, ALL - 1, renews=False) == (None, FaultCode.OUT_OF_INSTRUCTIONS, ALL - 1)


def test_all_engines_are_here() -> None:
    assert set(ENGINES) <= {engine.name for engine in ENGINES_UNDER_TEST.values()}
