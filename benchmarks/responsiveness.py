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
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiocoap import Code

from device.api import CBOR, decode_body, encode_body
from device.engines import ENGINES
from device.transport import client_context, expect_success, free_port, parse_url, request

BIN = Path(sys.executable).parent
SOURCE = "long spin(void) { volatile long n = 0; for (;;) n++; }\n"
SPIN_S = 60
KILLS = 20


async def kills(url: str, engine: str, count: int) -> list[float]:
    """Milliseconds that it takes to stop a spinning job, `count` of them one after the other."""
    context = await client_context()
    found = []
    try:
        for _ in range(count):
            body = encode_body({"slot": 0, "engine": engine}, CBOR)
            started = parse_url(f"{url}/jobs").message(Code.POST, body, content_format=CBOR)
            answer = await request(context, started, timeout_s=10)
            expect_success(answer)
            job = parse_url(f"{url}/jobs/{decode_body(answer.payload, CBOR)['id']}")
            while True:
                answer = await request(context, job.message(Code.GET), timeout_s=10)
                if decode_body(answer.payload, CBOR)["state"] == "running":
                    break
            await asyncio.sleep(0.1)
            begin = time.perf_counter()
            expect_success(await request(context, job.message(Code.DELETE), timeout_s=10))
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


def client(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the client and wait for it."""
    command = [str(BIN / "client"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def measure(folder: Path, requests: int, engine: str) -> None:
    """All phases on a testbed in `folder`."""
    server, device = free_port(), free_port()
    environment = {
        **os.environ,
        "MICROBPF_SERVER": f"coap://127.0.0.1:{server}",
        "MICROBPF_KEY": str(folder / "operator.pem"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    client(environment, "keygen", "--to", environment["MICROBPF_KEY"])
    (folder / "trusted").mkdir()
    (folder / "operator.pem.pub").rename(folder / "trusted" / "operator.pem.pub")
    (folder / "spin.c").write_text(SOURCE, encoding="utf-8")
    commands = [
        [str(BIN / "fileserver"), "--root", str(folder / "served"), "--port", str(server)],
        [str(BIN / "device"), "--port", str(device), "--keys", str(folder / "trusted"), "--name", "bench",
         "--limit", f"budget_default={2**32 - 1}"],
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, env=environment, **quiet) for command in commands]
    spinning = None
    try:
        end = time.monotonic() + 10
        while client(environment, "deploy", str(folder / "spin.c"), "-d", "bench").returncode:
            if time.monotonic() > end:
                raise SystemExit("the device did not take the program")
            time.sleep(0.2)
        url = f"coap://127.0.0.1:{device}"
        idle = asyncio.run(round_trips(url, requests))
        spinning = subprocess.Popen(
            [
                str(BIN / "client"),
                "exec",
                "--slot",
                "0",
                "-d",
                "bench",
                "--timeout",
                str(SPIN_S),
                "--engine",
                engine,
            ],
            env=environment,
            **quiet,
        )
        while "running" not in client(environment, "ps", "-d", "bench").stdout:
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
        for process in running:
            process.terminate()
            process.wait(timeout=30)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.requests, given.engine)


if __name__ == "__main__":
    main()
