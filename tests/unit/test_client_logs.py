"""Following a log: nothing twice, nothing lost unsaid, and no end when a device goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from client.connection import Connection
from client.directory import Target
from client.exchange import Call, Reply
from client.logs import Cursor, Entry, follow, read
from client.remote import RemoteDevice
from device.api import LogLine, LogPage
from device.errors import TransportError
from device.log import DeviceLog
from device.node.clock import BootClock
from tests.unit.client_fakes import FakeNetwork, content


def line(number: int) -> LogLine:
    return LogLine(number, 10 * number, "info", "test", f"line {number}")


def other(number: int) -> LogLine:
    return LogLine(number, 10 * number + 1, "info", "test", f"another line {number}")


def page(first: int, end: int, missed: int = 0) -> LogPage:
    return LogPage(end, tuple(line(number) for number in range(first, end)), missed)


def since_boot(boot: str, first: int, end: int) -> LogPage:
    """A page whose lines, their milliseconds included, do not tell one boot from another."""
    return LogPage(end, tuple(line(number) for number in range(first, end)), boot=boot)


def numbers(entry: Entry) -> list[int]:
    return [item.seq for item in entry.lines]


PAGES: list[tuple[str, list[LogPage], list[tuple[list[int], int]]]] = [
    ("growing", [page(1, 3), page(1, 4), page(3, 6)], [([1, 2], 0), ([3], 0), ([4, 5], 0)]),
    ("nothing new", [page(1, 3), page(1, 3)], [([1, 2], 0), ([], 0)]),
    ("gap", [page(1, 3), page(6, 8)], [([1, 2], 0), ([6, 7], 3)]),
    ("gap at the beginning", [page(4, 6)], [([4, 5], 3)]),
    ("nothing logged yet", [page(1, 1), page(1, 2)], [([], 0), ([1], 0)]),
    (
        "restart with as many lines",
        [page(1, 4), LogPage(4, (other(3),)), LogPage(4, (other(1), other(2), other(3)))],
        [([1, 2, 3], 0), ([], 0), ([1, 2, 3], 0)],
    ),
    (
        "restart with more",
        [
            page(1, 4),
            LogPage(7, tuple(map(other, range(3, 7)))),
            LogPage(7, tuple(map(other, range(2, 7))), 1),
        ],
        [([1, 2, 3], 0), ([], 0), ([2, 3, 4, 5, 6], 1)],
    ),
    (
        "restart with fewer",
        [page(1, 9), LogPage(3, ()), page(1, 3)],
        [([*range(1, 9)], 0), ([], 0), ([1, 2], 0)],
    ),
    ("restart", [page(1, 10), page(1, 3)], [([*range(1, 10)], 0), ([1, 2], 0)]),
    (
        "restart with the same lines",
        [since_boot("a", 1, 4), since_boot("b", 3, 4), since_boot("b", 1, 4), since_boot("b", 3, 5)],
        [([1, 2, 3], 0), ([], 0), ([1, 2, 3], 0), ([4], 0)],
    ),
]


@pytest.mark.parametrize(("pages", "shown"), [row[1:] for row in PAGES], ids=[row[0] for row in PAGES])
def test_every_line_is_shown_once(pages: list[LogPage], shown: list[tuple[list[int], int]]) -> None:
    cursor = Cursor()
    entries = [cursor.take(item) for item in pages]
    assert [(numbers(entry), entry.missed) for entry in entries] == shown


def test_since() -> None:
    assert numbers(Cursor(2).take(page(1, 4))) == [2, 3]


def test_a_device_numbers_its_lines_as_a_cursor_expects() -> None:
    log = DeviceLog(BootClock())
    for text in ("booted", "ready"):
        log.add("info", "node", text)
    entry = Cursor().take(log.page(0))
    assert (len(entry.lines), entry.missed) == (2, 0)


class LiveLog(FakeNetwork):
    """A device whose log grows by a line with every notification, `lose` of them cut off by an error."""

    def __init__(self, notifications: int, lose_after: int | None = None) -> None:
        super().__init__()
        self.length = 2
        self.notifications = notifications
        self.lose_after = lose_after
        self.observed = 0

    def _reply(self, call: Call) -> Reply:
        since = int(call.url.rpartition("since=")[2])
        return content(page(since, self.length).to_map())

    async def send(self, call: Call, timeout_s: float) -> Reply:
        return self._reply(call)

    async def observe(self, call: Call, timeout_s: float) -> AsyncGenerator[Reply, None]:
        self.observed += 1
        yield self._reply(call)
        for count in range(self.notifications):
            if self.observed == 1 and count == self.lose_after:
                raise TransportError("gone", code="unreachable")
            self.length += 1
            yield self._reply(call)
        await asyncio.Event().wait()


async def followed(network: LiveLog, count: int) -> tuple[list[int], list[str]]:
    seen: list[int] = []
    notes: list[str] = []
    enough = asyncio.Event()

    def show(entry: Entry) -> None:
        seen.extend(numbers(entry))
        if len(seen) >= count:
            enough.set()

    async with Connection(network) as connection:
        device = RemoteDevice(connection, Target("otter", "coap://dev"))
        task = asyncio.create_task(
            follow(device, show, on_note=notes.append, quiet_s=0.05, sleep=lambda _s: asyncio.sleep(0))
        )
        async with asyncio.timeout(5):
            await enough.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return seen, notes


async def test_lines_come_as_they_are_written() -> None:
    seen, notes = await followed(LiveLog(3), 4)
    assert seen[:4] == [1, 2, 3, 4]
    assert notes == []


async def test_a_device_that_goes_away_is_waited_for() -> None:
    seen, notes = await followed(LiveLog(4, lose_after=2), 6)
    assert seen[:6] == [1, 2, 3, 4, 5, 6]
    assert "otter: gone" in notes[0]


async def test_long_pages_are_not_observed_for_ever() -> None:
    network = LiveLog(80)
    seen, _ = await followed(network, 100)
    assert seen == sorted(set(seen))
    assert network.observed > 1


async def test_a_silent_observation_is_checked() -> None:
    network = LiveLog(0)
    seen, _ = await followed(network, 1)
    network.length = 3
    assert seen == [1]
    more, _ = await followed(network, 2)
    assert more == [1, 2]


async def test_a_device_that_is_not_there_at_first_is_an_error() -> None:
    async with Connection(FakeNetwork()) as connection:
        device = RemoteDevice(connection, Target("otter", "coap://dev"))
        with pytest.raises(TransportError):
            await follow(device, lambda _entry: None)


async def test_reading_once() -> None:
    reply = content(page(4, 6, missed=4).to_map())
    async with Connection(FakeNetwork({"dev": lambda _call: reply})) as connection:
        entry = await read(RemoteDevice(connection, Target("otter", "coap://dev")))
    assert (numbers(entry), entry.missed) == ([4, 5], 4)
