"""Pointers that walk through a region: tested before the loop, and as exact as tested in every round."""

from __future__ import annotations

from struct import pack
from typing import Final

import pytest

from device.jit.engine import JitEngine
from device.vm.faults import FaultCode
from device.vm.interpreter.guesses import WRONG_GUESSES
from device.vm.memory import CONTEXT_BASE, STACK_TOP
from device.vm.program import Outcome
from device.vm.switch import SwitchEngine
from tests.unit.test_jit_engine import compiled, program, run

CONTEXT: Final = bytes(range(1, 17))
BUDGETS: Final = range(70)
START: Final = "ldxb r5, [r1+15]\nand r5, 1\nadd r1, r5\n"  # so that it is not known where exactly

INSIDE: Final = {
    "bytes forward": "mov r2, 0\nagain: ldxb r3, [r1]\nadd r0, r3\nadd r1, 1\nadd r2, 1\njlt r2, 9, again",
    "to the last byte": (
        "mov r2, 0\nagain: ldxb r3, [r1]\nadd r0, r3\nadd r1, 1\nadd r2, 1\njlt r2, 16, again"
    ),
    "words": "mov r2, 4\nagain: ldxw r3, [r1]\nadd r0, r3\nadd r1, 4\nadd r2, -1\njne r2, 0, again",
    "64 bits": "mov r2, 2\nagain: ldxdw r3, [r1]\nadd r0, r3\nadd r1, 8\nadd r2, -1\njne r2, 0, again",
    "backward": (
        "add r1, 16\nmov r2, 8\nagain: add r1, -2\nldxh r3, [r1]\nadd r0, r3\nadd r2, -1\njne r2, 0, again"
    ),
    "moved first": "mov r2, 9\nagain: add r1, 1\nldxb r3, [r1-1]\nadd r0, r3\nadd r2, -1\njne r2, 0, again",
    "moved twice": (
        "mov r2, 4\nagain: ldxb r3, [r1]\nadd r1, 1\nldxb r4, [r1]\nadd r1, 1\nadd r0, r3\nadd r0, r4\n"
        "add r2, -1\njne r2, 0, again"
    ),
    "stores": "mov r2, 9\nagain: stxb [r1], r2\nadd r1, 1\nadd r2, -1\njne r2, 0, again",
    "not moved": "mov r2, 9\nagain: ldxb r3, [r1+15]\nadd r0, r3\nadd r2, -1\njne r2, 0, again",
    "two pointers": (
        "mov r4, r1\nadd r4, 8\nmov r2, 8\nagain: ldxb r3, [r1]\nstxb [r4], r3\nadd r1, 1\nadd r4, 1\n"
        "add r2, -1\njne r2, 0, again"
    ),
    "atomic": "mov r2, 4\nagain: lock add32 [r1], r2\nadd r1, 4\nadd r2, -1\njne r2, 0, again",
    "up to an end": "mov r2, r1\nadd r2, 9\nagain: ldxb r3, [r1]\nadd r0, r3\nadd r1, 1\njne r1, r2, again",
}
BEYOND: Final = {
    "one round too many": INSIDE["to the last byte"].replace("16", "17"),
    "past the end from the beginning": "add r1, 16\n" + INSIDE["bytes forward"],
    "a word that ends outside": "add r1, 1\n" + INSIDE["words"],
    "before the beginning": "add r1, -1\n" + INSIDE["bytes forward"],
    "backward, too far": INSIDE["backward"].replace("mov r2, 8", "mov r2, 9"),
    "not moved": INSIDE["not moved"].replace("15", "16"),
    "the second pointer": INSIDE["two pointers"].replace("r4, 8", "r4, 9"),
    "a store at the end": "add r1, 12\n" + INSIDE["stores"],
    "far away": "lddw r4, 0x40000000\nadd r1, r4\n" + INSIDE["bytes forward"],
}


def outcomes(source: str, budget: int) -> list[tuple[Outcome, bytes]]:
    linked = program(f"{START}{source}\nexit")
    return [run(engine, linked, CONTEXT, budget=budget) for engine in (JitEngine(), SwitchEngine())]


@pytest.mark.parametrize("source", INSIDE.values(), ids=INSIDE)
def test_a_walk_inside_ends_where_switch_ends(source: str) -> None:
    for budget in (*BUDGETS, 1000):
        found, expected = outcomes(source, budget)
        assert found == expected, budget
    assert found[0].fault is None


@pytest.mark.parametrize("source", INSIDE.values(), ids=INSIDE)
def test_a_round_tests_no_address(source: str) -> None:
    engine, linked = JitEngine(), program(f"{START}{source}\nexit")
    run(engine, linked, CONTEXT)
    exits = compiled(engine, linked, CONTEXT)[0].exits.values()
    accesses = {pc for exit_ in exits for pc in exit_.blamed}
    assert accesses
    assert not accesses & {exit_.pc for exit_ in exits if not (exit_.short or exit_.blamed)}


@pytest.mark.parametrize("source", BEYOND.values(), ids=BEYOND)
def test_a_walk_that_leaves_its_region_faults_where_switch_faults(source: str) -> None:
    for budget in (*BUDGETS, 1000):
        found, expected = outcomes(source, budget)
        assert found == expected, budget
    assert found[0].fault is not None
    assert found[0].fault.code is FaultCode.ILLEGAL_MEM


WRONG: Final = """
    ldxdw r6, [r1]
    mov r8, 3
outer:
    mov r3, r10
    add r3, r6
    mov r2, 4
again:
    ldxb r4, [r3+8]
    add r0, r4
    add r3, 1
    add r2, -1
    jne r2, 0, again
    add r8, -1
    jne r8, 0, outer
    exit
"""


def test_a_walk_that_was_guessed_wrong_often_is_tested_in_each_round() -> None:
    """The pointer comes from r10, and what is added gets it into the context."""
    linked, context = program(WRONG), pack("<Q", CONTEXT_BASE - STACK_TOP) + CONTEXT
    engine = JitEngine()
    expected = run(SwitchEngine(), linked, context)
    for _ in range(WRONG_GUESSES + 1):  # each is wrong once: what it goes on with knows better
        assert run(engine, linked, context) == expected
    exits = [exit_ for unit in compiled(engine, linked, context) for exit_ in unit.exits.values()]
    assert not any(exit_.blamed for exit_ in exits)
