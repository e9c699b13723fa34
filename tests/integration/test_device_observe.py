"""What observers of a device hear: slots, stores, the log, updates (RFC 7641)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiocoap import Code, Message

from device.api import decode_body
from device.node import NodeLimits
from device.transport import parse_url
from tests.device_bench import SEVEN, SPIN, ZERO_CALL, Bench, device, eventually


class Observer:
    """The notifications of one observation, decoded, the first answer included."""

    def __init__(self, bench: Bench, path: str) -> None:
        self.bench = bench
        self.path = path
        self.first: Message
        self.seen: list[Any] = []

    @property
    def last(self) -> Any:
        return self.seen[-1]

    async def take(self, message: Message) -> None:
        """As a client does it: a notification longer than a block is fetched as a whole."""
        if message.opt.block2 is not None and message.opt.block2.more:
            self.seen.append((await self.bench.get(self.path)).value)
        else:
            self.seen.append(decode_body(message.payload, message.opt.content_format))

    async def until(self, condition: Any) -> None:
        await eventually(lambda: self.seen and condition(self.last))


@asynccontextmanager
async def observing(bench: Bench, path: str) -> AsyncIterator[Observer]:
    observer = Observer(bench, path)
    message = parse_url(bench.url + path).message(Code.GET, observe=0)
    request = bench.client.request(message, handle_blockwise=False)
    observer.first = await request.response
    await observer.take(observer.first)

    async def follow() -> None:
        async for notification in request.observation:
            await observer.take(notification)

    task = asyncio.create_task(follow())
    try:
        yield observer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not request.observation.cancelled:
            request.observation.cancel()


async def test_a_slot_is_watched_through_a_deploy_a_run_and_an_undeploy() -> None:
    async with (
        device(limits=NodeLimits(budget_default=2**32 - 1)) as bench,
        observing(bench, "/slots/0") as slot,
        observing(bench, "/slots") as listing,
    ):
        assert slot.first.opt.observe is not None
        assert slot.last["state"] == "free"
        await bench.install(0, SPIN)
        await slot.until(lambda value: value["state"] == "ready")
        run = asyncio.create_task(bench.execute(0, {"timeout_ms": 300}))
        await slot.until(lambda value: value["state"] == "running")
        await listing.until(lambda value: value["items"][0]["state"] == "running")
        await run
        await slot.until(lambda value: (value["state"], value["runs"], value["faults"]) == ("ready", 1, 1))
        await bench.ask(Code.DELETE, "/slots/0")
        await slot.until(lambda value: value["state"] == "free")
        await listing.until(lambda value: value["items"][0]["state"] == "free")


async def test_stores_are_watched_whoever_writes() -> None:
    async with device() as bench:
        await bench.install(1, ZERO_CALL)
        async with observing(bench, "/store/slots/1") as local, observing(bench, "/store/global") as shared:
            await bench.execute(1)
            await local.until(lambda value: value["entries"] == {"1": 2})
            await bench.ask(Code.PUT, "/store/global", {"5": 6})
            await shared.until(lambda value: value["entries"] == {"5": 6})
            await bench.install(1, ZERO_CALL)
            await local.until(lambda value: value["entries"] == {})
            heard = len(shared.seen)
            await bench.execute(1)
            await local.until(lambda value: value["entries"] == {"1": 2})
            assert len(shared.seen) == heard, "nothing happened to this store"


async def test_who_only_reads_takes_nothing_from_observers() -> None:
    async with device() as bench, observing(bench, "/store/slots/0") as watched:
        executor = bench.node.executor
        executor.local_store(0).store(7, 8)  # as a program does it, whose run ends later
        assert (await bench.get("/store/slots/0")).value["entries"] == {"7": 8}
        executor.on_change(0)
        await watched.until(lambda value: value["entries"] == {"7": 8})


async def test_an_observer_that_comes_during_a_run_hears_what_is_taken_back() -> None:
    async with device() as bench, observing(bench, "/store/slots/0") as early:
        executor = bench.node.executor
        executor.local_store(0).store(7, 8)
        async with observing(bench, "/store/slots/0") as late:
            assert late.last["entries"] == {"7": 8}
            executor.local_store(0).update({7: None})
            executor.on_change(0)
            await late.until(lambda value: value["entries"] == {})
            assert early.last["entries"] == {}


async def test_the_log_is_followed_without_gaps_from_any_thread() -> None:
    async with device() as bench:
        page = (await bench.get("/log")).value
        async with observing(bench, f"/log?since={page['next']}") as log:
            assert log.last["lines"] == []
            for number in range(40):
                await asyncio.to_thread(bench.node.log.add, "info", "test", f"line {number}")
            await log.until(lambda value: len(value["lines"]) == 40)
            assert [line["text"] for line in log.last["lines"]] == [f"line {n}" for n in range(40)]


async def test_a_notification_of_many_blocks_is_fetched_whole() -> None:
    async with device(limits=NodeLimits(max_block=64)) as bench, observing(bench, "/slots") as listing:
        for slot in range(5):
            await bench.install(slot, SEVEN, name=f"a-program-with-a-long-name-{slot}.o")
        await listing.until(lambda value: [item["state"] for item in value["items"]] == ["ready"] * 5)


async def test_long_answers_arrive_whole_while_they_change_all_the_time() -> None:
    async with device() as bench, observing(bench, "/log") as observer:

        async def write(number: int) -> None:
            for _ in range(20):
                await bench.ask(Code.POST, "/console/write", payload=b"%d " % number * 50)

        async def read() -> None:
            for _ in range(8):
                reply = await bench.get("/log")
                assert reply.code == "2.05"
                assert len(reply.message.payload) > 1024

        await write(0)
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(write(number))
                tasks.create_task(read())
        told = len(observer.seen)
        await bench.ask(Code.POST, "/console/write", payload=b"the end")
        await eventually(lambda: len(observer.seen) > told)


async def test_a_busy_observation_keeps_no_other_of_its_client_waiting() -> None:
    paths = ("/slots", "/slots/0", "/slots/0", "/slots", "/slots/0", "/slots")
    async with device() as bench, AsyncExitStack() as stack:
        await bench.install(0, SEVEN)
        observers = [await stack.enter_async_context(observing(bench, path)) for path in paths]
        for _ in range(4):
            before = [len(observer.seen) for observer in observers]
            for _ in range(40):
                await bench.execute()
                await asyncio.sleep(0.02)
            heard = [len(observer.seen) - told for observer, told in zip(observers, before, strict=True)]
            assert min(heard) >= 3, heard


async def test_what_is_listed_as_observable_is_and_nothing_else() -> None:
    async with device(limits=NodeLimits(observers=64)) as bench:
        await bench.install(0, SPIN)
        assert (await bench.ask(Code.POST, "/jobs", {"slot": 0})).code == "2.01"
        hook = {"slot": 0, "trigger": "saul"}
        assert (await bench.ask(Code.POST, "/hooks", hook)).code == "2.01"
        links = (await bench.get("/.well-known/core")).value.split(",<")
        listed = {link.lstrip("<").partition(">")[0]: ";obs" in link for link in links}
        assert {path for path, observable in listed.items() if observable} >= {
            *("/slots", "/slots/0", "/jobs", "/hooks", "/board", "/saul", "/saul/0", "/log", "/suit/status"),
            *("/store/global", "/store/slots/0"),
        }
        for path, observable in {**listed, "/jobs/1": True, "/hooks/1": True}.items():
            message = parse_url(f"{bench.url}{path}").message(Code.GET, observe=0)
            request = bench.client.request(message, handle_blockwise=False)
            answer = await request.response
            assert (answer.opt.observe is not None) == observable, path


async def test_one_observer_too_many_gets_a_plain_answer() -> None:
    async with device(limits=NodeLimits(observers=1)) as bench, observing(bench, "/slots/0") as first:
        assert first.first.opt.observe is not None
        message = parse_url(f"{bench.url}/slots/1").message(Code.GET, observe=0)
        request = bench.client.request(message, handle_blockwise=False)
        answer = await request.response
        assert answer.code == Code.CONTENT
        assert answer.opt.observe is None


@pytest.mark.parametrize("path", ["/device", "/riot/board", "/suit/version"])
async def test_what_is_not_observable_answers_once(path: str) -> None:
    async with device() as bench:
        message = parse_url(bench.url + path).message(Code.GET, observe=0)
        answer = await bench.client.request(message, handle_blockwise=False).response
        assert answer.code == Code.CONTENT
        assert answer.opt.observe is None
