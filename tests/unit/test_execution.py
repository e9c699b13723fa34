"""The executor: what a run answers, who waits for whom, and what is left when something goes wrong."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import pytest

from device.api import ExecAnswer, ExecRequest, RegionSpec
from device.engines import ENGINES
from device.errors import (
    Conflict,
    LoadError,
    MalformedRequest,
    MicroBpfError,
    NotFound,
    StorageError,
    TooLarge,
    Unavailable,
    Unprocessable,
    VerifyError,
)
from device.execution import Executor, RunLimits, ShortRunPool
from device.execution.console import MAX_LOGGED, MAX_OUTPUT
from device.execution.programs import Checker, Prepared
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.vm.asm import assemble
from device.vm.faults import GuestFault
from device.vm.helpers import profile_helpers
from device.vm.profiles import UBPF
from device.vm.program import Engine, Outcome, Program, Run
from tests.device_bench import NAMES, SEVEN, SPIN, SUM, WILD, ZERO_CALL, eventually, example

NEGATIVE = assemble("mov r0, -1\nexit")
WRITES_REGION = assemble("lddw r1, 0x20300000\nstb [r1], 9\nlddw r1, 0x20310000\nldxb r0, [r1]\nexit")
PRINTS: Final = """
        mov r6, {count}
        lddw r1, 0x{last:02x}67666564636261
        stxdw [r10-16], r1
        stb [r10-8], 0
    loop:
        mov r1, r10
        add r1, -16
        call bpf_printf
        sub r6, 1
        jne r6, 0, loop
        mov r0, 0
        exit
"""
"""Prints `count` times "abcdefg" and the character `last`."""


def prints(count: int, last: str) -> bytes:
    return assemble(PRINTS.format(count=count, last=ord(last)), helpers=NAMES)


class HeldEngine:
    """Runs until it is released, or stopped."""

    name = "held"

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.release = threading.Event()
        self._lock = threading.Lock()

    def run(self, program: Program, run: Run) -> Outcome:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            while not self.release.is_set():
                run.control.check()
                time.sleep(0.002)
        except GuestFault as stopped:
            return Outcome(None, stopped.record(0), 1)
        finally:
            with self._lock:
                self.inside -= 1
        return Outcome(program.slots, None, 1)


class BrokenEngine:
    """Has a bug."""

    name = "broken"

    def run(self, program: Program, run: Run) -> Outcome:
        raise ZeroDivisionError("a bug")


@dataclass
class Host:
    """An executor with everything around it."""

    executor: Executor
    images: SlotTable
    shared: MemoryStore
    log: DeviceLog
    held: HeldEngine
    changes: list[int]

    async def install(self, slot: int, image: bytes) -> None:
        await self.executor.replace(
            {slot: await self.executor.check(slot, image)}, lambda: self.store(slot, image)
        )

    def store(self, slot: int, image: bytes) -> None:
        number = self.images.sequence_number + 1
        self.images.commit({slot: StoredImage(image, sha256(image).digest(), "p", number)}, number)

    async def run(self, slot: int = 0, client: str = "me", **request: Any) -> ExecAnswer:
        return await self.executor.execute(slot, ExecRequest(**request), client)

    def hold(self, slot: int = 0, client: str = "me", **request: Any) -> asyncio.Task[ExecAnswer]:
        asked = ExecRequest(engine="held", **request)  # type: ignore[arg-type]  # one of the tests
        return asyncio.create_task(self.executor.execute(slot, asked, client))

    def lines(self, source: str = "slot0") -> list[str]:
        return [line.text for line in self.log.page().lines if line.source == source]


@asynccontextmanager
async def host(**limits: Any) -> AsyncIterator[Host]:
    clock, changes, held = BootClock(), list[int](), HeldEngine()
    log, images, shared = (
        DeviceLog(clock, capacity=5000),
        SlotTable(3, limits.get("slot_size", 4096)),
        MemoryStore(),
    )
    pool = ShortRunPool()
    engines: Mapping[str, Engine] = {"held": held, "broken": BrokenEngine(), **ENGINES}
    executor = Executor(
        images, shared, pool, log, clock,
        slots=3, limits=RunLimits(**limits), engines=engines, on_change=changes.append,
    )  # fmt: skip
    try:
        yield Host(executor, images, shared, log, held, changes)
    finally:
        held.release.set()
        await executor.stop()
        pool.close()


def fault_of(answer: ExecAnswer) -> tuple[str, str]:
    assert answer.fault is not None
    assert answer.r0 is None
    return answer.fault["code"], answer.fault["detail"]


# What a run answers


async def test_a_plain_run() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        answer = await h.run()
        assert (answer.r0, answer.r0_signed) == ("0x0000000000000007", 7)
        assert (answer.engine, answer.instructions, answer.runs) == ("interpreter", 2, 1)
        assert (answer.context, answer.regions, answer.output, answer.cycles) == (None, (), "", None)
        assert answer.sizes.image == 16
        assert answer.helpers == tuple(sorted(profile_helpers(UBPF)))
        assert answer.time_us.run > 0
        assert h.changes[-2:] == [0, 0]


async def test_a_negative_result() -> None:
    async with host() as h:
        await h.install(0, NEGATIVE)
        answer = await h.run()
        assert (answer.r0, answer.r0_signed) == ("0xffffffffffffffff", -1)


async def test_a_fault_is_an_answer_and_is_counted() -> None:
    async with host() as h:
        await h.install(1, WILD)
        answer = await h.run(1)
        assert answer.fault is not None
        assert (answer.fault["code"], answer.fault["number"]) == ("ILLEGAL_MEM", -2)
        info = h.executor.slot_info(1)
        assert (info.runs, info.faults, info.state) == (1, 1, "ready")
        assert info.last_fault == answer.fault


async def test_context_and_regions_come_back_as_the_run_left_them() -> None:
    async with host() as h:
        await h.install(0, SUM)
        answer = await h.run(context=b"\x01\x02")
        assert (answer.r0_signed, answer.context) == (3, b"\x02\x01")
        await h.install(0, WRITES_REGION)
        regions = (RegionSpec(b"\x00\x01", True), RegionSpec(b"\x05"))
        answer = await h.run(regions=regions)
        assert (answer.r0_signed, answer.regions) == (5, (b"\x09\x01",))


async def test_a_read_only_context_cannot_be_written() -> None:
    async with host() as h:
        await h.install(0, SUM)
        assert fault_of(await h.run(context=b"\x01\x02", context_writable=False))[0] == "ILLEGAL_MEM"


@pytest.mark.parametrize(
    ("limits", "asked", "budget"),
    [
        pytest.param({}, None, 2_000_000, id="default"),
        pytest.param({}, 100, 100, id="a request lowers it"),
        pytest.param({}, 2**40, 2_000_000, id="and never raises it"),
        pytest.param({"budget_default": 50}, None, 50, id="the device's own"),
        pytest.param({"budget_default": 500, "budget_max": 70}, None, 70, id="its maximum"),
        pytest.param({"budget_default": 500, "budget_max": 70}, 30, 30, id="all three"),
    ],
)
def test_budget(limits: dict[str, Any], asked: int | None, budget: int) -> None:
    assert RunLimits(**limits).budget(asked) == budget


async def test_the_budget_ends_a_run() -> None:
    async with host(budget_default=5000) as h:
        await h.install(0, SPIN)
        answer = await h.run(budget=1000)
        assert fault_of(answer)[0] == "OUT_OF_INSTRUCTIONS"
        assert answer.instructions == 1000


# Repeats


async def test_repeats_have_fresh_contexts_and_lasting_data() -> None:
    async with host() as h:
        await h.install(0, SUM)
        answer = await h.run(context=b"\x01\x02", repeat=3)
        assert (answer.context, answer.runs) == (b"\x02\x01", 3)
        await h.install(0, example("counter"))
        answer = await h.run(repeat=5)
        assert (answer.r0_signed, answer.runs) == (5, 5)
        assert answer.output == "run 5 since the deploy\n"
        assert (await h.run()).r0_signed == 6
        assert h.executor.slot_info(0).runs == 6
        assert len(h.lines()) == 6


async def test_the_budget_is_per_run() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        answer = await h.run(repeat=50, budget=2)
        assert (answer.runs, answer.r0_signed, answer.instructions) == (50, 7, 2)


async def test_the_first_fault_ends_the_repeats() -> None:
    async with host() as h:
        await h.install(0, WILD)
        assert (await h.run(repeat=10)).runs == 1
        assert h.executor.slot_info(0).faults == 1


async def test_time_is_the_median_and_the_mean_is_counted() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        answer = await h.run(repeat=99)
        assert 0 < answer.time_us.run < 50_000
        info = h.executor.slot_info(0)
        assert (info.runs, info.faults) == (99, 0)
        assert info.mean_us is not None


# What is refused


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        pytest.param({"context": bytes(65_537)}, TooLarge, id="context"),
        pytest.param({"regions": (RegionSpec(b"x"),) * 17}, TooLarge, id="seventeen regions"),
        pytest.param({"regions": (RegionSpec(b"x"), RegionSpec(bytes(65_537)))}, TooLarge, id="region"),
        pytest.param({"helpers": (1, 2)}, Unprocessable, id="helper"),
    ],
)
async def test_refused_requests(request_: dict[str, Any], error: type[MicroBpfError]) -> None:
    async with host() as h:
        await h.install(0, ZERO_CALL)
        with pytest.raises(error):
            await h.run(**request_)
        assert h.executor.slot_info(0).runs == 0


async def test_the_largest_that_is_taken() -> None:
    async with host() as h:
        await h.install(0, SUM)
        regions = (RegionSpec(bytes(65_536), True),) + (RegionSpec(b"x"),) * 15
        answer = await h.run(context=bytes(65_536), regions=regions)
        assert answer.context == bytes(65_536)


async def test_slots_that_are_empty_or_not_there() -> None:
    async with host() as h:
        with pytest.raises(Conflict) as empty:
            await h.run(0)
        assert empty.value.code == "slot-empty"
        for number in (3, -1):
            with pytest.raises(NotFound):
                await h.run(number)
            with pytest.raises(NotFound):
                h.executor.slot_info(number)


async def test_an_engine_that_is_not_there() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        h.executor.engines = ENGINES
        with pytest.raises(MalformedRequest) as refused:
            await h.run(engine="native")
        assert (refused.value.code, refused.value.where) == ("engine-unavailable", "engine")


async def test_a_program_that_wants_more_memory_than_there_is() -> None:
    async with host(ram=3) as h:
        with pytest.raises(LoadError) as refused:
            await h.executor.check(0, example("counter"))
        assert refused.value.code == "load-ram"
    async with host(ram=4) as h:
        await h.executor.check(0, example("counter"))


@pytest.mark.parametrize(
    ("image", "error", "code"),
    [
        pytest.param(b"", LoadError, "load-short", id="nothing"),
        pytest.param(SEVEN[:8], VerifyError, "no-exit", id="no exit"),
        pytest.param(assemble("call 0x7fff\nexit"), VerifyError, "helper-unknown", id="helper"),
        pytest.param(bytes(4104), LoadError, "load-size", id="too large"),
    ],
)
async def test_images_that_may_not_run(image: bytes, error: type[MicroBpfError], code: str) -> None:
    async with host() as h:
        with pytest.raises(error) as refused:
            await h.executor.check(0, image)
        assert refused.value.code == code


# Helper lists


async def test_a_list_narrows_and_is_shown() -> None:
    async with host() as h:
        await h.install(0, ZERO_CALL)
        assert (await h.run(helpers=(0x10, 0x01, 0x7777))).helpers == (0x01, 0x10)
        assert h.lines() == ["helper 0x7777 of the request does not exist here"]


async def test_a_program_with_a_helper_outside_the_list_does_not_start() -> None:
    async with host() as h:
        twice = assemble(
            "mov r0, 0\njeq r0, 0, +2\ncall bpf_store_local\ncall bpf_store_global\nexit", helpers=NAMES
        )
        await h.install(0, twice)
        with pytest.raises(Unprocessable) as refused:
            await h.run(helpers=())
        error = refused.value
        assert error.code == "helper-denied"
        assert error.detail == "helper 0x10 bpf_store_local not allowed at insn #2 (offset 0x10), +1 more"
        assert len(error.detail) <= 96
        assert [finding["helper"] for finding in error.extra["findings"]] == [0x10, 0x11]
        assert h.executor.slot_info(0).runs == 0


# Output


async def test_output_is_bounded_in_answer_and_log() -> None:
    async with host() as h:
        await h.install(0, prints(3000, "\n"))
        answer = await h.run()
        assert answer.r0_signed == 0
        assert (
            answer.output
            == "abcdefg\n" * (MAX_OUTPUT // 8) + f"\n[{3000 * 8 - MAX_OUTPUT} more bytes of output]"
        )
        note = f"more than {MAX_LOGGED} lines: the rest of this request's is not logged for a minute"
        assert h.lines() == ["abcdefg"] * MAX_LOGGED + [note]


@pytest.mark.parametrize(
    ("calls", "logged"),
    [
        pytest.param(37, "abcdefg." * 37, id="296 bytes"),
        pytest.param(64, "abcdefg." * 64, id="512 bytes"),
        pytest.param(65, ("abcdefg." * 64)[:511] + "…", id="520 bytes"),
        pytest.param(500, ("abcdefg." * 64)[:511] + "…", id="4000 bytes"),
    ],
)
async def test_a_long_line_is_whole_in_the_log_or_marked(calls: int, logged: str) -> None:
    async with host() as h:
        await h.install(0, prints(calls, "."))
        assert (await h.run()).output == "abcdefg." * calls
        assert h.lines() == [logged]


async def test_output_is_text_whatever_was_printed() -> None:
    raw = assemble(
        "stdw [r10-8], 0x00fe1bff\nmov r1, r10\nadd r1, -8\ncall bpf_printf\nmov r0, 0\nexit", helpers=NAMES
    )
    async with host() as h:
        await h.install(0, raw)
        answer = await h.run()
        assert answer.output == "\ufffd\x1b\ufffd"
        assert h.lines() == ["\ufffd\\x1b\ufffd"]


# Time


@pytest.mark.parametrize("repeat", [1, 10_000], ids=["one run", "repeats"])
async def test_the_timeout_kills(repeat: int) -> None:
    async with host(budget_default=2**32 - 1) as h:
        await h.install(0, SPIN)
        begin = time.monotonic()
        answer = await h.run(timeout_ms=100, repeat=repeat)
        assert time.monotonic() - begin < 1.0
        code, detail = fault_of(answer)
        assert (code, "deadline" in detail) == ("KILLED", True)
        assert answer.runs == 1


async def test_the_timeout_is_for_all_repeats() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        answer = await h.run(timeout_ms=20, repeat=10_000)
        assert fault_of(answer)[0] == "KILLED"
        assert 0 < answer.runs < 10_000


async def test_waiting_counts_and_a_turn_that_never_comes_is_a_fault() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        first = h.hold()
        await eventually(lambda: h.held.inside == 1)
        begin = time.monotonic()
        answer = await h.run(timeout_ms=60, context=b"kept", regions=(RegionSpec(b"r", True),))
        assert 0.05 < time.monotonic() - begin < 1.0
        assert fault_of(answer)[0] == "KILLED"
        assert (answer.runs, answer.instructions, answer.context, answer.regions) == (0, 0, b"kept", (b"r",))
        h.held.release.set()
        await first
        assert (await h.run()).r0_signed == 1


# Who waits for whom


async def test_a_program_with_memory_runs_alone() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        runs = [h.hold(client=f"c{n}") for n in range(6)]
        await eventually(lambda: h.held.inside == 1)
        await asyncio.sleep(0.02)
        assert h.held.most == 1
        assert h.executor.slot_info(0).state == "running"
        h.held.release.set()
        await asyncio.gather(*runs)
        assert h.held.most == 1
        assert h.executor.slot_info(0).runs == 6


async def test_one_without_runs_beside_itself_and_other_slots() -> None:
    async with host() as h:
        await h.install(0, example("counter"))
        await h.install(1, SEVEN)
        runs = [h.hold(slot, client=f"c{n}") for n, slot in enumerate((0, 0, 1, 1, 1))]
        await eventually(lambda: h.held.inside == 4)
        h.held.release.set()
        await asyncio.gather(*runs)


async def test_too_many_waiting_runs_are_turned_away() -> None:
    async with host() as h:
        await h.install(0, SEVEN)
        mine = [h.hold(client="me") for _ in range(2 + 32)]
        await eventually(lambda: h.held.inside == 2)
        with pytest.raises(Unavailable):
            await h.run(client="me")
        assert (await h.run(client="you")).r0_signed == 7
        h.held.release.set()
        await asyncio.gather(*mine)
        assert (await h.run(client="me")).r0_signed == 7


# Replacing


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


class SlowCheck:
    """Holds every check of an image until it is let go; `inside` counts those that wait."""

    def __init__(self, checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = 0
        self.go_on = threading.Event()
        self._check = checker.check
        monkeypatch.setattr(checker, "check", self)

    def __call__(self, *image: Any) -> Prepared:
        self.inside += 1
        assert self.go_on.wait(5), "nothing else ran while an image was checked"
        return self._check(*image)


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


# After a restart


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
