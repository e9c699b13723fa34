"""What hostile envelopes cost a device: time of each refusal, and whether memory stays flat (suit.md P8, P9).

    .venv/bin/python benchmarks/hostile_manifests.py [--count 100000]

Envelopes of both formats, changed in every way the fuzz tests know, are verified and planned one by one.
Prints how they ended, how long the slowest took, and how much memory is kept of them. The goals are less than
50 ms for each, and nothing kept.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.property.test_suit_mutations import (
    SUBJECTS,
    Outcomes,
    changed_envelope,
    damaged_envelope,
    resigned_bytes,
    resigned_commands,
    resigned_encodings,
    resigned_values,
    stranger,
)

KINDS = (
    damaged_envelope,
    changed_envelope,
    stranger,
    resigned_bytes,
    resigned_values,
    resigned_encodings,
    resigned_commands,
)


def measure(count: int) -> tuple[Outcomes, list[float]]:
    """The outcomes, and the milliseconds of each with the making of the envelope."""
    outcomes, took = Outcomes(), []
    for number in range(count):
        source = random.Random(f"hostile/{number}")
        begin = time.thread_time()
        KINDS[number % len(KINDS)](source, outcomes, SUBJECTS[number % len(SUBJECTS)])
        took.append((time.thread_time() - begin) * 1000)
    return outcomes, took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    count = parser.parse_args().count
    outcomes, took = measure(count)
    ordered = sorted(took)
    median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.999)]
    print(
        f"{count} envelopes: median {median:.2f} ms, 99.9 % below {late:.2f} ms, slowest {ordered[-1]:.1f} ms"
    )
    for name, number in outcomes.most_common():
        print(f"  {number:8} {name}")
    tracemalloc.start()
    measure(2000)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    measure(10_000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    # The list of times is the measurement's own.
    print(f"kept of 10000 more: {(after - before) / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
