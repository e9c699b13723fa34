"""The layers, or some of them, on one process or several.

    python -m tests.property.differential.layers
    python -m tests.property.differential.layers --programs 1000000
    python -m tests.property.differential.layers --layer edges --layer calls --processes 1
    python -m tests.property.differential.layers --layer single --only 1234

Without --programs every trial of every layer is run once. With less, they are spread over all layers in
proportion. Ends with 1, and a reproducer on stdout, when engines differ; `python -m
tests.property.differential --replay` runs it again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from multiprocessing.queues import Queue
from queue import Empty
from time import monotonic

from tests.property.differential.layers.campaign import Count
from tests.property.differential.layers.table import layers
from tests.property.differential.layers.workers import Order, Word, work
from tests.property.fuzzing import SEED

SHOWN_EVERY_S = 60.0


def run(orders: list[Order]) -> int:
    """All processes; the exit code."""
    context = multiprocessing.get_context("spawn")
    words: Queue[Word] = context.Queue()
    processes = [context.Process(target=work, args=(order, words), daemon=True) for order in orders]
    begin = shown = monotonic()
    for process in processes:
        process.start()
    counts: dict[str, Count] = {}
    worked = 0.0
    running, found = len(processes), list[str]()
    while running:
        try:
            word = words.get(timeout=5)
        except Empty:
            if not any(process.is_alive() for process in processes):
                raise SystemExit("layers: a process died without a word") from None
            continue
        for name, count in word.counts.items():
            counts.setdefault(name, Count()).add(count)
        running -= word.last
        worked += word.seconds
        if word.found is not None:
            found.append(word.found)
            sys.stdout.write(word.found)
            sys.stdout.flush()
        if monotonic() - shown > SHOWN_EVERY_S:
            shown = monotonic()
            say(total(counts, shown - begin, worked, len(found)))
    for process in processes:
        process.join()
    for name, count in counts.items():
        say(f"layers: {name:10} {told(count)}")
    say(f"layers: seed {orders[0].seed}, " + total(counts, monotonic() - begin, worked, len(found)))
    return 1 if found else 0


def told(count: Count) -> str:
    """What was done, in words."""
    ends = ", ".join(f"{name} {number:,}" for name, number in sorted(count.ends.items(), key=lambda e: -e[1]))
    refused = f", {count.refused:,} refused" if count.refused else ""
    return f"{count.programs:,} programs{refused}, {count.cases:,} cases, {count.executions:,} runs; {ends}"


def total(counts: dict[str, Count], seconds: float, worked: float, found: int) -> str:
    """All layers in one line, with the rates."""
    everything = Count()
    for count in counts.values():
        everything.add(count)
    rate, own = (everything.programs / max(time, 1e-9) for time in (seconds, worked))
    rates = f"{rate:,.0f} programs/s, {own:,.0f} in a second of processor time"
    return f"{rates}, {seconds:,.0f} s, {found} differences; {told(everything)}"


def say(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(text + "\n")


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.property.differential.layers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--programs", type=int, help="how many (default: all there are)")
    parser.add_argument("--seed", default=str(SEED), help=f"default {SEED}, or MICROBPF_FUZZ_SEED")
    parser.add_argument("--layer", action="append", default=[], metavar="NAME", help="only these layers")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one trial of the one layer given")
    parser.add_argument("--most", type=int, default=20, help="differences after which a process ends")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    found = layers(given.seed)
    names = tuple(name for name in found if not given.layer or name in given.layer)
    if not names or (given.only is not None and len(names) != 1):
        parser.error(f"the layers are {', '.join(found)}; --only wants one of them")
    size = sum(found[name].size for name in names)
    programs = min(size, given.programs or size)
    say(f"layers: {programs:,} of {size:,} programs: {', '.join(names)}")
    processes = 1 if given.only is not None else given.processes
    return run(
        [
            Order(given.seed, names, programs, process, processes, given.only, given.most)
            for process in range(processes)
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
