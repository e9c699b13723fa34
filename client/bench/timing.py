"""How long something takes: warmed up, in rounds that take turns, as a median with its spread.

What is compared takes turns within each round, so that a machine that slows down slows all of it down, and
ratios are taken within rounds. Within a sample the median call counts: one that was interrupted does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final, TypeVar

Name = TypeVar("Name")
Call = Callable[[], float]
"""Does it once; the seconds that it took."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: seconds of warming up, rounds, and seconds of calls in one sample at least."""

    warm_s: float
    rounds: int
    sample_s: float


FULL: Final = Effort(warm_s=0.4, rounds=9, sample_s=0.03)
QUICK: Final = Effort(warm_s=0.15, rounds=3, sample_s=0.01)


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of one call, a sample for each round."""

    samples: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median of the rounds."""
        return median(self.samples)

    @property
    def fastest(self) -> float:
        """The best round."""
        return min(self.samples)

    @property
    def slowest(self) -> float:
        """The worst round."""
        return max(self.samples)

    def times_as_fast_as(self, other: Spread) -> float:
        """The median of what the ratio was in each round."""
        return median(theirs / ours for ours, theirs in zip(self.samples, other.samples, strict=True))


def side_by_side(subjects: Mapping[Name, Call], effort: Effort) -> dict[Name, Spread]:
    """Seconds of one call of each."""
    counts = {name: _warm_up(call, effort) for name, call in subjects.items()}
    samples: dict[Name, list[float]] = {name: [] for name in subjects}
    for _ in range(effort.rounds):
        for name, call in subjects.items():
            samples[name].append(median(call() for _ in range(counts[name])))
    return {name: Spread(tuple(taken)) for name, taken in samples.items()}


def _warm_up(call: Call, effort: Effort) -> int:
    """Call until it is warm; how many calls make a sample."""
    end = perf_counter() + effort.warm_s
    seconds = call()
    while perf_counter() < end:
        seconds = call()
    return max(1, round(effort.sample_s / max(seconds, 1e-9)))
