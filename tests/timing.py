"""How long something takes, on a machine that others use too."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter


def best_of(times: int, action: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: what disturbs a run only makes it slower."""
    taken = []
    for _ in range(times):
        begin = perf_counter()
        action()
        taken.append(perf_counter() - begin)
    return min(taken)
