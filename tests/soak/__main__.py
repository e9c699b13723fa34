"""A soak from the command line: requests at a rate for a number of seconds, and what the device held.

    python -m tests.soak --seconds 3600 --rate 200

Prints a line a minute and a summary: wrong answers, memory after the warm-up and in the end, tasks, threads,
descriptors. Ends with 1 when an answer was wrong, memory grew by more than --growth MiB after the warm-up,
or tasks, threads or descriptors did. A soak that is no longer than its warm-up judges the answers alone, and
says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from client.connection import Connection
from tests.soak.campaign import Campaign
from tests.soak.gauges import Gauges
from tests.soak.site import open_site
from tests.soak.traffic import TIMEOUT_S

SPARE = 12
"""Tasks and threads that may come and go between two samples: requests under way, workers that start late."""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--warm-up", type=float, default=120, help="seconds until memory has to be flat")
    parser.add_argument("--growth", type=float, default=10, help="MiB that it may grow after that")
    parser.add_argument("--sample", type=float, default=60, help="seconds between two lines")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    return parser.parse_args(words)


async def soak(given: argparse.Namespace, home: Path) -> dict[str, Any]:
    """The whole of it; the summary."""
    patient = partial(Connection, timeout_s=TIMEOUT_S)  # a loaded machine is no wrong answer
    async with open_site(home) as site, patient() as connection, patient() as observing:
        campaign = Campaign(site, connection, observing, rate=given.rate, seed=given.seed, say=say)
        await campaign.run(given.seconds, given.sample)
        took = campaign.seconds
    log = site.log.read_text(encoding="utf-8")
    if "Traceback" in log:
        campaign.tally.fail("a traceback in the device's log")
    for text in log.splitlines():
        if '"level": "error"' in text or '"level":"error"' in text:
            campaign.tally.fail(f"log: {text}")
    return summary(campaign, given, took)


def summary(campaign: Campaign, given: argparse.Namespace, took: float) -> dict[str, Any]:
    """What came of it, and whether it is good."""
    warm = next((now for at, now in campaign.samples if at >= given.warm_up), campaign.samples[-1][1])
    end = campaign.samples[-1][1]
    load = os.getloadavg()
    found: dict[str, Any] = {
        "seconds": round(took),
        "requests_per_s": round(campaign.tally.counts["requests"] / took, 1),
        "client_cpu_s": round(process_time()),
        "load": [round(number, 2) for number in load],
        "counts": dict(campaign.tally.counts),
        "wrong": campaign.tally.wrong,
        "warm": warm.to_map(),
        "end": end.to_map(),
        "compared": warm is not end,
        "grown": grown(warm, end, given.growth),
    }
    return {"ok": not found["wrong"] and not found["grown"], **found}


def grown(warm: Gauges, end: Gauges, growth: float) -> list[str]:
    """What there is more of in the end, by name."""
    bounds = {"resident_mb": growth, "tasks": SPARE, "threads": SPARE, "descriptors": 0}
    return [name for name, most in bounds.items() if getattr(end, name) > getattr(warm, name) + most]


def say(text: str) -> None:
    """To stderr: stdout is for the summary."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show(found: dict[str, Any]) -> str:
    """The summary for people."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(found["counts"].items()))
    lines = [
        f"{found['seconds']} s at {found['requests_per_s']} requests/s: {counts}",
        f"load {found['load']}, {found['client_cpu_s']} s of processor time here",
        f"{'':<12} {'warm':>10} {'end':>10}",
    ]
    lines += [
        f"{name:<12} {value:>10.1f} {found['end'][name]:>10.1f}" for name, value in found["warm"].items()
    ]
    lines += [f"WRONG {text}" for text in found["wrong"]] + [f"GROWN {name}" for name in found["grown"]]
    if not found["compared"]:
        lines.append(
            "over before the warm-up was: what it holds is not compared, --seconds or --warm-up says more"
        )
    return "\n".join([*lines, "good" if found["ok"] else "not good"])


def main() -> int:
    """The exit code."""
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with it, whoever ends it
    with tempfile.TemporaryDirectory() as home:
        found = asyncio.run(soak(given, Path(home)))
    sys.stdout.write((json.dumps(found) if given.output == "json" else show(found)) + "\n")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
