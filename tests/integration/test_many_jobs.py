"""50 jobs at once on one device process, over UDP: right results, no cross-talk, CoAP alive."""

from __future__ import annotations

import asyncio
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiocoap import Code
from aiocoap.resource import Site

from device.api import CBOR, JobInfo, decode_body, encode_body
from device.transport import CoapContext, client_context, parse_url, request, server_context
from device.vm.asm import assemble
from tests.device_bench import NAMES, SEVEN
from tests.device_process import device_process, prepare_state

ROUNDS, STEPS = 30, 300
FACTOR = 6364136223846793005
MASK = 2**64 - 1

# A generator of random numbers that sleeps now and then: its result is that of its own seed or of nobody.
GENERATOR = assemble(
    f"""
        ldxdw r6, [r1]
        mov r9, r1
        call bpf_ztimer_now
        stxw [r10-4], r0
        lddw r7, {FACTOR}
        mov r8, {ROUNDS}
    round:
        mov r5, {STEPS}
    step:
        mul r6, r7
        add r6, 1
        sub r5, 1
        jne r5, 0, step
        mov r1, r10
        add r1, -4
        mov r2, 30000
        call bpf_ztimer_periodic_wakeup
        sub r8, 1
        jne r8, 0, round
        stxdw [r9], r6
        mov r0, r6
        exit
    """,
    helpers=NAMES,
)


def with_data(source: str) -> bytes:
    text = assemble(source, helpers=NAMES)
    return b"rBPF" + struct.pack("<6I", 0, 0, 8, 0, len(text), 0) + bytes(8) + text


# Counts to 10 in .data, apart from what others count there, with a sleep after each.
COUNTER = with_data(
    """
        lddwd r7, 0
        call bpf_ztimer_now
        stxw [r10-4], r0
        mov r6, 10
    round:
        ldxdw r8, [r7]
        mov r5, 300
    work:
        sub r5, 1
        jne r5, 0, work
        add r8, 1
        stxdw [r7], r8
        mov r1, r10
        add r1, -4
        mov r2, 2000
        call bpf_ztimer_periodic_wakeup
        sub r6, 1
        jne r6, 0, round
        ldxdw r0, [r7]
        exit
    """
)
FOR_EVER = assemble(
    """
        call bpf_ztimer_now
        stxw [r10-4], r0
    again:
        mov r1, r10
        add r1, -4
        lddw r2, 3000000000
        call bpf_ztimer_periodic_wakeup
        ja again
        exit
    """,
    helpers=NAMES,
)


def generated(seed: int) -> int:
    for _ in range(ROUNDS * STEPS):
        seed = (seed * FACTOR + 1) & MASK
    return seed


class Peer:
    """One client address."""

    def __init__(self, context: CoapContext, url: str) -> None:
        self.context = context
        self.url = url

    async def ask(self, code: Code, path: str, body: Any = None) -> tuple[str, Any, Any]:
        message = parse_url(self.url + path).message(code, b"" if body is None else encode_body(body, CBOR))
        if body is not None:
            message.opt.content_format = CBOR
        answer = await request(self.context, message, timeout_s=20)
        return (
            answer.code.dotted,
            decode_body(answer.payload, CBOR) if answer.payload else None,
            answer.opt.location_path,
        )

    async def start(self, slot: int, context: bytes = b"") -> str:
        body: dict[str, Any] = {"slot": slot}
        if context:
            body["context"] = context
        code, _, location = await self.ask(Code.POST, "/jobs", body)
        assert code == "2.01"
        return "/" + "/".join(location)

    async def result(self, path: str, seconds: float = 60) -> JobInfo:
        until = monotonic() + seconds
        while True:
            code, value, _ = await self.ask(Code.GET, path)
            assert code == "2.05"
            info = JobInfo.from_map(value, strict=False)
            if info.state in ("finished", "faulted", "killed"):
                return info
            assert monotonic() < until, info
            await asyncio.sleep(0.1)


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    images = {**dict.fromkeys(range(10), GENERATOR), 10: COUNTER, 11: FOR_EVER, 12: SEVEN}
    await prepare_state(tmp_path / "state", images, slots=16)
    return tmp_path / "state"


async def test_50_jobs(state: Path) -> None:
    options = ("--workers", "50", "--slots", "16", "--state", str(state))
    with device_process(*options) as process:
        async with AsyncExitStack() as stack:
            peers = []
            for host in ("127.0.0.1", "127.0.0.2"):
                context = await (server_context(Site(), host, 0) if host[-1] == "2" else client_context())
                stack.push_async_callback(context.shutdown)
                peers.append(Peer(context, process.url))
            first, second = peers

            asleep = [await first.start(11) for _ in range(10)]
            seeds = {
                path: seed
                for seed in range(1, 31)
                for path in [await peers[seed % 2].start(seed % 10, struct.pack("<Q", seed))]
            }
            counting = [await second.start(10) for _ in range(10)]
            code, listing, _ = await first.ask(Code.GET, "/jobs")
            assert (code, len(listing["items"])) == ("2.05", 50)

            for _ in range(20):  # the device lives: it says who it is, and runs something short
                assert (await first.ask(Code.GET, "/device"))[0] == "2.05"
                code, answer, _ = await second.ask(Code.POST, "/slots/12/exec", {})
                assert (code, answer["r0_signed"]) == ("2.04", 7)

            for path, seed in seeds.items():
                info = await first.result(path)
                assert info.state == "finished", info
                assert int(info.r0 or "", 16) == generated(seed)
                assert info.context == struct.pack("<Q", generated(seed))
            counted = [(await second.result(path)).r0_signed for path in counting]
            assert max(number or 0 for number in counted) == 100

            states = [JobInfo.from_map((await first.ask(Code.GET, path))[1], strict=False) for path in asleep]
            assert {info.state for info in states} == {"sleeping"}
            assert (await first.ask(Code.DELETE, "/slots/11"))[0] == "4.09"
            for path in asleep:
                assert (await first.ask(Code.DELETE, path))[0] == "2.02"
                assert (await first.ask(Code.GET, path))[1]["state"] == "killed"
            assert (await first.ask(Code.DELETE, "/slots/11"))[0] == "2.02"


async def test_all_from_one_address(state: Path) -> None:
    """Half of the workers are its own; what it asks for beyond that waits, and is done as well."""
    options = ("--workers", "50", "--slots", "16", "--state", str(state))
    with device_process(*options) as process:
        context = await client_context()
        try:
            peer = Peer(context, process.url)
            paths = [await peer.start(seed % 10, struct.pack("<Q", seed)) for seed in range(50)]
            ends = [await peer.result(path) for path in paths]
            assert [int(end.r0 or "", 16) for end in ends] == [generated(seed) for seed in range(50)]
            assert {end.worker for end in ends} <= set(range(25, 50))
        finally:
            await context.shutdown()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "4.00"),
        ({"slot": "0"}, "4.00"),
        ({"slot": 0, "helper": []}, "4.00"),
        ({"slot": 99}, "4.04"),
        ({"slot": 5}, "4.09"),
        ({"slot": 0, "helpers": [1]}, "4.22"),
        ({"slot": 0, "timeout_ms": 0}, "4.00"),
    ],
    ids=str,
)
async def test_jobs_that_are_refused(tmp_path: Path, body: dict[str, Any], code: str) -> None:
    await prepare_state(tmp_path / "state", {0: GENERATOR})
    with device_process("--state", str(tmp_path / "state"), "--slots", "6") as process:
        context = await client_context()
        try:
            peer = Peer(context, process.url)
            assert (await peer.ask(Code.POST, "/jobs", body))[0] == code
            for path in ("/jobs/1", "/jobs/x", "/jobs/01", "/jobs/1/2"):
                assert (await peer.ask(Code.GET, path))[0] == "4.04"
        finally:
            await context.shutdown()
