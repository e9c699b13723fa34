"""Programs that a state directory kept: loaded when they are needed."""

from __future__ import annotations

import asyncio

import pytest

from device.errors import (
    Conflict,
    LoadError,
    MicroBpfError,
    VerifyError,
)
from tests.device_bench import SEVEN, eventually, example
from tests.unit.execution_bench import (
    SlowCheck,
    host,
)


async def test_stored_images_are_loaded_when_they_are_needed() -> None:
    async with host() as h:
        h.store(0, SEVEN)
        h.store(1, example("counter"))
        assert h.executor.slot_info(1).helpers == (1,)
        answer = await h.run(0)
        assert answer.r0_signed == 7
        assert answer.time_us.load > 0
        assert answer.time_us.verify > 0
        assert (await h.run(0)).time_us.load == 0


async def test_two_that_need_a_stored_image_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with host() as h:
        h.store(0, example("counter"))
        slow = SlowCheck(h.executor.checker, monkeypatch)
        runs = [asyncio.create_task(h.run()) for _ in range(2)]
        await eventually(lambda: slow.inside == 2)
        slow.go_on.set()
        assert sorted([(await run).r0_signed or 0 for run in runs]) == [1, 2]
        assert h.executor.slot_info(0).runs == 2


@pytest.mark.parametrize("undeploy", [False, True], ids=["replaced", "emptied"])
async def test_a_stored_image_that_goes_while_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, undeploy: bool
) -> None:
    async with host() as h:
        h.store(0, example("counter"))
        prepared = await h.executor.check(0, SEVEN)
        slow = SlowCheck(h.executor.checker, monkeypatch)
        run = asyncio.create_task(h.run())
        await eventually(lambda: slow.inside == 1)
        if undeploy:
            await h.executor.undeploy(0)
        else:
            await h.executor.replace({0: prepared}, lambda: h.store(0, SEVEN))
        slow.go_on.set()
        if undeploy:
            with pytest.raises(Conflict):
                await run
        else:
            assert (await run).r0_signed == 7


@pytest.mark.parametrize(
    ("image", "error"),
    [pytest.param(b"\x7fELF", LoadError, id="loader"), pytest.param(SEVEN[:8], VerifyError, id="verifier")],
)
async def test_a_stored_image_that_may_not_run_is_said_once(image: bytes, error: type[MicroBpfError]) -> None:
    async with host() as h:
        h.store(0, image)
        info = h.executor.slot_info(0)
        assert (info.state, info.layout, info.helpers) == ("ready", None, ())
        for _ in range(2):
            with pytest.raises(error):
                await h.run(0)
        assert len(h.lines()) == 1
        await h.install(0, SEVEN)
        assert (await h.run(0)).r0_signed == 7
