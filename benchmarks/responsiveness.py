"""How fast a device answers while a program spins: GET /device, side by side with an idle device.

    .venv/bin/python benchmarks/responsiveness.py [--requests 500] [--engine auto|interpreter|switch|jit]

Starts a file server and a device of its own, deploys an endless loop, runs it with a deadline that lasts the
whole measurement, and prints the round trips of both phases. The goal is a median below 50 ms. Then it runs
the loop as a job, and measures how long DELETE /jobs/{id} takes to be back, which is when the program has
stopped: 100 ms are the goal.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from aiocoap import Code
from testbed import Testbed, start_job, testbed

from device.engines import ENGINES
from device.transport import client_context, expect_success, parse_url, request

SOURCE = "long spin(void) { volatile long n = 0; for (;;) n++; }\n"
SPIN_S = 60
LASTING = ("--limit", f"budget_default={2**32 - 1}")
"""Options of a device on which a loop lasts."""
KILLS = 20


async def kills(url: str, engine: str, count: int) -> list[float]:
    """Milliseconds that it takes to stop a spinning job, `count` of them one after the other."""
    context = await client_context()
    found = []
    try:
        for _ in range(count):
            job = await start_job(context, url, engine, "running")
            await asyncio.sleep(0.1)
            begin = time.perf_counter()
            expect_success(await request(context, parse_url(job).message(Code.DELETE), timeout_s=10))
            found.append((time.perf_counter() - begin) * 1000)
    finally:
        await context.shutdown()
    return sorted(found)


async def round_trips(url: str, count: int) -> list[float]:
    """Milliseconds of `count` requests, one after the other."""
    context = await client_context()
    found = []
    try:
        for _ in range(count):
            begin = time.perf_counter()
            answer = await request(context, parse_url(f"{url}/device").message(Code.GET), timeout_s=10)
            expect_success(answer)
            found.append((time.perf_counter() - begin) * 1000)
    finally:
        await context.shutdown()
    return sorted(found)


def show(what: str, times: list[float]) -> None:
    """One line of the table."""
    at = [times[int(len(times) * share)] for share in (0.95, 0.99)]
    print(
        f"{what:<10} {statistics.median(times):8.2f} {at[0]:8.2f} {at[1]:8.2f} {times[-1]:8.2f}   ms"
        f"  ({len(times)} requests)"
    )


def measure(bed: Testbed, device: str, requests: int, engine: str) -> None:
    """All phases on a device of a testbed that has nothing else to do."""
    url, spinning = bed.urls[device], None
    try:
        bed.deploy(device, SOURCE)
        idle = asyncio.run(round_trips(url, requests))
        spinning = bed.begin(
            "exec", "--slot", "0", "-d", device, "--timeout", str(SPIN_S), "--engine", engine
        )
        while "running" not in bed.client("ps", "-d", device).stdout:
            if spinning.poll() is not None:
                raise SystemExit("the program does not spin")
            time.sleep(0.1)
        busy = asyncio.run(round_trips(url, requests))
        if spinning.poll() is not None:
            raise SystemExit(f"the program ended before the measurement: take fewer than {requests} requests")
        print(f"{'':<10} {'median':>8} {'p95':>8} {'p99':>8} {'max':>8}")
        show("idle", idle)
        show("spinning", busy)
        spinning.kill()
        show("kill", asyncio.run(kills(url, engine, KILLS)))
        print(f"{'ratio':<10} {statistics.median(busy) / statistics.median(idle):8.2f}")
    finally:
        if spinning is not None:
            spinning.kill()
            spinning.wait()


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    given = parser.parse_args()
    with testbed(["bench"], *LASTING) as bed:
        measure(bed, "bench", given.requests, given.engine)


if __name__ == "__main__":
    main()
