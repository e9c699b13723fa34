"""Jobs on a clock that the test drives: the threads of a weather station (helpers.md section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

from device.api import ExecRequest, JobRequest
from device.execution import Executor, ShortRunPool
from device.log import DeviceLog
from device.peripherals import Board, Constant, Failing, Sine, make_board
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.vm.asm import assemble
from tests.clocks import ManualClock
from tests.device_bench import NAMES, eventually

SECOND = 1_000_000

WEATHER = assemble(  # SAUL 1 to 4 into the global keys 0 to 3, two seconds apart, for ever
    """
        call bpf_ztimer_now
        stxw [r10-4], r0
        mov r6, 0
    next:
        mov r1, r6
        add r1, 1
        call bpf_saul_reg_find_nth
        mov r1, r0
        mov r2, r10
        add r2, -8
        call bpf_saul_read_temp
        mov r1, r6
        ldxw r2, [r10-8]
        call bpf_store_global
        mov r1, r10
        add r1, -4
        lddw r2, 2000000
        call bpf_ztimer_periodic_wakeup
        add r6, 1
        and r6, 3
        ja next
        exit
    """,
    helpers=NAMES,
)
KEYS = assemble(  # counts in global key 9 how often the key RIGHT is seen, every 25 ms
    """
        call bpf_ztimer_now
        stxw [r10-4], r0
        mov r6, 0
    next:
        mov r1, 2
        call bpf_keypad_get_input
        jne r0, 0, wait
        add r6, 1
        mov r1, 9
        mov r2, r6
        call bpf_store_global
    wait:
        mov r1, r10
        add r1, -4
        mov r2, 25000
        call bpf_ztimer_periodic_wakeup
        ja next
        exit
    """,
    helpers=NAMES,
)


@dataclass
class Station:
    executor: Executor
    clock: ManualClock
    board: Board
    shared: MemoryStore
    images: SlotTable

    async def begin(self, slot: int, image: bytes) -> int:
        prepared = await self.executor.check(slot, image)
        stored = StoredImage(image, sha256(image).digest(), "p", slot + 1)
        await self.executor.replace({slot: prepared}, lambda: self.images.commit({slot: stored}, slot + 1))
        job = await self.executor.start_job(JobRequest(slot, ExecRequest()), f"client{slot}")
        return job.number

    async def wait(self, us: int, step_us: int, sleepers: int = 1) -> None:
        """Let time pass in steps, each of which ends when everybody sleeps again."""
        for _ in range(us // step_us):
            await eventually(lambda: self.clock.asleep(sleepers))
            self.clock.advance(step_us)
        await eventually(lambda: self.clock.asleep(sleepers))


@asynccontextmanager
async def station() -> AsyncIterator[Station]:
    clock = ManualClock()
    log, images, shared, pool = DeviceLog(clock), SlotTable(3), MemoryStore(), ShortRunPool()
    board = make_board("native", clock.now_us)
    executor = Executor(images, shared, pool, log, clock, slots=3, workers=4, board=board)
    try:
        yield Station(executor, clock, board, shared, images)
    finally:
        await executor.stop()
        pool.close()


async def test_readings_follow_the_sensors() -> None:
    async with station() as s:
        await s.begin(0, WEATHER)
        await s.wait(6 * SECOND, 2 * SECOND)
        assert s.shared.entries() == {0: 234, 1: 456, 2: 187, 3: 621}
        s.board.connect_saul(1, Sine(234, 20, 4 * 8))
        s.board.connect_saul(2, Constant(500))
        s.board.connect_saul(3, Failing())
        await s.wait(8 * SECOND, 2 * SECOND)
        # Key 0 was read at 8 s, a quarter of the period; a sensor that fails reads 0.
        assert s.shared.entries() == {0: 254, 1: 500, 2: 0, 3: 621}


async def test_nothing_happens_while_no_time_passes() -> None:
    async with station() as s:
        number = await s.begin(0, WEATHER)
        await s.wait(2 * SECOND, 2 * SECOND)
        before = s.shared.entries()
        await asyncio.sleep(0.1)
        assert (s.shared.entries(), s.executor.job(number).state) == (before, "sleeping")


async def test_an_operator_s_kill_ends_a_sleep_on_a_clock_that_stands_still() -> None:
    async with station() as s:
        number = await s.begin(0, WEATHER)
        await eventually(lambda: s.clock.asleep(1))
        await s.executor.end_job(number)
        assert s.executor.job(number).state == "killed"


async def test_two_threads_keep_their_own_pace() -> None:
    async with station() as s:
        await s.begin(0, WEATHER)
        await s.begin(1, KEYS)
        await s.wait(SECOND // 2, 25_000, sleepers=2)
        assert s.shared.fetch(9) is None
        s.board.connect_analog(2, Constant(100))
        await s.wait(SECOND // 2, 25_000, sleepers=2)
        assert s.shared.fetch(9) == 20
        assert s.shared.entries() == {0: 234, 9: 20}
