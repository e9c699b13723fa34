"""Compiled programs beside each other and beside everything else: what they take from one another.

    .venv/bin/python benchmarks/parallel.py [--rounds 7] [--requests 300]

Three questions, each with devices of their own:

- Two devices, a process each, and two devices of one process: how much more two runs get done at the same
  time than one alone. 2 is all that two cores can do; runs alone and together take turns in each round. On a
  machine that others use too, runs wait for a core: what would be without that is told from the scheduler's
  books (Linux), and shows whether the devices wait for each other.
- A compiled program that spins: the round trips of GET /device meanwhile (the goal is a median below 50 ms),
  and how long it takes to kill it (100 ms).
- Compiled jobs that sleep for ever, as many as may: whether a short run is still compiled, and its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from aiocoap import Context
from responsiveness import LASTING, measure, show
from testbed import Testbed, post, start_job, testbed

from device.transport import client_context

WORK = """
unsigned long work(void) {
    unsigned long x = 88172645463325252ul;
    for (unsigned i = 0; i < 30000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}
"""
"""A generator of random numbers, for about a second of compiled code."""

SLEEP = """
#include <bpf/helpers.h>
long sleep_for_ever(void) {
    uint32_t last = bpf_ztimer_now();
    BPF_KEEP_LOOP
    for (;;) bpf_ztimer_periodic_wakeup(&last, 3600000000u);
}
"""
SHORT = "long seven(void) { return 7; }\n"
WORKERS = 4
SLEEPERS = WORKERS // 2
"""As many as one client address may have."""
RUN_S = 60


async def compiled(context: Context, url: str, slot: int = 0) -> dict[str, Any]:
    """The answer of a run of compiled code."""
    fields = {"engine": "jit", "timeout_ms": RUN_S * 1000}
    answer: dict[str, Any] = await post(context, f"{url}/slots/{slot}/exec", fields, RUN_S)
    if answer["engine"] != "jit" or "fault" in answer:
        raise SystemExit(f"not what was asked for: {answer}")
    return answer


def scheduled(processes: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Of each thread the nanoseconds that it ran, and that it waited for a core."""
    found = {}
    for process in processes:
        for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
            ran, waited, _ = path.read_text(encoding="ascii").split()
            found[path.parent.name] = int(ran), int(waited)
    return found


async def together(context: Context, urls: Sequence[str], processes: Sequence[int]) -> tuple[float, float]:
    """Seconds until one run of each of these devices is over; those of a run that had a core."""
    before, begin = scheduled(processes), time.perf_counter()
    answers = await asyncio.gather(*(compiled(context, url) for url in urls))
    seconds, after = time.perf_counter() - begin, scheduled(processes)
    spent = [
        (ran - before.get(thread, (0, 0))[0], waited - before.get(thread, (0, 0))[1])
        for thread, (ran, waited) in after.items()
    ]
    waited_s = [waited / 1e9 for _, waited in sorted(spent, reverse=True)[: len(urls)]]
    run_s = [answer["time_us"]["run"] / 1e6 for answer in answers]
    return seconds, (sum(run_s) - sum(waited_s)) / len(urls)


async def throughput(bed: Testbed, rounds: int) -> list[tuple[float, float]]:
    """How many times as much two devices get done as one, in each round; and without waiting for a core."""
    context, urls = await client_context(), list(bed.urls.values())
    try:
        await together(context, urls, bed.processes)  # compiles
        found = []
        for turn in range(rounds):
            alone = await together(context, [urls[turn % 2]], bed.processes)
            both = await together(context, urls, bed.processes)
            found.append((2 * alone[0] / both[0], 2 * alone[1] / both[1]))
        return found
    finally:
        await context.shutdown()


def parallel(bed: Testbed, what: str, rounds: int) -> None:
    """Ask and print the first question."""
    for device in bed.urls:
        bed.deploy(device, WORK)
    print(what)
    found = zip(*asyncio.run(throughput(bed, rounds)), strict=True)
    for how, ratios in zip(("on the clock", "with a core each"), found, strict=True):
        spread = f"({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)"
        print(f"  {how:<18} {median(ratios):5.2f} times one   {spread}")


async def beside_sleepers(url: str, count: int) -> list[float]:
    """Milliseconds of short compiled runs beside jobs that sleep."""
    context = await client_context()
    try:
        for _ in range(SLEEPERS):
            await start_job(context, url, "jit", "sleeping")
        found = []
        for _ in range(count):
            begin = time.perf_counter()
            await compiled(context, url, 1)
            found.append((time.perf_counter() - begin) * 1000)
        return sorted(found)
    finally:
        await context.shutdown()


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=300)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with testbed(["one", "two"], *LASTING) as bed:
        parallel(bed, "two processes", given.rounds)
    with testbed(["one"], *LASTING, "--count", "2") as bed:
        first, port = bed.urls["one"].rsplit(":", 1)
        pair = {"one-1": f"{first}:{port}", "one-2": f"{first}:{int(port) + 1}"}
        parallel(replace(bed, urls=pair), "two devices of one process", given.rounds)
    print("\na compiled program that spins")
    with testbed(["bench"], *LASTING) as bed:
        measure(bed, "bench", given.requests, "jit")
    print(f"\nshort compiled runs beside {SLEEPERS} jobs that sleep")
    with testbed(["bench"], "--workers", str(WORKERS)) as bed:
        bed.deploy("bench", SLEEP)
        bed.deploy("bench", SHORT, 1)
        show("exec", asyncio.run(beside_sleepers(bed.urls["bench"], given.requests)))


if __name__ == "__main__":
    main()
