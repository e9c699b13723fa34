"""More than a device can do at once: refused with a time to come back, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from pathlib import Path

import pytest
from aiocoap import Code

from device.execution import ShortRunPool
from device.node import NodeLimits
from device.vm.asm import assemble
from tests.device_bench import NAMES, SPIN, Bench, device, eventually, example

TEXT_IN_SLOT_0 = b"0180"
SLEEPS_AND_FAULTS = assemble(
    "call bpf_ztimer_now\nstxw [r10-8], r0\nmov r1, r10\nsub r1, 8\nlddw r2, 200000\n"
    "call bpf_ztimer_periodic_wakeup\nldxdw r0, [r0]\nexit",
    helpers=NAMES,
)


@pytest.mark.parametrize(
    ("method", "path", "payload"),
    [
        (Code.GET, "/slots/0/packet", b""),
        (Code.GET, "/app/slow", b""),
        (Code.POST, "/short-execution", TEXT_IN_SLOT_0 + b"6061"),
        (Code.POST, "/with_coap_pkt", TEXT_IN_SLOT_0 + b"6061"),
        (Code.POST, "/bpf/exec/0", b""),
    ],
    ids=["packet", "path", "short", "ubpf-packet", "tinypart"],
)
async def test_runs_that_find_no_place(method: Code, path: str, payload: bytes) -> None:
    pool = ShortRunPool(2, waiting=4)
    async with device(pool, slots=1) as bench:
        await bench.install(0, SLEEPS_AND_FAULTS)
        await bench.ask(Code.POST, "/hooks", {"slot": 0, "trigger": "path", "path": "slow"})
        replies = await asyncio.gather(*(bench.ask(method, path, payload=payload) for _ in range(20)))
        codes = Counter(reply.code for reply in replies)
        assert set(codes) == {"5.00", "5.03"}
        assert codes["5.00"] >= 3
        for reply in replies:
            assert (reply.message.opt.max_age == 1) == (reply.code == "5.03")
        assert (await bench.ask(method, path, payload=payload)).code == "5.00"
    pool.close()


async def storm(bench: Bench, rounds: int) -> None:
    """Everything at once, right and wrong, with hooks made and taken away."""
    for number in range(rounds):
        made = await bench.ask(Code.POST, "/hooks", {"slot": 1, "trigger": "path", "path": f"p{number}"})
        ticking = await bench.ask(Code.POST, "/hooks", {"slot": 0, "trigger": "interval", "period_ms": 10})
        replies = await asyncio.gather(
            *(bench.get("/slots/1/packet") for _ in range(8)),
            *(bench.get(f"/app/p{number}") for _ in range(8)),
            bench.ask(Code.PUT, "/saul/1", {"values": [number]}),
            bench.ask(Code.PUT, "/board", {"pins": {"C13": number % 2}}),
            bench.ask(Code.POST, "/short-execution", payload=b"zz"),
            bench.ask(Code.POST, "/native/exec", payload=b"006001"),
            bench.ask(Code.POST, "/long-running", payload=TEXT_IN_SLOT_0),
        )
        assert {reply.code for reply in replies} <= {"2.04", "2.05", "4.00", "5.03"}
        for reply in (made, ticking):
            path = "/" + "/".join(reply.message.opt.location_path)
            assert (await bench.ask(Code.DELETE, path)).code == "2.02"


def descriptors() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def test_nothing_is_left_of_a_storm() -> None:
    async with device(slots=2, limits=NodeLimits(budget_default=20_000)) as bench:
        await bench.install(0, SPIN)
        await bench.install(1, example("gcoap_hello"))
        await storm(bench, 3)
        await eventually(lambda: not any(bench.node.executor.workers))
        await asyncio.sleep(0.3)
        before = len(asyncio.all_tasks()), threading.active_count(), descriptors()
        await storm(bench, 15)
        await eventually(lambda: not any(bench.node.executor.workers))
        await eventually(lambda: len(asyncio.all_tasks()) <= before[0])
        await eventually(lambda: threading.active_count() <= before[1] + 2)
        assert descriptors() <= before[2] + 1
        assert (await bench.get("/hooks")).value == {"items": []}
        assert (await bench.get("/slots/1/packet")).value == "hello"
