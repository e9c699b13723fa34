"""The short-run pool: places, shares, turns, and that nothing stays taken."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from device.errors import Unavailable
from device.execution.pool import Place, ShortRunPool


@dataclass
class Gate:
    """A gate that is open, or closed, or lets one in at a time."""

    open: bool = True
    alone: bool = False
    inside: int = 0
    most: int = 0
    order: list[str] = field(default_factory=list)

    def try_enter(self) -> bool:
        if not self.open or (self.alone and self.inside):
            return False
        self.inside += 1
        self.most = max(self.most, self.inside)
        return True

    def leave(self) -> None:
        self.inside -= 1


@pytest.fixture
async def pool() -> AsyncIterator[ShortRunPool]:
    made = ShortRunPool(threads=4, waiting=8)
    yield made
    made.close()


def granted(places: list[Place]) -> list[int]:
    return [index for index, place in enumerate(places) if place.is_granted]


def soon(seconds: float = 1.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_one_client_gets_half_of_the_threads(pool: ShortRunPool) -> None:
    gate = Gate()
    first = [pool.request("d", "a", gate) for _ in range(4)]
    assert granted(first) == [0, 1]
    second = [pool.request("d", "b", gate) for _ in range(3)]
    assert granted(second) == [0, 1]
    pool.give_back(first[0])
    assert granted(first[1:]) == [0, 1]
    assert granted(second) == [0, 1]


async def test_devices_take_turns(pool: ShortRunPool) -> None:
    gate = Gate()
    running = [pool.request("busy", client, gate) for client in ("a", "a", "b", "b")]
    waiting = [pool.request(device, "c", gate) for device in ("one", "one", "one", "two", "three")]
    order = []
    for place in running[:2]:
        pool.give_back(place)
        order += [index for index in granted(waiting) if index not in order]
    assert order == [0, 3]  # c has its half now
    pool.give_back(waiting[0])
    assert granted(waiting[1:]) == [2, 3]  # three is next, and two still runs


async def test_the_queue_of_a_device_and_a_client_s_half_of_it(pool: ShortRunPool) -> None:
    gate = Gate(open=False)
    for _ in range(4):
        pool.request("d", "a", gate)
    with pytest.raises(Unavailable) as refused:
        pool.request("d", "a", gate)
    assert refused.value.retry_after_s == 1
    for client in "bbbc":
        pool.request("d", client, gate)
    with pytest.raises(Unavailable):
        pool.request("d", "e", gate)
    assert not pool.request("another", "a", gate).is_granted


async def test_a_gate_that_is_closed_holds_no_thread(pool: ShortRunPool) -> None:
    closed, alone = Gate(open=False), Gate(alone=True)
    waiting = [pool.request("d", "a", closed) for _ in range(2)]
    serial = [pool.request("d", "b", alone) for _ in range(3)]
    assert granted(serial) == [0]
    assert granted([pool.request("d", "c", Gate()) for _ in range(2)]) == [0, 1]
    assert granted(waiting) == []
    closed.open = True
    pool.dispatch()
    assert granted(waiting) == [0]  # four threads are taken
    pool.give_back(serial[0])
    assert granted(waiting) == [0, 1]
    pool.give_back(waiting[0])
    assert granted(serial[1:]) == [0]
    assert alone.most == 1


async def test_waiting_ends_at_the_deadline_and_frees_the_queue(pool: ShortRunPool) -> None:
    gate = Gate(open=False)
    for _ in range(20):
        with pool.request("d", "a", gate) as place:
            assert not await place.ready(soon(0.001))
    gate.open = True
    with pool.request("d", "a", gate) as place:
        assert await place.ready(soon())
    assert gate.inside == 0


async def test_a_cancelled_wait_frees_its_turn(pool: ShortRunPool) -> None:
    gate = Gate(open=False)

    async def wait() -> None:
        with pool.request("d", "a", gate) as place:
            await place.ready(soon(10))

    tasks = [asyncio.create_task(wait()) for _ in range(4)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    gate.open = True
    pool.dispatch()
    assert granted([pool.request("d", "a", gate) for _ in range(4)]) == [0, 1]
    assert gate.inside == 2


async def test_runs_are_on_other_threads_and_as_many_as_allowed(pool: ShortRunPool) -> None:
    gate, together, most = Gate(), set[int](), []
    lock = threading.Lock()

    def work() -> int:
        with lock:
            together.add(threading.get_ident())
            most.append(len(together))
        time.sleep(0.02)
        with lock:
            together.discard(threading.get_ident())
        return threading.get_ident()

    async def one(client: str) -> int:
        with pool.request("d", client, gate) as place:
            assert await place.ready(soon(5))
            return await pool.run(work, lambda: None)

    threads = await asyncio.gather(*(one(client) for client in "aabbccddee"))
    assert threading.get_ident() not in threads
    assert max(most) == 4
    assert gate.inside == 0


async def test_a_cancelled_run_is_stopped_and_waited_for(pool: ShortRunPool) -> None:
    gate, stop, ended = Gate(), threading.Event(), threading.Event()

    def work() -> None:
        stop.wait(10)
        time.sleep(0.05)
        ended.set()
        raise RuntimeError("nobody is there to hear this")

    async def one() -> None:
        with pool.request("d", "a", gate) as place:
            assert await place.ready(soon())
            await pool.run(work, stop.set)

    task = asyncio.create_task(one())
    await asyncio.sleep(0.02)
    assert gate.inside == 1
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()  # an impatient caller
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert gate.inside == 0
    assert granted([pool.request("d", "a", gate) for _ in range(2)]) == [0, 1]


async def test_an_error_on_the_thread_reaches_the_caller_and_frees_the_place(pool: ShortRunPool) -> None:
    def work() -> None:
        raise RuntimeError("engine")

    async def one() -> None:
        with pool.request("d", "a", gate) as place:
            assert await place.ready(soon())
            await pool.run(work, lambda: None)

    gate = Gate()
    for _ in range(5):
        with pytest.raises(RuntimeError, match="engine"):
            await one()
    assert gate.inside == 0
