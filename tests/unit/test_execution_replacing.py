"""New programs in slots whose old ones run, wait, or are being checked; ends of all kinds."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from device.errors import (
    Conflict,
    StorageError,
    Unprocessable,
)
from tests.device_bench import SEVEN, ZERO_CALL, eventually, example
from tests.unit.execution_bench import (
    NEGATIVE,
    SlowCheck,
    fault_of,
    host,
)


async def test_a_run_that_ends_in_time_is_not_killed() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        run = h.hold()
        await eventually(lambda: h.held.inside == 1)
        swap = asyncio.create_task(h.install(0, NEGATIVE))
        await asyncio.sleep(0.05)
        assert not swap.done()
        h.held.release.set()
        await swap
        assert (await run).fault is None


async def test_a_run_that_does_not_end_is_killed_after_a_second() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        run = h.hold()
        await eventually(lambda: h.held.inside == 1)
        begin = time.monotonic()
        await h.install(0, NEGATIVE)
        assert 0.95 < time.monotonic() - begin < 2.0
        code, detail = fault_of(await run)
        assert (code, "replaced" in detail) == ("KILLED", True)
        assert (await h.run()).r0_signed == -1


async def test_waiting_runs_get_the_new_program() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        first = h.hold()
        await eventually(lambda: h.held.inside == 1)
        waiting = asyncio.create_task(h.run())
        swap = asyncio.create_task(h.install(0, SEVEN))
        await asyncio.sleep(0.02)
        late = asyncio.create_task(h.run())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert not late.done()
        h.held.release.set()
        await asyncio.gather(first, swap)
        assert [(await run).r0_signed for run in (waiting, late)] == [7, 7]


async def test_a_waiting_run_finds_out_that_the_new_program_may_not() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        first = h.hold()
        await eventually(lambda: h.held.inside == 1)
        waiting = asyncio.create_task(h.run(helpers=(1, 2, 3)))
        await asyncio.sleep(0)
        swap = asyncio.create_task(h.install(0, ZERO_CALL))
        await asyncio.sleep(0.02)
        h.held.release.set()
        await asyncio.gather(first, swap)
        with pytest.raises(Unprocessable):
            await waiting


async def test_a_replacement_begins_anew() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        await h.run(repeat=3)
        h.executor.local_store(0).store(1, 2)
        h.shared.store(3, 4)
        await h.install(0, example("counter"))
        assert (h.executor.local_store(0).entries(), h.shared.entries()) == ({}, {3: 4})
        assert h.executor.slot_info(0).runs == 0
        assert (await h.run()).r0_signed == 1


async def test_checking_an_image_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with host() as h:
        slow = SlowCheck(h.executor.checker, monkeypatch)
        check = asyncio.create_task(h.executor.check(0, SEVEN))
        await eventually(lambda: slow.inside == 1)
        slow.go_on.set()
        assert (await check).calls == {}


async def test_a_commit_that_fails_leaves_the_old_program_running() -> None:
    def commit() -> None:
        raise StorageError("the disk is full")

    async with host() as h:
        await h.install(0, example("counter"))
        await h.run()
        h.executor.local_store(0).store(1, 2)
        with pytest.raises(StorageError):
            await h.executor.replace({0: await h.executor.check(0, SEVEN)}, commit)
        assert (await h.run()).r0_signed == 2
        assert h.executor.local_store(0).entries() == {1: 2}


async def test_a_replacement_cancelled_before_its_commit_changes_nothing() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        run = h.hold()
        await eventually(lambda: h.held.inside == 1)
        swap = asyncio.create_task(h.install(0, SEVEN))
        await asyncio.sleep(0.02)
        swap.cancel()
        with pytest.raises(asyncio.CancelledError):
            await swap
        h.held.release.set()
        await run
        assert (await h.run()).r0_signed == 1


async def test_a_replacement_cancelled_during_its_commit_is_carried_through() -> None:
    committing, go_on = threading.Event(), threading.Event()

    async with host() as h:
        await h.install(0, example("counter"))

        def commit() -> None:
            committing.set()
            go_on.wait(5)
            h.store(0, SEVEN)

        swap = asyncio.create_task(h.executor.replace({0: await h.executor.check(0, SEVEN)}, commit))
        await eventually(committing.is_set)
        swap.cancel()
        await asyncio.sleep(0.01)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await swap
        assert (await h.run()).r0_signed == 7


async def test_two_slots_change_together() -> None:
    async with host() as h:
        prepared = {slot: await h.executor.check(slot, SEVEN) for slot in (0, 2)}

        def commit() -> None:
            for slot in prepared:
                h.store(slot, SEVEN)

        await h.executor.replace(prepared, commit)
        assert [h.executor.slot_info(slot).state for slot in range(3)] == ["ready", "free", "ready"]


async def test_undeploy() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        h.executor.local_store(0).store(1, 2)
        run = h.hold()
        await eventually(lambda: h.held.inside == 1)
        await h.executor.undeploy(0)
        assert "operator" in fault_of(await run)[1]
        assert h.executor.slot_info(0).to_map()["state"] == "free"
        assert h.executor.local_store(0).entries() == {}
        assert h.images.get(0) is None
        assert h.images.sequence_number == 1
        await h.executor.undeploy(0)  # an empty slot stays one
        with pytest.raises(Conflict):
            await h.run()


# What goes wrong


async def test_a_cancelled_run_leaves_nothing_locked() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        runs = [h.hold(client="gone") for _ in range(5)]
        await eventually(lambda: h.held.inside == 1)
        for run in runs:
            run.cancel()
        begin = time.monotonic()
        assert {type(end) for end in await asyncio.gather(*runs, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        assert time.monotonic() - begin < 0.5
        assert h.held.inside == 0
        assert h.executor.slot_info(0).state == "ready"
        assert [(await h.run(client="gone")).r0_signed for _ in range(3)] == [1, 2, 3]


async def test_a_bug_in_an_engine_costs_its_run_only() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        for _ in range(6):
            with pytest.raises(ZeroDivisionError):
                await h.run(engine="broken")
        assert h.executor.slot_info(0).state == "ready"
        assert (await h.run()).r0_signed == 1


async def test_stopping_kills_and_lets_nothing_begin() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        running = h.hold()
        await eventually(lambda: h.held.inside == 1)
        await h.executor.stop()
        assert "operator" in fault_of(await running)[1]
        assert fault_of(await h.run(timeout_ms=20))[0] == "KILLED"
