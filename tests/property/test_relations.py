"""Counters and registers that move together: the claims hold in real runs, and what is wrong is found.

`-m nightly` is the long form: 200,000 programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from device.vm.analysis import counters, intervals, relations
from device.vm.analysis.counters import Stop
from device.vm.analysis.lift import Unit
from device.vm.analysis.relations import Distances
from device.vm.analysis.structure import Structure
from device.vm.analysis.values import State, Value
from device.vm.decode import MASK32, MASK64, Step
from device.vm.isa import Sem
from tests.property.claims import violation
from tests.property.rounds import programs

SLICE: Final = 250
ENOUGH: Final = 6_000
"""Programs within which each wrong analysis is found."""

NIGHTLY: Final = 200_000
PART: Final = 5_000


@pytest.mark.parametrize("first", range(0, 2000, SLICE))
def test_registers_are_where_they_are_claimed_to_be(first: int) -> None:
    for number, text in programs(first, SLICE):
        assert violation(number, text) is None, text


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(0, NIGHTLY, PART))
def test_registers_are_where_they_are_claimed_to_be_in_many_programs(first: int) -> None:
    for number, text in programs(first, PART):
        assert violation(number, text) is None, text


# Wrong analyses

RIGHT_SUM, RIGHT_STOP, RIGHT_RANGE = relations._sum, counters._stop, Stop.range


def passes_its_end(stop: Stop, entering: Value) -> tuple[int, int] | None:
    """Stop.range without the condition that its steps divide the distance."""
    low, high, _ = entering
    if not stop.wide and high > MASK32:
        return None
    if stop.step > 0:
        return (low, stop.end - stop.step) if high < stop.end else None
    return (stop.end - stop.step, high) if low > stop.end else None


def has_two_widths(stop: Stop, entering: Value) -> tuple[int, int] | None:
    """Stop.range without the condition that registers fit 32 bits."""
    return RIGHT_RANGE(stop._replace(wide=True), entering)


def is_behind_its_end(stop: Stop, entering: Value) -> tuple[int, int] | None:
    """Stop.range without the condition that a loop begins on the right side of its end."""
    low, high, _ = entering
    if abs(stop.step) > 1 or not stop.wide:
        return RIGHT_RANGE(stop, entering)
    return (low, max(high, stop.end)) if stop.step > 0 else (min(low, stop.end), high)


def sums_of_32_bits(step: Step, found: list[tuple[int, int]]) -> tuple[int, int] | None:
    case, sem, _, _, *rest = step
    return RIGHT_SUM((case, sem, 64, MASK64, *rest), found)  # type: ignore[arg-type]


def sums_the_wrong_way(step: Step, found: list[tuple[int, int]]) -> tuple[int, int] | None:
    case, sem, *rest = step
    return RIGHT_SUM((case, Sem.ADD if sem is Sem.SUB else sem, *rest), found)  # type: ignore[arg-type]


def told_without_wrapping(related: Distances, before: State, state: State) -> State:
    """relations.tell for bounds of which only one wraps too."""
    found = state.copy()
    for register, others in related.items():
        low, high, _ = state[register]
        for other, above in others:
            known_low, known_high, place = found[other]
            wraps = (MASK64 + 1) * (high + above > MASK64)
            start, end = max(low + above - wraps, known_low), min(high + above - wraps, known_high)
            if start <= end and (low, high) != before[register][:2]:
                found[other] = start, end, place
    return found


def first_way_only(arriving: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    groups: dict[int, tuple[int, int]] = {}
    met = []
    for register, (base, above) in enumerate(arriving[0]):
        member, its = groups.setdefault(base, (register, above))
        met.append((member, above - its & MASK64))
    return met


def stopped_whatever_changes_it(unit: Unit, shape: Structure, header: int) -> Stop | None:
    """counters._stop that does not look at the rest of the loop."""
    steps = {id(step) for block in unit.blocks if block.taken == header for _, step in block.steps}

    def last(unit: Unit, _shape: Structure, _header: int) -> list[Step]:
        return [step for block in unit.blocks for _, step in block.steps if id(step) in steps]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "_steps_of", last)
        return RIGHT_STOP(unit, shape, header)


def counted_down_by_any_number(unit: Unit, shape: Structure, header: int) -> Stop | None:
    """counters._stop that takes what is subtracted for 32 bits: -2^31 is its own negative then."""
    stop = RIGHT_STOP(unit, shape, header)
    return stop._replace(step=-(2**31)) if stop is not None and stop.step == 2**31 else stop


def deaf_to_new_entries(solver: intervals._Solver, header: int, state: State) -> None:
    """_Solver._enter that leaves what was said of a loop's counters as it is."""
    entering = solver._entering.get(header, state)
    solver._entering[header] = intervals._join(entering, state)


def grown_by_the_least(old: int | None, new: int | None) -> int | None:
    """counters._worse that takes steps of 32 bits among those of 64 for the faster bound."""
    if old is None or new is None:
        return None
    return min(old, new) if old and new else old or new


WRONG: Final[dict[str, tuple[object, str, Callable[..., object]]]] = {
    "steps that miss the end": (Stop, "range", passes_its_end),
    "comparisons of 32 bits": (Stop, "range", has_two_widths),
    "an end that was passed": (Stop, "range", is_behind_its_end),
    "a counter changed twice": (counters, "_stop", stopped_whatever_changes_it),
    "a subtraction of -2^31": (counters, "_stop", counted_down_by_any_number),
    "a counter of both widths": (counters, "_worse", grown_by_the_least),
    "a loop entered with more": (intervals._Solver, "_enter", deaf_to_new_entries),
    "distances over 32 bits": (relations, "_sum", sums_of_32_bits),
    "distances the wrong way": (relations, "_sum", sums_the_wrong_way),
    "distances of one way": (relations, "_meeting", first_way_only),
    "distances that wrap": (intervals, "tell", told_without_wrapping),
}


@pytest.mark.parametrize(("where", "name", "wrong"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(
    where: object, name: str, wrong: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, wrong)
    assert any(violation(number, text) for number, text in programs(0, ENOUGH))
