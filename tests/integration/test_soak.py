"""Some seconds of what `make soak` does for an hour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.soak.__main__ import arguments, grown, show, soak, summary
from tests.soak.campaign import Campaign, Tally
from tests.soak.gauges import Gauges

HELD = Gauges(resident_mb=60.0, blocks=1, tasks=9, threads=9, descriptors=8, cpu_s=1.0)


async def test_some_seconds_of_everything_at_once(tmp_path: Path) -> None:
    # Memory is not flat yet: answers are remembered for the lifetime of an exchange.
    given = arguments(["--seconds", "8", "--rate", "60", "--warm-up", "4", "--sample", "2", "--growth", "60"])
    found = await soak(given, tmp_path)
    assert found["ok"], show(found)
    assert found["compared"]
    counts = found["counts"]
    assert counts["requests"] > 200
    assert counts["deploys"] >= 1
    assert min(counts["garbage"], counts["garbage answered"], counts["notifications"]) > 0
    assert "good" in show(found)


@pytest.mark.parametrize(
    ("end", "names"),
    [
        (HELD, []),
        (replace(HELD, resident_mb=69.9, blocks=10**6, cpu_s=9e9), []),
        (replace(HELD, resident_mb=70.1), ["resident_mb"]),
        (replace(HELD, tasks=22, threads=22), ["tasks", "threads"]),
        (replace(HELD, descriptors=9), ["descriptors"]),
    ],
)
def test_what_has_grown_is_said(end: Gauges, names: list[str]) -> None:
    assert grown(HELD, end, 10) == names


@pytest.mark.parametrize(
    ("ends", "compared"), [((60,), False), ((120,), False), ((119, 121, 180), True)], ids=str
)
def test_a_soak_as_short_as_its_warm_up_compares_nothing_and_says_so(
    ends: tuple[float, ...], compared: bool
) -> None:
    samples = [(at, replace(HELD, resident_mb=100.0 * number)) for number, at in enumerate((0.0, *ends))]
    campaign = cast(Campaign, SimpleNamespace(samples=samples, tally=Tally()))
    found = summary(campaign, arguments(["--warm-up", "120"]), ends[-1])
    assert (found["compared"], found["grown"]) == (compared, ["resident_mb"] if compared else [])
    assert ("not compared" in show(found)) is not compared
