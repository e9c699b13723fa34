"""The executor: what a run answers, who waits for whom, and what is left when something goes wrong."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from device.api import RegionSpec
from device.engines import ENGINES
from device.errors import (
    Conflict,
    LoadError,
    MalformedRequest,
    MicroBpfError,
    NotFound,
    TooLarge,
    Unavailable,
    Unprocessable,
    VerifyError,
)
from device.execution import RunLimits
from device.execution.console import MAX_LOGGED, MAX_OUTPUT
from device.vm.asm import assemble
from device.vm.helpers import profile_helpers
from device.vm.profiles import UBPF
from tests.device_bench import NAMES, SEVEN, SPIN, SUM, WILD, ZERO_CALL, eventually, example
from tests.unit.execution_bench import (
    NEGATIVE,
    WRITES_REGION,
    fault_of,
    host,
    prints,
)


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
