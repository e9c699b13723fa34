"""Which registers are known to differ by a constant, and what a jump says of them then."""

from __future__ import annotations

import pytest

from device.vm.analysis.relations import Distances, distances, tell
from device.vm.analysis.values import ANY, State, number
from device.vm.decode import MASK64
from tests.unit.lifted import unit_of

NOTHING: State = [ANY] * 11


def at_the_last_jump(source: str, entry: State = NOTHING) -> Distances:
    """What is known where the last block that compares ends."""
    return [found for found in distances(unit_of(source), entry) if found][-1]


DISTANCES = {
    "a copy": ("mov r7, r6\njgt r6, 9, +0\nmov r0, 0\njgt r6, 9, +1\nexit\nexit", {6: [(7, 0)]}),
    "a copy that went on": ("mov r7, r6\nadd r7, 3\njgt r6, 9, +1\nexit\nexit", {6: [(7, 3)]}),
    "a copy that went back": ("mov r7, r6\nsub r7, 3\njgt r6, 9, +1\nexit\nexit", {6: [(7, MASK64 - 2)]}),
    "both operands": (
        "mov r7, r6\nadd r7, 1\nmov r5, r4\njgt r6, r4, +1\nexit\nexit",
        {6: [(7, 1)], 4: [(5, 0)]},
    ),
    "modulo 2^64": (
        "mov r7, r6\nadd r7, -1\nadd r6, 1\njgt r6, 9, +1\nexit\nexit",
        {6: [(7, MASK64 - 1)]},
    ),
    "in step around a loop": (
        "mov r7, r6\nadd r7, 8\nagain: add r6, 2\nadd r7, 2\njlt r6, 9, again\nexit",
        {6: [(7, 8)]},
    ),
    "from constants, in step": (
        "mov r6, 5\nmov r7, 9\nagain: add r6, 2\nadd r7, 2\njlt r6, 9, again\nexit",
        {6: [(7, 4)]},
    ),
    "on both ways": (
        "mov r7, r6\njeq r1, 0, +3\nadd r6, 1\nadd r7, 1\nja +1\nmov r6, r7\njgt r6, 9, +1\nexit\nexit",
        {6: [(7, 0)]},
    ),
    "new, and its copy": ("ldxb r6, [r1]\nmov r7, r6\njgt r6, 9, +1\nexit\nexit", {6: [(7, 0)]}),
    "saved over a call": ("mov r7, r6\ncall local f\njgt r6, 9, +1\nexit\nexit\nf: exit", {6: [(7, 0)]}),
    "saved over a helper": ("mov r3, r6\ncall 7\njgt r6, 9, +1\nexit\nexit", {6: [(3, 0)]}),
}


@pytest.mark.parametrize(("source", "known"), DISTANCES.values(), ids=DISTANCES)
def test_distances(source: str, known: Distances) -> None:
    assert at_the_last_jump(source) == known


UNRELATED = {
    "a 32-bit copy": "mov32 r7, r6\njgt r6, 9, +1\nexit\nexit",
    "a 32-bit sum": "mov r7, r6\nadd32 r7, 1\njgt r6, 9, +1\nexit\nexit",
    "a 32-bit difference": "mov r7, r6\nsub32 r7, 1\njgt r6, 9, +1\nexit\nexit",
    "an extended copy": "movsx32 r7, r6\njgt r6, 9, +1\nexit\nexit",
    "the sum of two": "mov r7, r6\nadd r7, r5\njgt r6, 9, +1\nexit\nexit",
    "a product": "mov r7, r6\nmul r7, 1\njgt r6, 9, +1\nexit\nexit",
    "out of step": "mov r7, r6\nagain: add r6, 2\nadd r7, 3\njlt r6, 9, again\nexit",
    "out of step from constants": "mov r6, 0\nmov r7, 0\nagain: add r6, 2\nadd r7, 3\njlt r6, 9, again\nexit",
    "out of step on one way": ("mov r7, r6\njset r1, 1, +1\nadd r7, 1\njgt r6, 9, +1\nexit\nexit"),
    "constants that differ by way": (
        "mov r6, 0\nmov r7, 0\njset r1, 1, +2\nmov r6, 1\nmov r7, 2\njgt r6, 9, +1\nexit\nexit"
    ),
    "loaded twice": "ldxb r6, [r1]\nldxb r7, [r1]\njgt r6, 9, +1\nexit\nexit",
    "new on both ways": "ldxb r6, [r1]\nmov r7, r6\njset r1, 1, +1\nldxb r7, [r1]\njgt r6, 9, +1\nexit\nexit",
    "given by a helper": "mov r6, r0\ncall 7\njgt r6, 9, +1\nexit\nexit",
    "given by a call": "mov r6, r3\ncall local f\njgt r6, 9, +1\nexit\nexit\nf: exit",
    "exchanged": "mov r7, r6\nlock fetch add [r1], r7\njgt r6, 9, +1\nexit\nexit",
    "compared and exchanged": "mov r6, r0\nlock cmpxchg [r1], r7\njgt r6, 9, +1\nexit\nexit",
    "entered in the middle": (
        "mov r7, r6\njset r1, 1, in\nagain: add r6, 1\nin: add r7, 1\njlt r6, 9, again\nexit"
    ),
    "one way only": "mov r7, r6\njgt r6, 9, +0\nexit",
}


@pytest.mark.parametrize("source", UNRELATED.values(), ids=UNRELATED)
def test_what_is_no_distance(source: str) -> None:
    assert not any(distances(unit_of(source), NOTHING))


def test_a_loop_that_a_unit_begins_with_is_entered_from_outside() -> None:
    """r7 is r6 + 1 on the way back, but anything at the beginning."""
    source = "again: jgt r6, 9, +3\nadd r6, 1\nmov r7, r6\nja again\nexit"
    assert not any(distances(unit_of(source), NOTHING))
    known = [*[ANY] * 6, number(4), number(4), *[ANY] * 3]
    assert distances(unit_of(source), known)[0] == {6: [(7, 0)]}


@pytest.mark.parametrize("depth", [4, 1000])
def test_loops_in_loops_do_not_take_forever(depth: int) -> None:
    """What the innermost one does comes out by one loop in a sweep."""
    source = f"mov r7, r6\nmov r5, r6\nx{depth}: ja x{depth - 1}\n"
    source += "".join(f"x{n}: mov r0, 1\njgt r6, {n}, x{n + 1}\n" for n in range(depth - 1, 0, -1))
    found = distances(unit_of(f"{source}add r5, r2\njgt r6, 7, x1\nexit"), NOTHING)
    assert any(found) == (depth == 4)


TOLD = {
    "further up": ((0, 9), 5, (0, MASK64), (5, 14)),
    "further down": ((8, 9), MASK64 - 2, (0, MASK64), (5, 6)),
    "below 0": ((0, 9), MASK64 - 2, (0, MASK64), (0, MASK64)),
    "up to 0": ((3, 9), MASK64 - 2, (0, MASK64), (0, 6)),
    "past 2^64": ((MASK64 - 9, MASK64), 5, (0, MASK64), (0, MASK64)),
    "up to 2^64": ((MASK64 - 9, MASK64 - 5), 5, (0, MASK64), (MASK64 - 4, MASK64)),
    "all of it past 2^64": ((MASK64 - 4, MASK64), 5, (0, MASK64), (0, 4)),
    "nothing new": ((0, 9), 5, (7, 12), (7, 12)),
    "half of it new": ((0, 9), 5, (7, 100), (7, 14)),
    "what cannot be": ((0, 9), 5, (50, 100), (50, 100)),
}


@pytest.mark.parametrize(("told", "above", "before", "behind"), TOLD.values(), ids=TOLD)
def test_what_a_jump_tells(
    told: tuple[int, int], above: int, before: tuple[int, int], behind: tuple[int, int]
) -> None:
    """r6 is known to be within `told` on one way, r7 is so far above it, and was within `before`."""
    ends: State = [*[ANY] * 7, (*before, 3), *[ANY] * 3]
    way: State = [*ends[:6], (*told, -1), *ends[7:]]
    assert tell({6: [(7, above)]}, ends, way)[7] == (*behind, 3)
    assert tell({6: [(7, above)]}, way, way) is way, "nothing is told that was known before"
