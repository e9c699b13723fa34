"""Long runs: workers and shares, sleep, kill, what holds a slot, who overtakes whom."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest

from device.api import ExecAnswer, ExecRequest, JobInfo, JobRequest
from device.errors import Conflict, NotFound, Unavailable, Unprocessable
from device.execution import Executor, RunLimits, ShortRunPool
from device.execution.jobs import KEPT
from device.log import DeviceLog
from device.node.clock import BootClock
from device.peripherals import Board, make_board
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.vm.asm import assemble
from tests.device_bench import NAMES, SEVEN, SPIN, eventually

SECOND = 1_000_000
LONG = RunLimits(budget_default=2**32 - 1)


def sleeper(rounds: int, period_us: int) -> bytes:
    """Sleeps so often, so long, and adds one to the global key of its context's first byte each time."""
    return assemble(
        f"""
            ldxb r9, [r1]
            call bpf_ztimer_now
            stxw [r10-4], r0
            mov r6, {rounds}
        round:
            mov r1, r10
            add r1, -4
            lddw r2, {period_us}
            call bpf_ztimer_periodic_wakeup
            mov r1, r9
            mov r2, r10
            add r2, -8
            call bpf_fetch_global
            ldxw r2, [r10-8]
            add r2, 1
            mov r1, r9
            call bpf_store_global
            sub r6, 1
            jne r6, 0, round
            mov r0, r9
            exit
        """,
        helpers=NAMES,
    )


def with_data(source: str) -> bytes:
    """A program with 8 bytes of .data, in Femto-Containers' layout."""
    text = assemble(source, helpers=NAMES)
    return b"rBPF" + struct.pack("<6I", 0, 0, 8, 0, len(text), 0) + bytes(8) + text


SLEEP = """
            mov r1, r10
            add r1, -4
            lddw r2, {period}
            call bpf_ztimer_periodic_wakeup
"""


def counter(period_us: int) -> bytes:
    """Adds one to its .data: once with a context, for ever without, working and sleeping in between."""
    return with_data(
        f"""
            lddwd r7, 0
            jne r2, 0, once
            call bpf_ztimer_now
            stxw [r10-4], r0
        loop:
            mov r8, 3000
        work:
            sub r8, 1
            jne r8, 0, work
            ldxdw r0, [r7]
            add r0, 1
            stxdw [r7], r0
            {SLEEP.format(period=period_us)}
            ja loop
        once:
            ldxdw r0, [r7]
            add r0, 1
            stxdw [r7], r0
            exit
        """
    )


CRITICAL = with_data(  # is 1 when two of them are ever between sleep and sleep at once
    f"""
        lddwd r7, 0
        call bpf_ztimer_now
        stxw [r10-4], r0
        mov r6, 10
    round:
        ldxdw r1, [r7]
        jne r1, 0, met
        stdw [r7], 1
        mov r8, 5000
    work:
        sub r8, 1
        jne r8, 0, work
        stdw [r7], 0
        {SLEEP.format(period=500)}
        sub r6, 1
        jne r6, 0, round
        mov r0, 0
        exit
    met:
        mov r0, 1
        exit
    """
)
NAP = sleeper(1, 20_000)
FOR_EVER = sleeper(2**31 - 1, 3600 * SECOND)
OFTEN = sleeper(2**31 - 1, 1000)


@dataclass
class Host:
    executor: Executor
    images: SlotTable
    shared: MemoryStore
    board: Board
    pool: ShortRunPool
    log: DeviceLog

    def lines(self) -> list[str]:
        return [line.text for line in self.log.page().lines]

    async def install(self, slot: int, image: bytes) -> None:
        number = self.images.sequence_number + 1
        stored = StoredImage(image, sha256(image).digest(), "p", number)
        prepared = await self.executor.check(slot, image)
        await self.executor.replace({slot: prepared}, lambda: self.images.commit({slot: stored}, number))

    async def run(self, slot: int = 0, client: str = "me", **request: Any) -> ExecAnswer:
        return await self.executor.execute(slot, ExecRequest(**request), client)

    async def job(self, slot: int = 0, client: str = "me", **request: Any) -> int:
        limited = "timeout_ms" in request
        asked = JobRequest(slot, ExecRequest(**{"context": b"\x01", **request}), limited)
        return (await self.executor.start_job(asked, client)).number

    def info(self, number: int) -> JobInfo:
        return self.executor.job(number)

    def states(self) -> list[str]:
        return [job.state for job in self.executor.jobs()]

    async def ended(self, *numbers: int, seconds: float = 10) -> list[JobInfo]:
        done = ("finished", "faulted", "killed")
        await eventually(lambda: all(self.info(number).state in done for number in numbers), seconds)
        return [self.info(number) for number in numbers]


@asynccontextmanager
async def host(workers: int = 4, slots: int = 3, **options: Any) -> AsyncIterator[Host]:
    clock = BootClock()
    log, images, shared, pool = DeviceLog(clock), SlotTable(slots), MemoryStore(), ShortRunPool()
    board = make_board("native", clock.now_us)
    executor = Executor(
        images, shared, pool, log, clock, slots=slots, workers=workers, board=board, **options
    )
    try:
        yield Host(executor, images, shared, board, pool, log)
    finally:
        await executor.stop()
        pool.close()


class TestLife:
    async def test_from_sleep_to_result(self) -> None:
        async with host() as h:
            await h.install(0, sleeper(2, 30_000))
            number = await h.job(context=b"\x05")
            assert h.info(number).to_map()["state"] in ("queued", "running")
            await eventually(lambda: h.info(number).state == "sleeping")
            assert h.executor.slot_info(0).state == "running"
            (end,) = await h.ended(number)
            assert (end.state, end.r0_signed, end.worker, end.slot) == ("finished", 5, 3, 0)
            assert (end.fault, end.runs, end.context) == (None, 1, b"\x05")
            assert h.shared.entries() == {5: 2}
            assert h.executor.slot_info(0).runs == 1
            assert [(job.id, job.r0_signed, job.output) for job in h.executor.jobs()] == [(number, 5, None)]
            assert h.lines() == [f"job {number} finished: 5"]

    async def test_a_fault(self) -> None:
        async with host() as h:
            await h.install(0, SPIN)
            (end,) = await h.ended(await h.job(budget=1000))
            assert end.state == "faulted"
            assert end.fault is not None
            assert (end.fault["code"], end.instructions) == ("OUT_OF_INSTRUCTIONS", 1000)
            assert h.lines()[0].startswith(f"job {end.id}: OUT_OF_INSTRUCTIONS")

    async def test_output_is_there_while_it_runs(self) -> None:
        program = assemble(
            "mov r1, 42\ncall bpf_print_debug\nstw [r10-4], 0\nmov r1, r10\nadd r1, -4\n"
            "call bpf_ztimer_now\nstxw [r10-4], r0\nlddw r2, 3600000000\n"
            "call bpf_ztimer_periodic_wakeup\nexit",
            helpers=NAMES,
        )
        async with host() as h:
            await h.install(0, program)
            number = await h.job()
            await eventually(lambda: h.info(number).state == "sleeping")
            assert h.info(number).output == "[DEBUG]: 42\n"

    async def test_the_highest_free_worker_is_taken(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            numbers = [await h.job(client=client) for client in ("a", "b", "a")]
            assert [h.info(number).worker for number in numbers] == [3, 2, 1]
            assert h.executor.workers == (False, True, True, True)
            await h.executor.end_job(numbers[1])
            assert h.info(await h.job(client="c")).worker == 2

    async def test_ended_jobs_are_forgotten_in_the_end(self) -> None:
        async with host() as h:
            await h.install(0, SEVEN)
            first = await h.job()
            await h.ended(first)
            for _ in range(KEPT):
                await h.ended(await h.job())
            assert len(h.executor.jobs()) == KEPT
            with pytest.raises(NotFound):
                h.info(first)
            await h.executor.end_job(first + 5)
            with pytest.raises(NotFound):
                h.info(first + 5)

    async def test_without_a_limit_it_may_take_any_time_and_with_one_not(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            number = await h.job(timeout_ms=50)
            (end,) = await h.ended(number)
            assert end.state == "killed"
            assert end.fault is not None
            assert "deadline" in end.fault["detail"]


class TestKill:
    @pytest.mark.parametrize(
        ("image", "request_"),
        [
            pytest.param(FOR_EVER, {}, id="asleep"),
            pytest.param(OFTEN, {}, id="asleep now and then"),
            pytest.param(SPIN, {"engine": "switch"}, id="running"),
        ],
    )
    async def test_within_100_ms(self, image: bytes, request_: dict[str, Any]) -> None:
        async with host(limits=LONG) as h:
            await h.install(0, image)
            number = await h.job(**request_)
            await eventually(lambda: h.info(number).state != "queued")
            await asyncio.sleep(0.05)
            begin = time.monotonic()
            await h.executor.end_job(number)
            assert time.monotonic() - begin < 0.5  # 0.1 on a machine of one's own
            end = h.info(number)
            assert end.state == "killed"
            assert end.fault is not None
            assert "operator" in end.fault["detail"]
            assert h.executor.workers == (False,) * 4

    async def test_while_it_waits(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            numbers = [await h.job() for _ in range(3)]
            assert h.info(numbers[2]).state == "queued"
            await h.executor.end_job(numbers[2])
            assert h.info(numbers[2]).state == "killed"

    async def test_a_stop_ends_all(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            await h.install(1, OFTEN)
            for client in "abcd":
                await h.job(slot=client in "ab", client=client)
            await eventually(lambda: h.states().count("queued") == 0)
            await h.executor.stop()
            assert h.states() == ["killed"] * 4
            with pytest.raises(Unavailable):
                await h.job()

    async def test_a_job_waits_for_a_commit(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            run = asyncio.create_task(h.run(context=b"\x01"))
            await eventually(lambda: h.executor.slot_info(0).state == "running")
            swap = asyncio.create_task(h.install(0, SEVEN))
            await asyncio.sleep(0.05)
            job = asyncio.create_task(h.job())
            await swap
            (end,) = await h.ended(await job)
            assert end.r0_signed == 7
            await run


class TestShares:
    async def test_one_client_has_half_of_the_workers_and_the_rest_of_its_jobs_wait(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            mine = [await h.job(client="me") for _ in range(4)]
            await eventually(lambda: h.states() == ["sleeping", "sleeping", "queued", "queued"])
            yours = [await h.job(client="you") for _ in range(2)]
            with pytest.raises(Unavailable) as refused:
                await h.job(client="third")
            assert refused.value.code == "no-worker"
            await h.executor.end_job(mine[0])
            await eventually(lambda: h.info(mine[2]).state == "sleeping")
            assert [h.info(number).state for number in (mine[3], *yours)] == [
                "queued",
                "sleeping",
                "sleeping",
            ]

    async def test_no_workers(self) -> None:
        async with host(workers=0) as h:
            await h.install(0, SEVEN)
            with pytest.raises(Unavailable):
                await h.job()

    async def test_one_worker_is_for_everybody(self) -> None:
        async with host(workers=1) as h:
            await h.install(0, SEVEN)
            assert [(await h.ended(await h.job()))[0].r0_signed for _ in range(3)] == [7, 7, 7]

    async def test_more_jobs_than_turns_all_get_on(self) -> None:
        """Twelve that never sleep share four turns; each is seen to run, and none has to end for it."""
        async with host(workers=24, limits=LONG) as h:
            await h.install(0, SPIN)
            numbers = [await h.job(engine="switch") for _ in range(12)]
            await eventually(lambda: h.states().count("running") == 12, 20)
            assert h.pool.long.contended
            for number in numbers:
                await h.executor.end_job(number)
            assert not h.pool.long.contended


class TestSlots:
    async def test_a_job_holds_its_slot(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            number = await h.job()
            assert (h.executor.held(0), h.executor.held(1)) == (True, False)
            with pytest.raises(Conflict) as refused:
                await h.executor.undeploy(0)
            assert refused.value.code == "slot-in-use"
            await h.executor.end_job(number)
            assert not h.executor.held(0)
            await h.executor.undeploy(0)
            with pytest.raises(Conflict):
                await h.job()

    async def test_a_sleeping_job_lets_others_into_its_slot(self) -> None:
        """The program has data: one at a time, but not while it sleeps."""
        async with host() as h:
            await h.install(0, counter(3600 * SECOND))
            number = await h.job(context=None)
            await eventually(lambda: h.info(number).state == "sleeping")
            answers = [(await h.run(timeout_ms=2000, context=b"once")).r0_signed for _ in range(3)]
            assert answers == [2, 3, 4]

    async def test_neither_starves_the_other(self) -> None:
        """A job that works 10 ms and sleeps 1 ms, and short runs one after the other, in a slot with data."""
        async with host() as h:
            await h.install(0, counter(1000))
            number = await h.job(context=None)
            begin = time.monotonic()
            done = 0
            while time.monotonic() - begin < 1.5:
                await h.run(context=b"once", timeout_ms=5000)
                done += 1
            await h.executor.end_job(number)
            total = (await h.run(context=b"once")).r0_signed or 0
            assert done >= 10
            assert total - done >= 10, "the job got nowhere"

    async def test_runs_of_a_slot_with_data_never_meet(self) -> None:
        async with host(workers=16) as h:
            await h.install(0, CRITICAL)
            numbers = [await h.job(client=f"c{n}") for n in range(8)]
            answers = await asyncio.gather(*(h.run(client=f"d{n}", timeout_ms=20_000) for n in range(8)))
            ends = await h.ended(*numbers, seconds=30)
            assert [answer.fault for answer in answers] == [None] * 8
            assert {end.r0_signed for end in ends} | {answer.r0_signed for answer in answers} == {0}


class TestSleep:
    async def test_short_runs_sleep_too_and_their_deadline_counts(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            begin = time.monotonic()
            answer = await h.run(context=b"\x01", timeout_ms=100)
            assert 0.09 < time.monotonic() - begin < 1.0
            assert answer.fault is not None
            assert "deadline" in answer.fault["detail"]
            await h.install(0, NAP)
            answer = await h.run(context=b"\x07", timeout_ms=5000)
            assert (answer.r0_signed, h.shared.entries()) == (7, {7: 1})

    async def test_a_commit_ends_a_short_run_that_sleeps(self) -> None:
        async with host() as h:
            await h.install(0, FOR_EVER)
            run = asyncio.create_task(h.run(context=b"\x01", timeout_ms=30_000))
            await eventually(lambda: h.executor.slot_info(0).state == "running")
            await h.install(0, SEVEN)
            answer = await run
            assert answer.fault is not None
            assert "replaced" in answer.fault["detail"]
            assert (await h.run()).r0_signed == 7


class TestHelpers:
    async def test_the_list_is_fixed_when_a_job_is_accepted(self) -> None:
        async with host() as h:
            await h.install(0, NAP)
            number = await h.job(helpers=(0x11, 0x13, 0x60, 0x61, 0x7777))
            assert h.info(number).helpers == (0x11, 0x13, 0x60, 0x61)
            with pytest.raises(Unprocessable):
                await h.job(helpers=(0x61,))
