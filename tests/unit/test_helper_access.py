"""Which helpers a run may call: lists, sources, and where calls are checked (helpers.md section 9)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest

from device.api import ExecAnswer, ExecRequest
from device.errors import MalformedRequest, Unprocessable
from device.execution import Executor, ShortRunPool
from device.execution.access import Access, Lists, Point, Source, denied, refusal
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.suit.capabilities import Capabilities
from device.vm.asm import assemble
from device.vm.helpers import HELPERS
from device.vm.profiles import UBPF
from tests.device_bench import NAMES

P = UBPF.helpers


class TestLists:
    @pytest.mark.parametrize(
        ("granted", "declared", "access", "effective"),
        [
            pytest.param(None, None, Access(), sorted(P), id="nothing narrows"),
            pytest.param({1, 2, 0x999}, None, Access(), [1, 2], id="M never widens P"),
            pytest.param({1, 2}, None, Access({2, 3}), [2], id="R narrows M"),
            pytest.param(None, None, Access({2, 3, 0x777}), [2, 3], id="R alone"),
            pytest.param(None, None, Access(()), [], id="an empty R"),
            pytest.param((), None, Access({2}), [], id="an empty M"),
            pytest.param({1, 2}, {2, 3}, Access({1}), [1], id="B does not count for a request's list"),
            pytest.param({1, 2}, {2, 3}, Access({1}, Source.BINARY), [2], id="nor R for the image's"),
            pytest.param(None, (), Access(None, Source.BINARY), [], id="an empty B"),
        ],
    )
    def test_effective(self, granted: Any, declared: Any, access: Access, effective: list[int]) -> None:
        assert list(Lists.of(P, granted, declared, access).effective) == effective

    def test_an_image_without_a_list(self) -> None:
        with pytest.raises(MalformedRequest) as caught:
            Lists.of(P, None, None, Access(source=Source.BINARY))
        assert caught.value.detail == "helper list in the image needs layout ExtendedHeader"

    def test_which_lists_lack_an_id(self) -> None:
        lists = Lists(P, {1}, {2})
        assert [lists.lacking(number) for number in (1, 2, 3, 0x999)] == ["R", "M", "M, R", "P, M, R"]
        assert Lists(P, declared={1}).lacking(2) == "B"

    def test_ids_that_grant_nothing(self) -> None:
        assert Lists(P, requested={1, 0x999, 0x888}).unknown() == [0x888, 0x999]
        assert len(Lists(P, declared=set(range(0x1000, 0x1100))).unknown()) == 16


class TestRefusals:
    def test_the_line_names_helper_and_instruction(self) -> None:
        found = denied({0x32: (5, 9), 0x01: (7,), 0x02: (1,)}, Lists(P, requested={2}))
        error = refusal(found)
        assert error.detail == "helper 0x32 bpf_saul_reg_read not allowed at insn #5 (offset 0x28), +2 more"
        assert [(item["insn"], item["helper"], item["lists"]) for item in error.extra["findings"]] == [
            (5, 0x32, "R"), (7, 0x01, "R"), (9, 0x32, "R"),
        ]  # fmt: skip

    @pytest.mark.parametrize("helper", HELPERS, ids=hex)
    def test_it_fits_a_message_of_128_bytes(self, helper: int) -> None:
        found = denied({helper: tuple(range(65_000, 65_536))}, Lists(()))
        assert len(refusal(found).detail.encode()) <= 96

    def test_any_number_of_helpers(self) -> None:
        everything = {number: (number,) for number in range(10_000)}
        lists = Lists(range(10_000), range(0, 10_000, 2), range(0, 10_000, 3))
        assert len(denied(everything, lists)) == 10_000 - len(lists.effective) == 10_000 - 1667


CALLS = "mov r0, 0\njeq r0, 0, +2\ncall bpf_store_local\ncall bpf_store_global\nexit"
NEVER = assemble(CALLS, helpers=NAMES)
ALWAYS = assemble("call bpf_now_ms\nmov r1, 1\nmov r2, 2\ncall bpf_store_local\nexit", helpers=NAMES)


def extended(text: bytes, *helpers: int) -> bytes:
    """An image in the extended layout that lists these helpers."""
    return b"rBPF" + struct.pack("<7I", 0, 0, 0, 0, len(text), 0, 0) + text + bytes(helpers)


class Host:
    def __init__(self, executor: Executor, images: SlotTable, log: DeviceLog) -> None:
        self.executor = executor
        self.images = images
        self.log = log

    async def install(self, image: bytes, granted: tuple[int, ...] | None = None, access: Any = None) -> None:
        number = self.images.sequence_number + 1
        capabilities = None if granted is None else Capabilities(helpers=granted)
        encoded = None if capabilities is None else capabilities.encode()
        stored = StoredImage(image, sha256(image).digest(), "p", number, encoded)
        prepared = await self.executor.check(0, image, capabilities, access)
        await self.executor.replace({0: prepared}, lambda: self.images.commit({0: stored}, number))

    async def run(self, access: Access | None = None, **request: Any) -> ExecAnswer:
        return await self.executor.execute(0, ExecRequest(**request), "me", access)

    def lines(self) -> list[str]:
        return [line.text for line in self.log.page().lines]


@asynccontextmanager
async def host(**options: Any) -> AsyncIterator[Host]:
    clock = BootClock()
    log, images, pool = DeviceLog(clock), SlotTable(1), ShortRunPool()
    executor = Executor(images, MemoryStore(), pool, log, clock, slots=1, **options)
    try:
        yield Host(executor, images, log)
    finally:
        await executor.stop()
        pool.close()


def code(answer: ExecAnswer) -> str | None:
    return answer.fault["code"] if answer.fault else None


class TestPoints:
    @pytest.mark.parametrize("point", [Point.AHEAD_OF_TIME, Point.LOAD_TIME, Point.RUNTIME])
    async def test_the_call_itself_is_always_checked(self, point: Point) -> None:
        async with host() as h:
            await h.install(ALWAYS)
            answer = await h.run(Access({0x20}, point=point))
            assert code(answer) == "HELPER_DENIED"
            assert answer.fault is not None
            assert (answer.fault["helper"], answer.fault["insn"]) == (0x10, 3)
            assert answer.helpers == (0x20,)
            assert h.executor.local_store(0).entries() == {}

    async def test_only_calls_that_are_executed_count_then(self) -> None:
        async with host() as h:
            await h.install(NEVER)
            assert code(await h.run(Access((), point=Point.RUNTIME))) is None

    async def test_before_the_run_all_calls_count(self) -> None:
        async with host() as h:
            await h.install(NEVER)
            with pytest.raises(Unprocessable) as caught:
                await h.run(Access((), point=Point.PRE_FLIGHT))
            assert caught.value.code == "helper-denied"
            assert h.lines() == [
                "helper 0x10 bpf_store_local not allowed at insn #2 (offset 0x10): not in R",
                "helper 0x11 bpf_store_global not allowed at insn #3 (offset 0x18): not in R",
            ]

    async def test_a_native_request_with_a_list_is_checked_before(self) -> None:
        async with host() as h:
            await h.install(NEVER)
            assert code(await h.run()) is None
            with pytest.raises(Unprocessable):
                await h.run(helpers=())

    async def test_at_a_deploy_the_signed_list_counts_and_the_slot_is_kept(self) -> None:
        async with host() as h:
            await h.install(ALWAYS)
            with pytest.raises(Unprocessable) as caught:
                await h.install(NEVER, granted=(0x10,))
            assert caught.value.where == "insn #3"
            assert h.lines() == [
                "helper 0x11 bpf_store_global not allowed at insn #3 (offset 0x18): not in M"
            ]
            assert code(await h.run()) is None
            assert h.images.sequence_number == 1

    async def test_at_a_deploy_that_wants_it_the_request_s_or_the_image_s_list_counts(self) -> None:
        async with host() as h:
            with pytest.raises(Unprocessable):
                await h.install(ALWAYS, access=Access({0x20}))
            with pytest.raises(MalformedRequest):
                await h.install(ALWAYS, access=Access(source=Source.BINARY))
            with pytest.raises(Unprocessable):
                await h.install(extended(ALWAYS, 0x20), access=Access(source=Source.BINARY))
            await h.install(extended(ALWAYS, 0x20, 0x10), access=Access(source=Source.BINARY))


class TestBounds:
    async def test_a_request_never_widens_what_was_signed(self) -> None:
        async with host() as h:
            await h.install(ALWAYS, granted=(0x10, 0x20))
            answer = await h.run(helpers=tuple(P))
            assert (code(answer), answer.helpers) == (None, (0x10, 0x20))
            info = h.executor.slot_info(0)
            assert (info.capabilities, info.helpers) == ({"helpers": [0x10, 0x20]}, (0x10, 0x20))

    async def test_nor_does_an_image(self) -> None:
        async with host() as h:
            await h.install(extended(ALWAYS, 0x20, 0x10, 0x01), granted=(0x10, 0x20))
            answer = await h.run(Access(source=Source.BINARY))
            assert answer.helpers == (0x10, 0x20)
            assert h.executor.slot_info(0).metadata_helpers == (0x01, 0x10, 0x20)

    async def test_what_a_device_grants_where_nothing_is_signed(self) -> None:
        async with host(helpers=(0x10, 0x20)) as h:
            with pytest.raises(Unprocessable):
                await h.install(NEVER)
            await h.install(ALWAYS)
            assert (await h.run()).helpers == (0x10, 0x20)
            await h.install(NEVER, granted=(0x10, 0x11))
            assert (await h.run()).helpers == (0x10, 0x11)

    async def test_it_lasts_over_a_restart(self) -> None:
        async with host() as h:
            stored = StoredImage(ALWAYS, sha256(ALWAYS).digest(), "p", 1, Capabilities((0x10, 0x20)).encode())
            h.images.commit({0: stored}, 1)
            assert (await h.run()).helpers == (0x10, 0x20)
