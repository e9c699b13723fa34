"""How long something takes, on a machine that others use too."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time


def best_of(times: int, action: Callable[[], object]) -> float:
    """Seconds of the processor, on this thread alone, of the cheapest of some runs.

    What disturbs a run only makes it dearer, and the time that others have meanwhile is not counted.
    """
    taken = []
    for _ in range(times):
        begin = thread_time()
        action()
        taken.append(thread_time() - begin)
    return min(taken)
