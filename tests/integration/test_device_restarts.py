"""What watches a device over Observe finds it again when it has been killed and started anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from client import board, jobs, logs
from client.connection import Connection
from client.directory import Target
from client.remote import RemoteDevice
from device.api import ExecRequest, JobRequest
from device.errors import RemoteError, TransportError
from tests.device_bench import SEVEN, SPIN, eventually
from tests.device_process import prepare_state
from tests.integration.processes import server


def job(slot: int) -> JobRequest:
    return JobRequest(slot, ExecRequest(engine="switch"))


class Restarted:
    """A device that can be killed, and started again at the same address with what it keeps."""

    def __init__(self, home: Path, connection: Connection) -> None:
        self.home = home
        self.connection = connection
        self.device: RemoteDevice
        self._port = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[RemoteDevice]:
        """The device from its start to its death."""
        options = ("--name", "otter", "--state", str(self.home / "state"), "--slots", "6")
        budget = ("--limit", "budget_default=4294967295")
        async with server("device", *options, *budget, log=self.home / "log", port=self._port) as running:
            self._port = running.ports[0]
            self.device = RemoteDevice(self.connection, Target("otter", running.url))
            yield self.device


@pytest.fixture
async def otter(tmp_path: Path) -> AsyncIterator[Restarted]:
    await prepare_state(tmp_path / "state", {0: SPIN, 1: SEVEN})
    async with Connection(timeout_s=1) as connection:
        yield Restarted(tmp_path, connection)


@pytest.mark.parametrize("again", [None, 0, 1], ids=["no job", "the same slot", "another slot"])
async def test_a_job_that_a_restart_has_ended_is_said_to_be_lost(otter: Restarted, again: int | None) -> None:
    async with otter.run() as device:
        begun = await jobs.begin(device, job(0))
        noted: list[str] = []
        waiting = asyncio.create_task(
            jobs.wait(device, begun.id, on_change=lambda _: None, on_note=noted.append, quiet_s=0.3)
        )
        await asyncio.sleep(0.5)
    await eventually(lambda: noted, 10)
    async with otter.run() as device:
        if again is not None:
            assert (await jobs.begin(device, job(again))).id == begun.id
        async with asyncio.timeout(10):
            with pytest.raises(RemoteError, match="job 1 of slot 0 is gone: otter has restarted") as caught:
                await waiting
    assert (caught.value.code, caught.value.status) == ("job-lost", "4.04")


async def test_a_device_that_stays_away_is_given_up(otter: Restarted) -> None:
    async with otter.run() as device:
        begun = await jobs.begin(device, job(0))
        waiting = asyncio.create_task(jobs.wait(device, begun.id, quiet_s=0.3, patience_s=1.5))
        await asyncio.sleep(0.5)
    async with asyncio.timeout(15):
        with pytest.raises(TransportError):
            await waiting


async def test_a_board_is_shown_on_after_a_restart(otter: Restarted) -> None:
    seen: list[str] = []
    noted: list[str] = []

    async def look(device: RemoteDevice) -> None:
        async with aclosing(board.follow(device, on_note=noted.append, quiet_s=0.3)) as boards:
            async for one in boards:
                seen[:] = [*seen, " ".join(f"{pin.name}{pin.level}" for pin in one.pins)]

    async with otter.run() as device:
        watching = asyncio.create_task(look(device))
        await device.change("/board", {"pins": {"B1": 1}})
        await eventually(lambda: any("B11" in text for text in seen))
    await eventually(lambda: noted, 10)
    async with otter.run() as device:
        await eventually(lambda: "B11" not in seen[-1], 20)
        await device.change("/board", {"pins": {"B2": 1}})
        await eventually(lambda: "B21" in seen[-1], 20)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_log_is_read_on_from_its_beginning_after_a_restart(otter: Restarted) -> None:
    lines: list[str] = []
    noted: list[str] = []

    def show(entry: logs.Entry) -> None:
        lines.extend(line.text for line in entry.lines)

    async with otter.run() as device:
        following = asyncio.create_task(logs.follow(device, show, on_note=noted.append, quiet_s=0.3))
        await eventually(lambda: any("serves port" in line for line in lines), 10)
    await eventually(lambda: noted, 10)
    before = len(lines)
    async with otter.run():
        await eventually(lambda: any("serves port" in line for line in lines[before:]), 20)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
