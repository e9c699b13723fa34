"""Programs whose bytecode was discarded, on a device over UDP: the same runs, nothing else (engines.md)."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiocoap import Code

from client.examples import Case, Example, load
from device.execution import swap
from device.node import NodeLimits
from device.suit.capabilities import Capabilities
from device.vm.asm import assemble
from device.vm.interpreter.closures import Closures
from device.vm.program import PERIODIC_WAKEUP, Program
from tests.clocks import ManualClock
from tests.device_bench import NAMES, SEVEN, SPIN, SUM, WILD, Bench, Reply, device, eventually

POST, GET, DELETE = Code.POST, Code.GET, Code.DELETE
EXAMPLES: Final = [one for one in load().values() if PERIODIC_WAKEUP not in one.helpers]
"""Programs that do not sleep: the others would do so in real time here."""

COUNTED: Final = assemble(
    "mov r0, 0\nmov r6, r2\nloop: add r0, r6\nmov r1, r6\ncall local twice\nadd r6, -1\njne r6, 0, loop\n"
    "exit\ntwice: mov r0, r1\nadd r0, r0\nexit"
)
NAP: Final = assemble(
    "mov r1, r10\nadd r1, -4\nstw [r10-4], 0\nmov r2, 1000\ncall bpf_ztimer_periodic_wakeup\nmov r0, 5\nexit",
    helpers=NAMES,
)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device() as made:
        yield made


async def discard(bench: Bench, slot: int = 0) -> dict[str, Any]:
    reply = await bench.ask(POST, f"/slots/{slot}/jit", {"action": "discard-bytecode"})
    assert reply.code == "2.04", reply.problem
    found: dict[str, Any] = reply.value
    return found


def outcome(reply: Reply) -> dict[str, Any]:
    """What engines agree on, of a run that the exact tier may have ended or not."""
    assert reply.code == "2.04", reply.problem
    kept = {"r0", "instructions", "context", "regions", "output", "helpers"}
    found = {key: value for key, value in reply.value.items() if key in kept}
    fault = dict(reply.value.get("fault", {}))
    fault.pop("registers", None)
    return found | {"fault": fault}


async def stores(bench: Bench) -> list[Any]:
    return [(await bench.get(f"/store/{path}")).value for path in ("global", "slots/0")]


async def through(bench: Bench, case: Case) -> list[Any]:
    """All runs of a case, each also with budgets that end it in the middle, and the stores behind them."""
    found: list[Any] = []
    for path, wanted in (("global", case.global_store), ("slots/0", case.local_store)):
        if wanted:
            entries = {str(key): value for key, value in wanted.items()}
            assert (await bench.ask(Code.PUT, f"/store/{path}", entries)).code == "2.04"
    for expected in case.runs:
        asked: dict[str, Any] = {"context": expected.context, "budget": expected.budget}
        given = {key: value for key, value in asked.items() if value is not None}
        if expected.region is not None:
            given["regions"] = [{"bytes": expected.region}]
        whole = await bench.execute(0, given)
        found.append(outcome(whole))
        length = whole.value["instructions"]
        budgets = {1, 2, length // 2 + 1, max(length - 1, 1), length}
        found.extend([outcome(await bench.execute(0, {**given, "budget": budget})) for budget in budgets])
        found.append(await stores(bench))
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_an_acceptance_program_ends_as_before(example: Example) -> None:
    """Faults with function and source line, budgets that run out, memory, stores and output are equal."""
    image = example.object.read_bytes()
    for case in example.cases:
        found = []
        for without in (False, True):
            async with device(clock=ManualClock(), limits=NodeLimits(slot_size=1 << 17)) as bench:
                await bench.install(0, image)
                if without:
                    assert (await discard(bench))["bytecode"] == "discarded"
                found.append(await through(bench, case))
        assert found[0] == found[1]


async def test_every_budget_of_a_loop_with_calls(bench: Bench) -> None:
    await bench.install(0, COUNTED)
    await bench.install(1, COUNTED)
    await bench.execute(0, {"context": bytes(6)})
    await discard(bench)
    for budget in range(1, 60):
        asked = {"context": bytes(6), "budget": budget}
        found = await bench.execute(0, asked)
        assert (found.value["engine"], found.value["sizes"]["code"] > 0) == ("jit", True)
        assert outcome(found) == outcome(await bench.execute(1, {**asked, "engine": "switch"}))


async def test_a_slot_tells_what_it_has(bench: Bench) -> None:
    await bench.install(0, SUM)
    await bench.execute(0, {"context": b"\1\2"})
    info = await discard(bench)
    assert (info["bytecode"], info["size"]) == ("discarded", len(SUM))
    assert info["jit"]["size"] > 0
    assert info["jit"]["exact_code"] > len(SUM)
    assert (await bench.get("/slots/0")).value == info == await discard(bench)
    assert (await bench.get("/slots")).value["items"][0]["bytecode"] == "discarded"
    assert "info slot0 the bytecode was discarded: the program runs by jit alone" in bench.lines


async def test_memory_of_another_shape_is_run_exactly(bench: Bench) -> None:
    """There is no compiled code for it, and none can be made: `sizes` says so."""
    await bench.install(0, SUM)
    for length in (2, 3):
        await bench.execute(0, {"engine": "jit", "context": bytes(length)})
    await discard(bench)
    found = [(await bench.execute(0, {"context": bytes([1, 2] + [0] * more)})).value for more in range(4)]
    assert [answer["r0_signed"] for answer in found] == [3] * 4
    assert {answer["engine"] for answer in found} == {"jit"}
    assert [answer["sizes"]["code"] > 0 for answer in found] == [True, True, False, False]


REFUSED: Final[dict[str, tuple[Code, str, Any]]] = {
    "switch": (POST, "/slots/0/exec", {"engine": "switch"}),
    "interpreter": (POST, "/slots/0/exec", {"engine": "interpreter"}),
    "shadow": (POST, "/slots/0/exec", {"shadow": True}),
    "recompile": (POST, "/slots/0/exec", {"engine": "jit", "recompile": True}),
    "cycles": (POST, "/slots/0/exec", {"cycles": True}),
    "compile": (POST, "/slots/0/jit", {"action": "compile"}),
    "drop": (POST, "/slots/0/jit", {"action": "drop"}),
    "job": (POST, "/jobs", {"slot": 0, "engine": "interpreter"}),
    "hook": (POST, "/hooks", {"slot": 0, "trigger": "interval", "period_ms": 10, "engine": "switch"}),
    "image": (GET, "/slots/0/image", None),
}


@pytest.mark.parametrize(("method", "path", "body"), REFUSED.values(), ids=REFUSED)
async def test_what_reads_the_bytecode_is_refused(bench: Bench, method: Code, path: str, body: Any) -> None:
    await bench.install(0, SEVEN)
    await discard(bench)
    reply = await bench.ask(method, path, body)
    assert (reply.code, reply.problem.code) == ("4.09", "bytecode-discarded")
    assert (await bench.execute(0)).value["r0_signed"] == 7


async def test_nothing_keeps_the_text(bench: Bench) -> None:
    """Neither slot, nor engines, nor jobs that have ended, nor the table of images."""
    text = assemble("mov r0, 77\nmov r1, 78\nexit")
    await bench.install(0, text)
    for engine in ("interpreter", "switch", "jit", "auto"):
        assert (await bench.execute(0, {"engine": engine})).value["r0_signed"] == 77
    job = (await bench.ask(POST, "/jobs", {"slot": 0})).value["id"]
    await eventually(lambda: bench.node.executor.job(job).state == "finished")
    assert kept(text)
    await discard(bench)
    assert (await bench.execute(0)).value["r0_signed"] == 77
    assert not kept(text)
    stored = bench.node.slots.get(0)
    assert stored is not None
    assert (stored.image, stored.size) == (b"", len(text))


def kept(text: bytes) -> list[object]:
    gc.collect()
    held = [one for one in gc.get_objects() if isinstance(one, Program | Closures)]
    return [one for one in held if one.text == text]


async def test_slots_with_one_program_are_apart(bench: Bench) -> None:
    for slot in (0, 1):
        await bench.install(slot, SUM)
    await discard(bench)
    assert (await bench.get("/slots/1")).value["bytecode"] == "present"
    for engine in ("switch", "interpreter", "jit"):
        answer = (await bench.execute(1, {"engine": engine, "context": b"\1\2"})).value
        assert (answer["r0_signed"], answer["engine"]) == (3, engine)
    assert (await bench.ask(POST, "/slots/1/jit", {"action": "drop"})).code == "2.04"
    assert (await bench.ask(DELETE, "/slots/1")).code == "2.02"
    answer = (await bench.execute(0)).value
    assert (answer["engine"], answer["fault"]["code"], answer["sizes"]["code"] > 0) == (
        "jit",
        "ILLEGAL_MEM",
        True,
    )


async def test_another_deployment_has_bytecode_again(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    await discard(bench)
    await bench.install(0, WILD)
    info = (await bench.get("/slots/0")).value
    assert (info["bytecode"], info["jit"]) == ("present", None)
    for engine in ("switch", "jit"):
        assert (await bench.execute(0, {"engine": engine})).value["fault"]["code"] == "ILLEGAL_MEM"
    await bench.install(0, SEVEN)
    assert (await bench.execute(0, {"engine": "switch"})).value["r0_signed"] == 7


async def test_jobs_and_packets_go_on(bench: Bench) -> None:
    await bench.install(0, NAP)
    await discard(bench)
    job = (await bench.ask(POST, "/jobs", {"slot": 0})).value["id"]
    await eventually(lambda: bench.node.executor.job(job).state == "finished")
    done = bench.node.executor.job(job)
    assert (done.engine, done.r0_signed) == ("jit", 5)
    reply = await bench.get("/slots/0/packet")
    assert reply.code == "5.00"
    assert reply.problem.code == "bad-reply"
    assert (await bench.get("/slots/0")).value["faults"] == 0


async def test_what_must_not_be_compiled_keeps_its_bytecode(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    prepared = await bench.node.executor.check(0, SEVEN, Capabilities(jit=False))
    await bench.node.executor.replace({0: prepared}, lambda: None)
    reply = await bench.ask(POST, "/slots/0/jit", {"action": "discard-bytecode"})
    assert (reply.code, reply.problem.code) == ("4.22", "jit-denied")
    assert (await bench.execute(0, {"engine": "switch"})).value["r0_signed"] == 7


@pytest.mark.parametrize(
    ("path", "word", "code"),
    [
        ("/short-execution", "0400", "2.04"),
        ("/short-execution", "0000", "4.09"),
        ("/short-execution", "0c00", "4.09"),
        ("/benchmark/short-execution", "0400", "4.09"),
        ("/bpf/exec/0", "", "2.04"),
    ],
    ids=["jit", "interpreter", "recompiled", "phases, which loads it anew", "TinyPART's"],
)
async def test_original_clients(bench: Bench, path: str, word: str, code: str) -> None:
    await bench.install(0, SEVEN)
    await discard(bench)
    reply = await bench.ask(POST, path, payload=word.encode())
    assert reply.code == code
    assert ("bytecode" in reply.value) == (code == "4.09")


async def test_a_slot_in_use_keeps_its_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "REPLACE_GRACE_S", 0.05)
    async with device(limits=NodeLimits(budget_default=2**32 - 1)) as bench:
        await bench.install(0, SPIN)
        job = (await bench.ask(POST, "/jobs", {"slot": 0})).value["id"]
        await eventually(lambda: bench.node.executor.job(job).state == "running")
        reply = await bench.ask(POST, "/slots/0/jit", {"action": "discard-bytecode"})
        assert (reply.code, reply.problem.code) == ("4.09", "slot-in-use")
        assert (await bench.ask(DELETE, f"/jobs/{job}")).code == "2.02"
        assert (await bench.get("/slots/0")).value["bytecode"] == "present"
        assert (await discard(bench))["bytecode"] == "discarded"


async def test_a_program_without_bytecode_can_be_killed() -> None:
    async with device(limits=NodeLimits(budget_default=2**32 - 1)) as bench:
        await bench.install(0, SPIN)
        await discard(bench)
        for context in (None, b"there is no code for this"):
            asked = {"timeout_ms": 200} | ({} if context is None else {"context": context})
            answer = (await bench.execute(0, asked)).value
            assert (answer["fault"]["code"], answer["engine"]) == ("KILLED", "jit")


async def test_a_hook_that_wants_the_bytecode_is_told(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    for engine in ("interpreter", "auto"):
        asked = {"slot": 0, "trigger": "path", "path": engine, "engine": engine}
        assert (await bench.ask(POST, "/hooks", asked)).code == "2.01"
    await discard(bench)
    reply = await bench.get("/app/interpreter")
    assert (reply.code, reply.problem.code) == ("4.09", "bytecode-discarded")
    assert (await bench.get("/app/auto")).problem.code == "bad-reply"
    assert (await bench.get("/slots/0")).value["jit"]["runs"] == 1


async def test_rules_without_compiler_need_the_bytecode() -> None:
    async with device(profile="femto") as bench:
        await bench.install(0, SEVEN)
        reply = await bench.ask(POST, "/slots/0/jit", {"action": "discard-bytecode"})
        assert (reply.code, reply.problem.code) == ("4.09", "bytecode-needed")
        assert (await bench.get("/slots/0")).value["bytecode"] == "present"
        assert (await bench.execute(0)).value["r0_signed"] == 7


async def test_a_restart_has_the_bytecode_again(tmp_path: Path) -> None:
    async with device(state=tmp_path / "state") as bench:
        await bench.install(0, SUM)
        await discard(bench)
        await bench.install(1, SEVEN)  # saves all slots: the file of slot 0 has to stay
        assert (await bench.get("/slots/0/image")).value["content"] == SUM
        part = (await bench.get("/slots/0/image?offset=8&length=4")).value
        assert (part["content"], part["size"]) == (SUM[8:12], len(SUM))
    async with device(state=tmp_path / "state") as bench:
        assert (await bench.get("/slots/0")).value["bytecode"] == "present"
        answer = (await bench.execute(0, {"engine": "switch", "context": b"\1\2"})).value
        assert answer["r0_signed"] == 3
