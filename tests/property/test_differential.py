"""All engines mean the same, on programs that nobody wrote; and the fuzzer that says so can say otherwise.

`make fuzz SECONDS=600` is the long form.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.property.broken_engines import BROKEN, BrokenEngine
from tests.property.differential import listing
from tests.property.differential.campaign import Campaign, accepts, differs
from tests.property.differential.case import Case, Setup
from tests.property.differential.engines import Factory, candidates, reference
from tests.property.differential.execute import Observed, execute
from tests.property.differential.found import again, describe, smallest
from tests.property.differential.generate import generate
from tests.property.fuzzing import SEED as NUMBER

SEED = str(NUMBER)
CASES = 600
BATCHES = 4
ENOUGH = 6000
"""Cases within which every broken engine has to be found."""

ENDS = {
    "ILLEGAL_MEM", "CALL_DEPTH", "OUT_OF_INSTRUCTIONS", "OUT_OF_BRANCHES", "ILLEGAL_DIV", "HELPER_DENIED",
    "NO_RETURN", "KILLED",
}  # fmt: skip
"""Faults that generated programs come to."""

FOUND = sorted((Path(__file__).parent / "found").glob("*.s"))
"""Reproducers of differences that there once were, in an engine or in one made wrong on purpose."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_engines_agree(batch: int) -> None:
    factories = candidates()
    campaign = Campaign(SEED, factories)
    for number in range(batch * CASES // BATCHES, (batch + 1) * CASES // BATCHES):
        difference = campaign.check(number)
        assert difference is None, "\n" + describe(difference, factories, SEED, number)
    assert campaign.tally.refused < campaign.tally.programs // 2


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("engine", candidates())
def test_one_engine_serves_many_threads(engine: str) -> None:
    """Each case on four threads at once, with cases before and after it on the others."""
    accepted = [case for case in map(numbered, range(120)) if accepts(case.program(), case)]
    wanted = [execute(reference(), case.program(), case) for case in accepted for _ in range(4)]
    shared = candidates()[engine]()

    def run(case: Case) -> Observed:
        return execute(shared, case.program(), case)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(run, [case for case in accepted for _ in range(4)]))
    different = [number for number, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1]]
    assert [accepted[number // 4] for number in different] == []


def numbered(number: int) -> Case:
    return generate(random.Random(f"{SEED}/{number}"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_differed_once_agrees(path: Path) -> None:
    case = listing.read(path.read_text(encoding="utf-8"))
    assert accepts(case.program(), case)
    for name, make in candidates().items():
        difference = again(name, make, case)
        assert difference is None, "\n" + listing.report(difference)


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_broken_engine_is_found_and_its_case_made_small(wrong: str) -> None:
    make: Factory = partial(BrokenEngine, BROKEN[wrong])
    campaign = Campaign("broken", {"broken": make})
    found = next(filter(None, map(campaign.check, range(ENOUGH))), None)
    assert found is not None
    small = smallest(found, make)
    assert small is not None
    assert len(small.case.program().text) <= 12 * 8, listing.report(small)
    assert len(small.case.text) <= len(found.case.text)
    replayed = listing.read(listing.report(small))
    assert replayed == small.case
    assert differs("broken", make(), replayed) == small


def test_a_report_says_all_that_it_takes_to_see_it_again() -> None:
    make: Factory = partial(BrokenEngine, BROKEN["sub is add"])
    factories = {"broken": make}
    number = 0
    while (found := Campaign("7", factories).check(number)) is None:
        number += 1
    text = describe(found, factories, "7", number)
    assert text.startswith(f"; seed 7, case {number}\n; broken differs from switch in ")
    assert again("broken", make, listing.read(text)) is not None


def test_the_same_seed_makes_the_same_cases() -> None:
    one, two, other = (
        [generate(random.Random(f"{seed}/{number}")) for number in range(30)] for seed in ("1", "1", "2")
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize("number", range(40))
def test_cases_are_written_and_read(number: int) -> None:
    case = numbered(number)
    assert listing.read(listing.write(case)) == case


def test_every_directive_is_written_and_read() -> None:
    setup = Setup(b"\1\2", False, ((b"", True), (b"\3", False)), 64, 5, 6, (1, 2), 7, True, True, (b"v", b""))
    case = Case(bytes.fromhex("b400000000000000 9500000000000000"), setup, 9, 1, b"r", b"d", 3)
    assert listing.read(listing.write(case)) == case


def test_runs_get_far() -> None:
    """Most of what is generated is not over after a few instructions."""
    campaign = Campaign("far", {})
    for number in range(900):
        campaign.check(number)
    ends = campaign.tally.ends
    assert ends["exit"] > sum(ends.values()) // 2
    assert ends.keys() >= ENDS
