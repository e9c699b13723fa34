"""Loops that are left where a counter is equal to something, and how far counters get."""

from __future__ import annotations

import pytest

from device.vm.analysis import intervals
from device.vm.analysis.counters import Stop, find
from device.vm.analysis.effects import bound
from device.vm.analysis.structure import shape
from device.vm.analysis.values import ANY, State
from device.vm.decode import MASK32, MASK64
from tests.unit.lifted import unit_of

NOTHING: State = [ANY] * 11


RANGES = {
    "up": (Stop(6, 1, 10, True), (2, 5), (2, 9)),
    "up from next to it": (Stop(6, 1, 10, True), (9, 9), (9, 9)),
    "up from the end": (Stop(6, 1, 10, True), (10, 10), None),
    "up, maybe from the end": (Stop(6, 1, 10, True), (2, 10), None),
    "up from behind": (Stop(6, 1, 10, True), (11, 11), None),
    "up to 2^64 - 1": (Stop(6, 1, MASK64, True), (2**32, 2**63), (2**32, MASK64 - 1)),
    "down": (Stop(6, -1, 10, True), (12, 20), (11, 20)),
    "down to 0": (Stop(6, -1, 0, True), (1, MASK64), (1, MASK64)),
    "down from the end": (Stop(6, -1, 0, True), (0, 9), None),
    "down from below": (Stop(6, -1, 10, True), (3, 9), None),
    "steps that divide": (Stop(6, 4, 12, True), (4, 4), (4, 8)),
    "steps that do not": (Stop(6, 4, 12, True), (5, 5), None),
    "steps from one of several": (Stop(6, 4, 12, True), (0, 4), None),
    "steps down that divide": (Stop(6, -3, 1, True), (10, 10), (4, 10)),
    "steps down that do not": (Stop(6, -3, 1, True), (9, 9), None),
    "32 bits": (Stop(6, 1, MASK32, False), (0, MASK32 - 1), (0, MASK32 - 1)),
    "more than 32 bits": (Stop(6, -1, 0, False), (1, MASK32 + 1), None),
    "more than 32 bits, wide": (Stop(6, -1, 0, True), (1, MASK32 + 1), (1, MASK32 + 1)),
}


@pytest.mark.parametrize(("stop", "entering", "between"), RANGES.values(), ids=RANGES)
def test_ranges(stop: Stop, entering: tuple[int, int], between: tuple[int, int] | None) -> None:
    assert stop.range((*entering, -1)) == between


STOPS = {
    "jne": ("again: add r6, 1\njne r6, 9, again\nexit", Stop(6, 1, 9, True)),
    "jne at once": ("again: add r6, 1\nmov r1, r6\njne r6, 9, again\nexit", Stop(6, 1, 9, True)),
    "jeq, a jump alone": ("again: add r6, 1\njeq r6, 9, +1\nja again\nexit", Stop(6, 1, 9, True)),
    "sub": ("again: sub r6, 4\njne r6, 8, again\nexit", Stop(6, -4, 8, True)),
    "sub of a negative": ("again: sub r6, -4\njne r6, 8, again\nexit", Stop(6, 4, 8, True)),
    "sub of -2^31": ("again: sub r6, 0x80000000\njne r6, 0, again\nexit", Stop(6, 2**31, 0, True)),
    "add of -2^31": ("again: add r6, 0x80000000\njne r6, 0, again\nexit", Stop(6, -(2**31), 0, True)),
    "add32": ("again: add32 r6, 1\njne r6, 9, again\nexit", Stop(6, 1, 9, False)),
    "jne32": ("again: add r6, 1\njne32 r6, -1, again\nexit", Stop(6, 1, MASK32, False)),
    "an end near 2^64": ("again: add r6, 1\njne r6, -3, again\nexit", Stop(6, 1, MASK64 - 2, True)),
    "another way out": (
        "again: jeq r1, r2, out\nadd r6, 1\njne r6, 9, again\nout: exit",
        Stop(6, 1, 9, True),
    ),
    "a loop inside": (
        "again: mov r1, 3\ninner: sub r1, 1\njne r1, r2, inner\nadd r6, 1\njne r6, 9, again\nexit",
        Stop(6, 1, 9, True),
    ),
    "a call that saves": (
        "again: call local f\nadd r6, 1\njne r6, 9, again\nexit\nf: exit",
        Stop(6, 1, 9, True),
    ),
}


@pytest.mark.parametrize(("source", "stop"), STOPS.values(), ids=STOPS)
def test_stops(source: str, stop: Stop) -> None:
    unit = unit_of(source)
    assert find(unit, shape(unit.blocks))[0].stop == stop


NO_STOPS = {
    "it goes on at the end": "again: add r6, 1\njeq r6, 9, again\nexit",
    "a jump alone goes on at the end": "again: add r6, 1\njne r6, 9, +1\nja again\nexit",
    "an order": "again: add r6, 1\njlt r6, 9, again\nexit",
    "an end that is not known": "again: add r6, 1\njne r6, r7, again\nexit",
    "a step that is not known": "again: add r6, r7\njne r6, 9, again\nexit",
    "no step": "again: add r6, 0\njne r6, 9, again\nexit",
    "two steps": "again: add r6, 1\nadd r6, 1\njne r6, 9, again\nexit",
    "a step on one way": "again: jeq r1, r2, +1\nadd r6, 1\njne r6, 9, again\nexit",
    "a step in a loop inside": (
        "again: mov r1, 3\ninner: add r6, 1\nsub r1, 1\njne r1, 0, inner\njne r6, 9, again\nexit"
    ),
    "another step in a loop inside": (
        "again: mov r1, 3\ninner: add r6, 2\nsub r1, 1\njne r1, r2, inner\nadd r6, 1\njne r6, 9, again\nexit"
    ),
    "a load": "again: ldxb r6, [r1]\nadd r6, 1\njne r6, 9, again\nexit",
    "an exchange": "again: lock fetch add [r1], r6\nadd r6, 1\njne r6, 9, again\nexit",
    "a helper": "again: call 7\nadd r0, 1\njne r0, 9, again\nexit",
    "a call": "again: call local f\nadd r3, 1\njne r3, 9, again\nexit\nf: exit",
    "two ways back": "again: jeq r1, r2, again\nadd r6, 1\njne r6, 9, again\nexit",
    "32 bits that never get there": "again: add32 r6, 1\njne r6, -3, again\nexit",
    "no way but back": "again: add r6, 1\njne r6, 9, +0\nja again\nexit",
}


@pytest.mark.parametrize("source", NO_STOPS.values(), ids=NO_STOPS)
def test_what_is_no_stop(source: str) -> None:
    unit = unit_of(source)
    assert find(unit, shape(unit.blocks))[0].stop is None


GROWTH = {
    "64 bits": ("add r6, 1", 1 << 63),
    "64 bits twice": ("add r6, 1\nadd r6, 0x7fffffff", 1 << 63),
    "32 bits": ("add32 r6, 1", 1 << 31),
    "32 bits twice": ("add32 r6, 1\nadd32 r6, 1", None),
    "both": ("add32 r6, 1\nadd r6, 1", None),
    "both, the other way": ("add r6, 1\nadd32 r6, 1", None),
    "32 bits, faster": ("add32 r6, 2", None),
    "down": ("sub r6, 1", None),
    "not changed": ("add r5, 1", None),
}


@pytest.mark.parametrize(("steps", "growth"), GROWTH.values(), ids=GROWTH)
def test_growth(steps: str, growth: int | None) -> None:
    unit = unit_of(f"again: {steps}\njne r1, r2, again\nexit")
    assert find(unit, shape(unit.blocks))[0].growth.get(6) == growth


def test_what_loops_that_cross_count_is_not_known() -> None:
    unit = unit_of("jeq r1, 0, in\nagain: add r6, 1\nin: add r7, 1\njne r7, 9, again\nexit")
    assert find(unit, shape(unit.blocks)) == {}


def test_a_helper_that_renews_the_budget_makes_growth_void() -> None:
    unit = unit_of("again: call 0x61\nadd r6, 1\njne r6, 9, again\nexit")
    assert find(unit, shape(unit.blocks)) == {}


def test_a_loop_entered_with_more_than_the_first_time() -> None:
    """r6 begins at 0, where steps of 2 end at 10, and later at 0 or 1: 1, 3, ..., 9, 11, and so on."""
    unit = unit_of(
        "mov r7, 0\nouter: mov r6, r7\nmov r7, 0\ninner: add r6, 2\njne r6, 10, inner\n"
        "ldxdw r7, [r10-8]\nand r7, 1\nja outer"
    )
    for narrowings in (0, 2):
        states = intervals.solve(unit, shape(unit.blocks), bound(unit, 0), NOTHING, narrowings)
        inner = next(state for block, state in zip(unit.blocks, states, strict=True) if block.start == 3)
        assert inner is not None
        assert inner[6][1] > 10
