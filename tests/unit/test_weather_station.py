"""The compartments of the weather station together, on a clock that the test drives.

Five slots, three jobs, two handlers of packets: sensors that move end up on the display and in the replies,
and the display with a bug dies alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final

import pytest

from client.examples import load
from device.api import ExecRequest, JobInfo, JobRequest
from device.engines import ENGINES
from device.execution import Executor, ShortRunPool
from device.log import DeviceLog
from device.peripherals import Board, Constant, Failing, Sine, make_board
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.vm import loader, writer
from device.vm.helpers import HELPERS, Services
from device.vm.packet import Packet, PacketRequest
from device.vm.setup import set_up
from tests.clocks import ManualClock
from tests.unit.helper_bench import Bench

SECOND: Final = 1_000_000
EXAMPLES: Final = load()
THREADS: Final = ("climate", "light_sound", "display")
ENDED: Final = ("finished", "faulted", "killed")
RIGHT, UP, DOWN, NOTHING = 100, 400, 600, 1023
"""Values of the keypad's line."""

KEYPAD: Final = 2


class StationClock(ManualClock):
    """Also says when the next sleeper wants to be woken."""

    @property
    def next_us(self) -> int:
        with self._moved:
            return min(self._targets.values())


@dataclass
class Station:
    """A device without its network, and what a person can do to it."""

    executor: Executor
    clock: StationClock
    board: Board
    shared: MemoryStore
    images: SlotTable

    async def begin(self, *names: str) -> None:
        """Programs into the slots from 0 on, each as a job."""
        for slot, name in enumerate(names):
            image = writer.strip_object(EXAMPLES[name].object.read_bytes())
            prepared = await self.executor.check(slot, image)
            stored = StoredImage(image, sha256(image).digest(), name, slot + 1)
            commit = partial(self.images.commit, {slot: stored}, slot + 1)
            await self.executor.replace({slot: prepared}, commit)
            await self.executor.start_job(JobRequest(slot, ExecRequest()), f"client{slot}")

    def jobs(self) -> list[JobInfo]:
        """In the order of their slots."""
        return sorted(self.executor.jobs(), key=lambda job: job.slot)

    async def pass_by(self, us: int) -> None:
        """Let time pass: always to the moment for which the first of the sleepers has asked."""
        end = self.clock.now_us() + us
        while True:
            async with asyncio.timeout(10):
                while not self._all_asleep():  # noqa: ASYNC110  # threads are waited for, thousands of times
                    await asyncio.sleep(0)
            if self.clock.next_us > end:
                self.clock.advance(end - self.clock.now_us())
                return
            self.clock.advance(self.clock.next_us - self.clock.now_us())

    def _all_asleep(self) -> bool:
        alive = [job for job in self.executor.jobs() if job.state not in ENDED]
        return self.clock.asleep(len(alive))

    async def press(self, value: int) -> None:
        """Hold a key for a tenth of a second."""
        self.board.connect_analog(KEYPAD, Constant(value))
        await self.pass_by(SECOND // 10)
        self.board.connect_analog(KEYPAD, Constant(NOTHING))
        await self.pass_by(SECOND // 10)

    @property
    def shown(self) -> tuple[str, ...]:
        """What a person reads on the display."""
        assert self.board.display is not None
        return tuple(row.rstrip() for row in self.board.display.state().visible)

    def ask(self, name: str) -> bytes:
        """The reply of a handler to a GET."""
        return reply_of(name, self.shared)


def reply_of(name: str, shared: MemoryStore, engine: str = "switch") -> bytes:
    """The payload that a handler answers with these readings."""
    program = loader.load(writer.strip_object(EXAMPLES[name].object.read_bytes()))
    packet = Packet(PacketRequest(True, 7, b"12345678", 0x01, ((11, b"app"), (11, b"weather"))))
    services: Services = replace(Bench().services, shared=shared, packet=packet)
    outcome = ENGINES[engine].run(program, set_up(program, program.fresh_data(), services, HELPERS))
    assert outcome.r0 is not None, outcome.fault
    reply = packet.reply(outcome.r0)
    assert (12, b"\x32") in reply.options
    return reply.payload


@asynccontextmanager
async def station(*names: str) -> AsyncIterator[Station]:
    clock = StationClock()
    images, shared, pool = SlotTable(5), MemoryStore(), ShortRunPool()
    board = make_board("native", clock.now_us)
    executor = Executor(images, shared, pool, DeviceLog(clock), clock, slots=5, workers=4, board=board)
    made = Station(executor, clock, board, shared, images)
    try:
        await made.begin(*names)
        yield made
    finally:
        await executor.stop()
        pool.close()


async def test_readings_reach_the_display_and_the_replies() -> None:
    async with station(*THREADS) as s:
        await s.pass_by(9 * SECOND)
        assert s.shown == ("Temperature", "23.4 C")
        s.board.connect_saul(1, Constant(-55))
        s.board.connect_saul(5, Constant(71))
        await s.pass_by(9 * SECOND)
        assert s.shown == ("Temperature", "-5.5 C")
        assert s.ask("light_sound_reply") == b'{"light":53,"sound":71}'
        assert s.ask("climate_reply") == (
            b'{"indoor":{"temperature":-5.5,"humidity":45.6},"outdoor":{"temperature":18.7,"humidity":62.1}}'
        )


async def test_the_keypad_chooses() -> None:
    async with station(*THREADS) as s:
        await s.pass_by(9 * SECOND)
        seen = []
        for key in (DOWN, DOWN, DOWN, DOWN, UP, RIGHT):
            await s.press(key)
            seen.append(s.shown)
        assert seen == [
            ("Humidity", "45.6 %"),
            ("Light", "53 %"),
            ("Sound", "49 dB"),
            ("Temperature", "23.4 C"),
            ("Sound", "49 dB"),
            ("Temperature", "23.4 C"),
        ]


async def test_a_sensor_that_fails_leaves_its_last_reading() -> None:
    async with station(*THREADS) as s:
        await s.pass_by(9 * SECOND)
        s.board.connect_saul(2, Failing())
        s.board.connect_saul(6, Failing())
        await s.pass_by(9 * SECOND)
        assert s.shared.entries() == {0: 234, 1: 456, 2: 187, 3: 621, 4: 53, 5: 49}


async def test_the_display_with_a_bug_dies_alone() -> None:
    async with station("climate", "light_sound", "display_bug") as s:
        await s.pass_by(9 * SECOND)
        await s.press(DOWN)
        assert s.shown == ("Humidity", "45.6 %")
        await s.press(RIGHT)
        climate, light_sound, display = s.jobs()
        assert (display.state, display.fault and display.fault["code"]) == ("faulted", "ILLEGAL_MEM")
        assert (display.fault or {})["address"] == 0xFFFFFFFF
        assert s.executor.job(display.id).output == "looking for Humidity an hour ago\n"
        assert not {climate.state, light_sound.state} & set(ENDED)
        s.board.connect_saul(1, Constant(300))
        s.board.connect_saul(6, Constant(7))
        await s.pass_by(9 * SECOND)
        assert s.ask("climate_reply").startswith(b'{"indoor":{"temperature":30.0,')
        assert s.ask("light_sound_reply").startswith(b'{"light":7,')
        again = await s.executor.start_job(JobRequest(2, ExecRequest()), "somebody")
        await s.pass_by(SECOND)
        assert (s.shown, s.executor.job(again.number).state in ENDED) == (("Temperature", "30.0 C"), False)


async def minutes(count: int) -> None:
    """Let a station run, with a temperature that moves, and look at it every ten seconds."""
    async with station(*THREADS) as s:
        s.board.connect_saul(1, Sine(200, 50, 60))
        temperatures = set()
        await s.pass_by(SECOND)
        for _ in range(6 * count):
            await s.pass_by(10 * SECOND)
            entries = s.shared.entries()
            temperatures.add(entries[0])
            assert 150 <= entries[0] <= 250
            assert s.shown == ("Temperature", f"{entries[0] / 10:.1f} C")
        assert not {job.state for job in s.jobs()} & set(ENDED)
        assert len(temperatures) > 3


async def test_a_minute_of_it() -> None:
    await minutes(1)


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_ten_minutes_of_it() -> None:
    await asyncio.wait_for(minutes(10), 590)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_coldest_day_with_the_longest_token_fits_into_a_reply(engine: str) -> None:
    shared = MemoryStore()
    shared.update(dict.fromkeys(range(4), -32768 & 0xFFFFFFFF))
    assert reply_of("climate_reply", shared, engine) == (
        b'{"indoor":{"temperature":-3276.8,"humidity":-3276.8},'
        b'"outdoor":{"temperature":-3276.8,"humidity":-3276.8}}'
    )
