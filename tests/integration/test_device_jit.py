"""What users see of compiled code, on a device over UDP: engines, counters, limits (engines.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Final

import pytest
from aiocoap import Code

from client.examples import Case, Example, load
from device.api import CBOR, JSON, ExecAnswer, SlotInfo
from device.engines import policy
from device.engines.compiling import CompilingEngine
from device.execution import executor
from device.jit.engine import JitEngine
from device.node import NodeLimits
from device.vm.asm import assemble
from device.vm.program import PERIODIC_WAKEUP, Outcome, Program, Run
from device.vm.writer import strip_object
from tests.device_bench import NAMES, SEVEN, SPIN, SUM, WILD, Bench, Reply, device, eventually

POST, DELETE = Code.POST, Code.DELETE
EXAMPLES: Final = load()
TIMELY: Final = [example for example in EXAMPLES.values() if PERIODIC_WAKEUP not in example.helpers]
"""Programs that do not sleep: the others would do so in real time here."""

WORK: Final = assemble("mov r0, 0\nmov r6, 40000\nagain: add r0, r6\nadd r6, -1\njne r6, 0, again\nexit")
WORKED: Final = 40_000 * 40_001 // 2
CHATTY: Final = assemble(
    "mov r6, 30000\nagain: mov r1, 1\nmov r2, r10\nadd r2, -8\ncall bpf_fetch_local\nadd r6, -1\n"
    "jne r6, 0, again\nmov r0, 3\nexit",
    helpers=NAMES,
)
SLEEP: Final = assemble(
    "mov r1, r10\nadd r1, -4\nstw [r10-4], 0\nmov r2, 3600000000\ncall bpf_ztimer_periodic_wakeup\n"
    "mov r0, 5\nexit".replace("3600000000", "0x70000000"),
    helpers=NAMES,
)
ENDLESS: Final = NodeLimits(budget_default=2**32 - 1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device() as made:
        yield made


async def jit(bench: Bench, slot: int = 0, **asked: Any) -> Reply:
    return await bench.execute(slot, {"engine": "jit", **asked})


async def code(bench: Bench, slot: int = 0) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (await bench.get(f"/slots/{slot}")).value["jit"]
    return found


async def act(bench: Bench, action: str, slot: int = 0, **options: Any) -> Reply:
    return await bench.ask(POST, f"/slots/{slot}/jit", {"action": action}, **options)


def native(bench: Bench) -> JitEngine | None:
    engine = bench.node.executor.engines["jit"]
    assert isinstance(engine, CompilingEngine)
    return engine.loaded


# Acceptance programs


@pytest.mark.parametrize("example", TIMELY, ids=lambda example: example.name)
async def test_an_acceptance_program_compiled(bench: Bench, example: Example) -> None:
    image = strip_object(example.object.read_bytes())
    for case in example.cases:
        await bench.install(0, image)
        await set_stores(bench, case)
        for expected in case.runs:
            asked: dict[str, Any] = {"context": expected.context, "budget": expected.budget}
            given = {key: value for key, value in asked.items() if value is not None}
            if expected.region is not None:
                given["regions"] = [{"bytes": expected.region}]
            answer = ExecAnswer.from_map((await jit(bench, **given)).value)
            fault = None if answer.fault is None else answer.fault["code"]
            assert (answer.engine, answer.r0_signed, fault) == ("jit", expected.r0, expected.fault)
            if expected.output is not None:
                assert answer.output == expected.output
            if expected.context_after is not None:
                assert answer.context == expected.context_after


async def set_stores(bench: Bench, case: Case) -> None:
    for path, wanted in (("global", case.global_store), ("slots/0", case.local_store)):
        if wanted:
            entries = {str(key): value for key, value in wanted.items()}
            assert (await bench.ask(Code.PUT, f"/store/{path}", entries)).code == "2.04"


async def test_a_fault_has_its_source_line() -> None:
    """An object that was deployed with its debug information names the line; the address is exact."""
    example = next(
        one for one in EXAMPLES.values() if any(r.fault == "ILLEGAL_MEM" for r in one.cases[0].runs)
    )
    expected = next(r for r in example.cases[0].runs if r.fault == "ILLEGAL_MEM")
    asked = {} if expected.context is None else {"context": expected.context}
    async with device(limits=NodeLimits(slot_size=1 << 16)) as bench:
        await bench.install(0, example.object.read_bytes())
        replies = [await bench.execute(0, {"engine": engine, **asked}) for engine in ("switch", "jit")]
    faults = [reply.value["fault"] for reply in replies]
    assert faults[0]["source"].rpartition(":")[0].endswith(".c")
    for one in faults:
        one.pop("registers", None)
    assert faults[0] == faults[1]


# Counters, and what changes them


async def test_a_slot_tells_of_its_code(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    assert await code(bench) is None
    assert native(bench) is None, "what nobody asked for is not loaded"
    first, second = (await jit(bench)).value, (await jit(bench)).value
    assert first["time_us"]["compile"] > 0
    assert second["time_us"]["compile"] == 0
    found = await code(bench)
    assert found is not None
    assert found["size"] == first["sizes"]["code"] == second["sizes"]["code"] > 0
    assert (found["compiles"], found["runs"], found["quarantined"]) == (1, 2, False)
    assert found["compile_us"] == first["time_us"]["compile"]
    assert set(found) == {"size", "exact_code", "compiles", "compile_us", "runs", "quarantined"}


@pytest.mark.parametrize("form", [CBOR, JSON], ids=["cbor", "json"])
async def test_code_is_compiled_and_dropped_on_request(bench: Bench, form: int) -> None:
    await bench.install(0, SUM)
    reply = await act(bench, "compile", content_format=form, accept=form)
    info = SlotInfo.from_map(reply.value)
    assert (reply.code, info.slot, info.bytecode) == ("2.04", 0, "present")
    assert info.jit is not None
    assert (info.jit["compiles"], info.jit["runs"]) == (1, 0)
    assert info.jit["size"] > 0
    dropped = SlotInfo.from_map((await act(bench, "drop")).value)
    assert dropped.jit is not None
    assert (dropped.jit["size"], dropped.jit["compiles"]) == (0, 1)
    assert (await jit(bench, context=b"\1\2")).value["r0_signed"] == 3


async def test_it_is_compiled_for_runs_like_the_last(bench: Bench) -> None:
    await bench.install(0, SUM)
    await bench.execute(0, {"context": b"\1\2"})
    await act(bench, "compile")
    assert (await jit(bench, context=b"\3\4")).value["time_us"]["compile"] == 0


async def test_code_is_made_anew_on_request(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    for wish in ({"engine": "jit"}, {"engine": "jit", "recompile": True}, {"recompile": True, "repeat": 3}):
        assert (await bench.execute(0, wish)).value["engine"] == "jit"
    found = await code(bench)
    assert found is not None
    assert (found["compiles"], found["runs"]) == (3, 5)


async def test_another_program_is_other_code(bench: Bench) -> None:
    """Both have one length and one layout, so that the second takes the place of the first."""
    for number in (1, 2, 1, 3):
        await bench.install(0, assemble(f"mov r0, {number}\nexit"))
        for _ in range(2):
            assert (await jit(bench)).value["r0_signed"] == number
        found = await code(bench)
        assert found is not None
        assert (found["compiles"], found["runs"]) == (1, 2)


async def test_the_code_of_a_program_that_is_gone_is_gone(bench: Bench) -> None:
    await bench.install(0, SUM)
    await bench.install(1, SUM)
    await jit(bench, context=b"\1\2")
    await bench.install(0, SEVEN)
    engine = native(bench)
    assert engine is not None
    assert sum(len(one.closures.text) for one in engine._programs.values()) == len(SUM)  # slot 1 has it still
    assert (await bench.ask(DELETE, "/slots/1")).code == "2.02"
    assert not engine._programs
    assert (await bench.get("/slots/1")).value["state"] == "free"


# What auto takes


async def test_auto_compiles_what_is_hot(bench: Bench) -> None:
    await bench.install(0, WORK)
    engines = list[str]()

    async def run() -> bool:
        answer = (await bench.execute(0)).value
        assert (answer["r0_signed"], answer["instructions"]) == (WORKED, 120_003)
        engines.append(answer["engine"])
        return bool(answer["engine"] == "jit")

    end = monotonic() + 30
    while not await run():
        assert monotonic() < end
    assert len(engines) > policy.FIRST_RUNS
    assert set(engines[:-1]) == {"interpreter"}
    assert (await code(bench) or {})["runs"] == 1


@pytest.mark.parametrize(("image", "runs"), [(CHATTY, 6), (SEVEN, 100)], ids=["helper-bound", "short"])
async def test_auto_interprets_the_rest(bench: Bench, image: bytes, runs: int) -> None:
    await bench.install(0, image)
    for _ in range(runs):
        assert (await bench.execute(0)).value["engine"] == "interpreter"
    assert native(bench) is None or await code(bench) is None


async def test_auto_interprets_while_all_machines_are_busy(bench: Bench) -> None:
    await bench.install(0, WORK)
    await jit(bench)
    engine = native(bench)
    assert engine is not None
    while (await bench.execute(0)).value["engine"] != "jit":
        pass
    claims = [engine.machines.claim() for _ in range(bench.node.config.workers + 1)]
    assert None not in claims
    assert engine.machines.claim() is None
    assert (await bench.execute(0)).value["engine"] == "interpreter"
    for claim in claims:
        assert claim is not None
        claim.release()
    assert (await bench.execute(0)).value["engine"] == "jit"


async def test_who_insists_waits_for_a_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MACHINE_S", 0.2)
    await bench.install(0, SEVEN)
    await jit(bench)
    engine = native(bench)
    assert engine is not None
    claims = [engine.machines.claim() for _ in range(bench.node.config.workers + 1)]
    reply = await jit(bench)
    assert (reply.code, reply.problem.code) == ("5.03", "no-machine")
    assert reply.message.opt.max_age
    assert (await bench.get("/slots/0")).value["state"] == "ready"
    monkeypatch.setattr(executor, "MACHINE_S", 20.0)
    waiting = asyncio.create_task(jit(bench))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    for claim in claims:
        assert claim is not None
        claim.release()
    await bench.execute(0)  # whoever ends lets others in
    assert (await asyncio.wait_for(waiting, 10)).value["engine"] == "jit"


async def test_jobs_that_sleep_for_ever_keep_nobody_from_compiled_code(bench: Bench) -> None:
    await bench.install(0, SLEEP)
    await bench.install(1, SEVEN)
    numbers = list[int]()
    for _ in range(bench.node.config.workers // 2):
        reply = await bench.ask(POST, "/jobs", {"slot": 0, "engine": "jit"})
        assert (reply.code, reply.value["engine"]) == ("2.01", "jit")
        numbers.append(reply.value["id"])
    executor_ = bench.node.executor
    await eventually(lambda: all(executor_.job(number).state == "sleeping" for number in numbers), 20)
    engine = native(bench)
    assert engine is not None
    assert engine.machines.made == len(numbers)
    assert (await jit(bench, 1)).value["r0_signed"] == 7
    for number in numbers:
        assert (await bench.ask(DELETE, f"/jobs/{number}")).code == "2.02"
    assert engine.machines.made <= bench.node.config.workers + 1


async def test_machines_go_with_their_device() -> None:
    async with device() as bench:
        await bench.install(0, SEVEN)
        await jit(bench)
        engine = native(bench)
        assert engine is not None
        assert engine.machines.made == 1
    assert engine.machines.made == 0


# Killing, and others meanwhile


async def test_a_spinning_program_is_killed_and_holds_up_nobody() -> None:
    async with device(limits=ENDLESS) as bench:
        await bench.install(0, SPIN)
        job = (await bench.ask(POST, "/jobs", {"slot": 0, "engine": "jit"})).value["id"]
        await eventually(lambda: bench.node.executor.job(job).state == "running", 20)
        await asyncio.sleep(0.3)
        for _ in range(20):
            begin = monotonic()
            assert (await bench.get("/device")).code == "2.05"
            assert monotonic() - begin < 2
        begin = monotonic()
        assert (await bench.ask(DELETE, f"/jobs/{job}")).code == "2.02"
        assert monotonic() - begin < 2, "100 ms on an idle machine"
        info = bench.node.executor.job(job)
        assert (info.state, info.engine) == ("killed", "jit")
        assert info.instructions or 0 > 0


async def test_a_deadline_ends_a_spinning_program() -> None:
    async with device(limits=ENDLESS) as bench:
        await bench.install(0, SPIN)
        await jit(bench, budget=1000)
        answer = (await jit(bench, timeout_ms=150)).value
        assert (answer["fault"]["code"], answer["engine"]) == ("KILLED", "jit")
        assert answer["instructions"] > 1000
        assert (await jit(bench, budget=1000)).value["fault"]["code"] == "OUT_OF_INSTRUCTIONS"


async def test_two_devices_run_compiled_code_at_once() -> None:
    """Each has machines of its own, and while one spins the other gets its answer."""
    async with device(limits=ENDLESS) as one, device(name="other") as other:
        await one.install(0, SPIN)
        await other.install(0, WORK)
        spinning = asyncio.create_task(jit(one, timeout_ms=1500))
        await asyncio.sleep(0.3)
        for _ in range(5):
            assert (await jit(other)).value["r0_signed"] == WORKED
        assert not spinning.done()
        assert (await spinning).value["fault"]["code"] == "KILLED"
        engines = native(one), native(other)
        assert None not in engines
        assert engines[0] is not engines[1]


# Side by side


async def test_runs_side_by_side_are_equal(bench: Bench) -> None:
    await bench.install(0, SUM)
    answer = (await bench.execute(0, {"shadow": True, "context": b"\1\2"})).value
    assert answer["shadow"] == {"equal": True}
    assert (answer["engine"], answer["r0_signed"], answer["context"]) == ("interpreter", 3, b"\2\1")
    await bench.install(0, WILD)
    assert (await bench.execute(0, {"shadow": True})).value["shadow"] == {"equal": True}
    assert "shadow" not in (await bench.execute(0)).value


async def test_a_difference_is_told_and_ends_compiled_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await bench.install(0, SEVEN)

    def wrong(self: JitEngine, program: Program, run: Run) -> Outcome:
        return Outcome(8, None, 2)

    monkeypatch.setattr(JitEngine, "run", wrong)
    answer = (await bench.execute(0, {"shadow": True})).value
    assert answer["shadow"] == {"equal": False, "difference": "r0 8, expected 7"}
    assert (answer["r0_signed"], answer["engine"]) == (7, "interpreter")
    assert any(line.startswith("error slot0 compiled code differs") for line in bench.lines)
    found = await code(bench)
    assert found is not None
    assert (found["quarantined"], found["size"]) == (True, 0)
    refused = await jit(bench)
    assert (refused.code, refused.problem.code) == ("4.09", "code-quarantined")
    assert (await act(bench, "compile")).problem.code == "code-quarantined"
    assert (await bench.execute(0)).value["r0_signed"] == 7
    monkeypatch.undo()
    assert (await act(bench, "drop")).code == "2.04"
    assert (await jit(bench)).value["r0_signed"] == 7


async def test_cycles_are_estimated_on_request(bench: Bench) -> None:
    await bench.install(
        0, assemble("mov r0, 0\nmov r6, r2\nagain: add r0, r6\nadd r6, -1\njne r6, 0, again\nexit")
    )
    found = [
        (await bench.execute(0, {"cycles": True, "context": bytes(length)})).value for length in (10, 20, 30)
    ]
    assert {answer["engine"] for answer in found} == {"jit"}
    first, second, third = (answer["cycles"] for answer in found)
    assert first >= 30
    assert second - first == third - second > 0
    assert (await jit(bench, context=bytes(10))).value["cycles"] is None
