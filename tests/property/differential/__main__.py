"""The long form: many cases for a number of seconds, on several processes.

    python -m tests.property.differential --seconds 600
    python -m tests.property.differential --seed 7 --only 1234
    python -m tests.property.differential --replay found.s

Ends with 1, and a reproducer on stdout, when engines differ.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from time import monotonic

from tests.property.differential import listing
from tests.property.differential.campaign import Difference, Tally, differs
from tests.property.differential.engines import candidates, chosen
from tests.property.differential.workers import Order, Word, work
from tests.property.fuzzing import SEED

SHOWN_EVERY_S = 15.0


def run(orders: list[Order]) -> int:
    """All processes; the exit code."""
    context = multiprocessing.get_context("spawn")
    words: Queue[Word] = context.Queue()
    processes = [context.Process(target=work, args=(order, words), daemon=True) for order in orders]
    begin = shown = monotonic()
    for process in processes:
        process.start()
    total, running = Tally(), len(processes)
    found: list[str] = []
    while running and not found:
        try:
            word = words.get(timeout=5)
        except Empty:
            if not any(process.is_alive() for process in processes):
                raise SystemExit("fuzz: a process died without a word") from None
            continue
        total.add(word.tally)
        running -= word.last
        if word.found is not None:
            found.append(word.found)
        if monotonic() - shown > SHOWN_EVERY_S:
            shown = monotonic()
            say(summary(orders, total, shown - begin, len(found)))
    for process in processes:
        if found:
            process.terminate()
        process.join()
    for text in found:
        sys.stdout.write(text)
    say(summary(orders, total, monotonic() - begin, len(found)))
    return 1 if found else 0


def summary(orders: list[Order], total: Tally, seconds: float, found: int) -> str:
    """One line: seed, cases, rate, what came of the programs that ran."""
    ends = ", ".join(f"{name} {number:,}" for name, number in sorted(total.ends.items(), key=lambda e: -e[1]))
    rate = total.cases / max(seconds, 1e-9)
    return (
        f"fuzz: seed {orders[0].seed}, {total.cases:,} cases of {total.programs:,} programs "
        f"({total.refused:,} refused), "
        f"{total.runs:,} runs in {seconds:.0f} s, {rate:,.0f} cases/s on {len(orders)} processes, "
        f"{found} differences; {ends}"
    )


def say(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(text + "\n")


def replay(path: Path, engines: list[str]) -> int:
    """A reproducer, on all engines; the exit code."""
    case = listing.read(path.read_text(encoding="utf-8"))
    differences: list[Difference] = []
    for name, make in chosen(candidates(), engines).items():
        difference = differs(name, make(), case)
        say(f"{name}: {'the same' if difference is None else 'differs'}")
        differences += [difference] if difference is not None else []
    for difference in differences:
        sys.stdout.write(listing.report(difference))
    return 1 if differences else 0


def main() -> int:
    """Parse the arguments and fuzz."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.property.differential",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--cases", type=int, help="how many cases instead, from number 0")
    parser.add_argument("--seed", default=SEED, help=f"default {SEED}, or MICROBPF_FUZZ_SEED")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one case")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME", help="only these engines")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a reproducer instead")
    given = parser.parse_args()
    names = list(chosen(candidates(), given.engine))
    say(f"fuzz: switch against {', '.join(names) or 'nothing: no other engine is there'}")
    if given.replay is not None:
        return replay(given.replay, given.engine)
    first, step = (0, given.processes) if given.only is None else (given.only, 1)
    last = given.only + 1 if given.only is not None else given.cases or sys.maxsize
    until = float("inf") if given.cases or given.only is not None else monotonic() + given.seconds
    return run(
        [
            Order(str(given.seed), given.engine, first + number, step, last, until)
            for number in range(step if given.only is None else 1)
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
