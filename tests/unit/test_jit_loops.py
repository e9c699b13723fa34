"""Loops that count: what they are charged, what they give back, and which of them are seen as such."""

from __future__ import annotations

import threading
from time import sleep
from typing import Final

import pytest

from device.jit.engine import JitEngine
from device.vm.faults import FaultCode
from device.vm.program import Control, Outcome
from device.vm.switch import SwitchEngine
from tests.unit.test_jit_engine import compiled, program, run

LOOPS: Final = {
    "up to a constant": "mov r1, 0\nagain: add r0, 3\nadd r1, 1\njlt r1, 9, again",
    "up to and with": "mov r1, 0\nagain: add r0, 3\nadd r1, 1\njle r1, 9, again",
    "by two": "mov r1, 0\nagain: add r0, 3\nadd r1, 2\njlt r1, 9, again",
    "by eight, 32 bits": "mov32 r1, 0\nagain: add r0, 3\nadd32 r1, 8\njlt32 r1, 60, again",
    "down to zero": "mov r1, 9\nagain: add r0, r1\nsub r1, 1\njne r1, 0, again",
    "down by adding": "mov r1, 9\nagain: add r0, r1\nadd r1, -1\njne r1, 0, again",
    "up to what is not": "mov r1, 0\nagain: add r0, r1\nadd r1, 1\njne r1, 9, again",
    "up to a register": "ldxb r2, [r1]\nmov r3, 0\nagain: add r0, 3\nadd r3, 1\njlt r3, r2, again",
    "at least once": "ldxb r1, [r1]\nagain: add r0, 3\nadd r1, 1\njlt r1, 5, again",
    "counted first": "mov r1, 0\nagain: add r1, 1\nadd r0, r1\njlt r1, 9, again",
    "signed": "mov r1, 0\nagain: add r0, 3\nadd r1, 1\njslt r1, 9, again",
    "through a jump": "mov r1, 9\nagain: add r0, r1\nadd r1, -1\njeq r1, 0, out\nja again\nout: add r0, 1",
    "twice": (
        "mov r2, 0\nouter: mov r1, 0\nagain: add r0, 1\nadd r1, 1\njlt r1, 3, again\n"
        "add r2, 1\njlt r2, 3, outer"
    ),
}
OTHERS: Final = {
    "by three": "mov r1, 0\nagain: add r0, 3\nadd r1, 3\njlt r1, 9, again",
    "counted twice": "mov r1, 0\nagain: add r1, 1\nadd r0, 3\nadd r1, 1\njlt r1, 9, again",
    "a bound that moves": "mov r1, 0\nmov r2, 9\nagain: add r1, 1\nadd r2, -1\njlt r1, r2, again",
    "a helper": "mov r6, 0\nagain: call 0x60\nadd r6, 1\njlt r6, 9, again",
    "read in each round": "mov r2, 0\nagain: add r2, 1\nldxb r3, [r1]\nadd r3, r2\njlt r3, 20, again",
}
CONTEXT: Final = bytes((7, 0, 0, 0))


def outcomes(source: str, budget: int, context: bytes = CONTEXT) -> tuple[tuple[Outcome, bytes], ...]:
    linked = program(f"{source}\nexit")
    return tuple(run(engine, linked, context, budget=budget) for engine in (JitEngine(), SwitchEngine()))


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_every_budget_ends_where_switch_ends(source: str) -> None:
    for budget in range(80):
        found, expected = outcomes(source, budget)
        assert found == expected, budget


@pytest.mark.parametrize("exponent", range(31))
def test_a_step_of_any_power_of_two(exponent: int) -> None:
    step = 1 << exponent
    source = f"lddw r7, {min(30 * step, 2**31 - 1)}\nmov r6, 0\nagain: add r6, {step}\njlt r6, r7, again"
    assert charged_at_once(source) == 1
    for budget in (*range(12), 200):
        found, expected = outcomes(source, budget)
        assert found == expected, budget


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_it_is_seen_to_count(source: str) -> None:
    assert charged_at_once(source) == 1


@pytest.mark.parametrize("source", OTHERS.values(), ids=OTHERS)
def test_it_is_not_taken_for_one_that_counts(source: str) -> None:
    assert charged_at_once(source) == 0


def charged_at_once(source: str) -> int:
    engine, linked = JitEngine(), program(f"{source}\nexit")
    run(engine, linked, CONTEXT, budget=2000, call_helper=lambda *_: 0)
    return len(compiled(engine, linked, CONTEXT)[0].loops)


@pytest.mark.parametrize("position", ["stxb [r1], r0\nadd r2, 1", "add r2, 1\nstxb [r1], r0"])
def test_what_was_charged_for_rounds_to_come_is_given_back_at_a_fault(position: str) -> None:
    """The pointer leaves its region in the fourth round of nine, before or behind the counter's step."""
    source = f"mov r2, 0\nagain: add r1, 1\n{position}\nadd r0, 1\njlt r2, 9, again"
    for budget in range(60):
        found, expected = outcomes(source, budget)
        assert found == expected, budget
    outcome = found[0]
    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.ILLEGAL_MEM


def test_a_counter_that_goes_all_the_way_round() -> None:
    """From zero, one less at a time: as good as for ever."""
    found, expected = outcomes("mov32 r1, 0\nagain: add32 r1, -1\njne32 r1, 0, again", 100_000)
    assert found == expected
    assert found[0].instructions == 100_000


def test_a_run_that_is_stopped_in_its_rounds_tells_what_it_executed() -> None:
    control = Control()
    source = "mov32 r1, 0\nagain: add r0, 1\nadd32 r1, -1\njne32 r1, 0, again\nexit"
    ended: list[Outcome] = []

    def spin() -> None:
        ended.append(run(JitEngine(), program(source), budget=2**32 - 1, control=control)[0])

    thread = threading.Thread(target=spin)
    thread.start()
    sleep(0.3)
    control.kill()
    thread.join(20)
    [outcome] = ended
    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.KILLED
    assert 0 < outcome.instructions < 2**32 - 1
