"""Programs that run by themselves, over UDP (api.md, "Hooks")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiocoap import Code

from device.api import HookInfo
from device.execution.hooks import MAX_HOOKS
from device.vm.asm import assemble
from tests.device_bench import NAMES, SEVEN, SPIN, WILD, Bench, Reply, device, eventually, example
from tests.integration.test_device_observe import observing


def noting(digit: int, result: int) -> bytes:
    """A program that appends a digit to the number under key 0, and returns `result`."""
    return assemble(
        f"mov r1, 0\nmov r2, r10\nsub r2, 4\ncall bpf_fetch_global\nldxw r6, [r10-4]\nmul r6, 10\n"
        f"add r6, {digit}\nmov r1, 0\nmov r2, r6\ncall bpf_store_global\nmov r0, {result}\nexit",
        helpers=NAMES,
    )


def storing(*loads: str) -> bytes:
    """A program that puts what these instructions load to r2 under keys 0, 1, …"""
    parts = (f"{load}\nmov r1, {key}\ncall bpf_store_global\n" for key, load in enumerate(loads))
    return assemble("mov r6, r1\n" + "".join(parts) + "mov r0, 0\nexit", helpers=NAMES)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device(slots=4) as bench:
        yield bench


async def hook(bench: Bench, slot: int, trigger: str, **how: Any) -> Reply:
    return await bench.ask(Code.POST, "/hooks", {"slot": slot, "trigger": trigger, **how})


async def made(bench: Bench, slot: int, trigger: str, **how: Any) -> str:
    """Its path."""
    reply = await hook(bench, slot, trigger, **how)
    assert reply.code == "2.01", reply.problem
    place = "/" + "/".join(reply.message.opt.location_path)
    assert place == f"/hooks/{reply.value['id']}"
    return place


async def entries(bench: Bench) -> dict[str, int]:
    found: dict[str, int] = (await bench.get("/store/global")).value["entries"]
    return found


async def until(bench: Bench, path: str, condition: Any) -> Any:
    """What a resource says when that is so at last."""
    async with asyncio.timeout(10):
        while not condition(value := (await bench.get(path)).value):  # noqa: ASYNC110  # as clients do
            await asyncio.sleep(0.01)
    return value


async def test_a_hook_as_it_is_shown(bench: Bench) -> None:
    await bench.install(1, SEVEN)
    place = await made(bench, 1, "interval", period_ms=60_000, policy="single", engine="switch")
    value = (await bench.get(place)).value
    assert value == {
        "id": 1,
        "slot": 1,
        "trigger": "interval",
        "policy": "single",
        "engine": "switch",
        "period_ms": 60_000,
        "runs": 0,
        "faults": 0,
        "missed": 0,
        "last": None,
    }
    assert (await bench.get("/hooks")).value == {"items": [value]}
    assert (await bench.ask(Code.DELETE, place)).code == "2.02"
    assert (await bench.get(place)).code == "4.04"
    assert (await bench.ask(Code.DELETE, place)).code == "4.04"
    assert (await bench.get("/hooks")).value == {"items": []}


REFUSED: list[Any] = [
    pytest.param({}, "4.00", id="nothing"),
    pytest.param({"slot": 0}, "4.00", id="no-trigger"),
    pytest.param({"slot": 0, "trigger": "timer"}, "4.00", id="trigger"),
    pytest.param({"slot": 0, "trigger": "interval"}, "4.00", id="no-period"),
    pytest.param({"slot": 0, "trigger": "interval", "period_ms": 9}, "4.00", id="short-period"),
    pytest.param({"slot": 0, "trigger": "interval", "period_ms": 1 << 63}, "4.00", id="long-period"),
    pytest.param({"slot": 0, "trigger": "interval", "period_ms": 1.5}, "4.00", id="period-type"),
    pytest.param({"slot": 0, "trigger": "saul", "period_ms": 100}, "4.00", id="others-field"),
    pytest.param({"slot": 0, "trigger": "saul", "index": "a"}, "4.00", id="index-type"),
    pytest.param({"slot": 0, "trigger": "saul", "index": 8}, "4.04", id="no-device"),
    pytest.param({"slot": 0, "trigger": "path"}, "4.00", id="no-path"),
    pytest.param({"slot": 0, "trigger": "path", "path": ""}, "4.00", id="empty-path"),
    pytest.param({"slot": 0, "trigger": "path", "path": "a" * 33}, "4.00", id="long-path"),
    pytest.param({"slot": 0, "trigger": "path", "path": "a//b"}, "4.00", id="empty-segment"),
    pytest.param({"slot": 0, "trigger": "path", "path": 'a>;rt="x"'}, "4.00", id="link-format"),
    pytest.param({"slot": 0, "trigger": "path", "path": "ä"}, "4.00", id="not-ascii"),
    pytest.param({"slot": 0, "trigger": "packet", "policy": "drop"}, "4.00", id="policy"),
    pytest.param({"slot": 0, "trigger": "packet", "engine": "fast"}, "4.00", id="engine"),
    pytest.param({"slot": 0, "trigger": "packet", "colour": 1}, "4.00", id="unknown"),
    pytest.param({"slot": 3, "trigger": "packet"}, "4.09", id="empty-slot"),
    pytest.param({"slot": 9, "trigger": "packet"}, "4.04", id="no-slot"),
    pytest.param({"slot": -1, "trigger": "packet"}, "4.04", id="negative-slot"),
]


@pytest.mark.parametrize(("asked", "code"), REFUSED)
async def test_refused(bench: Bench, asked: Any, code: str) -> None:
    await bench.install(0, SEVEN)
    assert (await bench.ask(Code.POST, "/hooks", asked)).code == code
    assert (await bench.get("/hooks")).value == {"items": []}


@pytest.mark.parametrize("path", ["/hooks", "/jobs"])
@pytest.mark.parametrize("slot", [10**2000, -(10**2000), 10**5000], ids=["long", "negative", "longer"])
async def test_slots_that_cannot_be_printed(bench: Bench, path: str, slot: int) -> None:
    asked = {"slot": slot} if path == "/jobs" else {"slot": slot, "trigger": "packet"}
    reply = await bench.ask(Code.POST, path, asked)
    too_long = path == "/hooks" and slot == 10**5000
    assert reply.code == ("4.13" if too_long else "4.04")


async def test_there_is_an_end_to_hooks(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    for number in range(MAX_HOOKS):
        await made(bench, 0, "path", path=f"p{number}")
    reply = await hook(bench, 0, "packet")
    assert (reply.code, reply.problem.code, reply.message.opt.max_age) == ("5.03", "too-many-hooks", 1)
    await bench.ask(Code.DELETE, "/hooks/1")
    await made(bench, 0, "packet")


# The order, and the policies: hooks of slots 0, 1, 2 note the digits 1, 2, 3, and the middle one decides.

CHAINS = [
    pytest.param("continue", -1, 321, id="continue"),
    pytest.param("single", 0, 32, id="single"),
    pytest.param("abort-on-negative", -1, 32, id="negative"),
    pytest.param("abort-on-negative", 0, 321, id="not-negative"),
    pytest.param("abort-on-positive", 1, 32, id="positive"),
    pytest.param("abort-on-positive", 0, 321, id="not-positive"),
]


@pytest.mark.parametrize("trigger", ["saul", "interval"])
@pytest.mark.parametrize(("policy", "result", "noted"), CHAINS)
async def test_chain(bench: Bench, policy: str, result: int, noted: int, trigger: str) -> None:
    for slot, program in enumerate((noting(1, 0), noting(2, result), noting(3, 0))):
        await bench.install(slot, program)
    how = {"index": 1} if trigger == "saul" else {"period_ms": 1000}
    for slot in range(3):
        await made(bench, slot, trigger, **how, policy=policy if slot == 1 else "continue")
    if trigger == "saul":
        await bench.ask(Code.PUT, "/saul/1", {"values": [5]})
    await until(bench, "/hooks/2", lambda value: value["runs"] >= 1)
    await asyncio.sleep(0.05)
    assert (await entries(bench))["0"] == noted


@pytest.mark.parametrize("policy", ["continue", "single", "abort-on-negative", "abort-on-positive"])
async def test_a_fault_never_stops_the_chain(bench: Bench, policy: str) -> None:
    for slot, program in enumerate((noting(1, 0), WILD, noting(3, 0))):
        await bench.install(slot, program)
        await made(bench, slot, "saul", policy=policy if slot == 1 else "continue")
    await bench.ask(Code.PUT, "/saul/1", {"values": [5]})
    last = await until(bench, "/hooks/1", lambda value: value["runs"] == 1)
    assert last["last"] == {"r0": "0x0000000000000000", "r0_signed": 0}
    assert (await entries(bench))["0"] == 31
    value = HookInfo.from_map((await bench.get("/hooks/2")).value)
    assert (value.runs, value.faults) == (1, 1)
    assert value.last is not None
    assert value.last["fault"]["code"] == "ILLEGAL_MEM"
    assert [line for line in bench.lines if "hook 2: ILLEGAL_MEM" in line]


async def test_saul_hooks_know_what_changed(bench: Bench) -> None:
    await bench.install(
        0, storing("ldxw r2, [r6]", "ldxh r2, [r6+4]", "ldxb r2, [r6+10]", "ldxb r2, [r6+11]")
    )
    place = await made(bench, 0, "saul")
    await bench.ask(Code.PUT, "/saul/2", {"values": [777]})
    await until(bench, place, lambda value: value["runs"] == 1)
    assert await entries(bench) == {"0": 2, "1": 777, "2": 28, "3": 255}


async def test_saul_hooks_of_one_device(bench: Bench) -> None:
    await bench.install(0, noting(1, 0))
    place = await made(bench, 0, "saul", index=3)
    await bench.ask(Code.PUT, "/saul/2", {"values": [777]})
    await asyncio.sleep(0.3)
    assert (await bench.get(place)).value["runs"] == 0
    await bench.ask(Code.PUT, "/saul/3", {"fail": True})
    await until(bench, place, lambda value: value["runs"] == 1)


async def test_saul_hooks_hear_of_programs_and_time(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    await bench.install(1, example("led"))
    led = await made(bench, 0, "saul", index=0)
    warmth = await made(bench, 0, "saul", index=1)
    await bench.execute(1)
    await until(bench, led, lambda value: value["runs"] >= 1)
    sine = {"kind": "sine", "mean": 0, "amplitude": 1000, "period_s": 1}
    await bench.ask(Code.PUT, "/saul/1", {"signal": sine})
    await until(bench, warmth, lambda value: value["runs"] >= 3)


async def test_intervals(bench: Bench) -> None:
    await bench.install(0, noting(1, 0))
    place = await made(bench, 0, "interval", period_ms=10)
    value = await until(bench, place, lambda value: value["runs"] + value["missed"] >= 10)
    assert value["faults"] == 0
    await bench.ask(Code.DELETE, place)
    await asyncio.sleep(0.05)
    before = (await bench.get("/slots/0")).value["runs"]
    await asyncio.sleep(0.1)
    assert (await bench.get("/slots/0")).value["runs"] == before


async def test_ticks_that_find_a_run_under_way_are_missed(bench: Bench) -> None:
    await bench.install(0, SPIN)
    place = await made(bench, 0, "interval", period_ms=10, engine="switch")
    value = await until(bench, place, lambda value: value["faults"] >= 2)
    assert value["runs"] == value["faults"]
    assert value["missed"] > value["runs"]
    assert (await bench.get("/device")).code == "2.05"


async def test_packet_hooks_see_every_request(bench: Bench) -> None:
    await bench.install(0, storing("ldxdw r3, [r6+8]\nldxb r2, [r3+1]"))
    place = await made(bench, 0, "packet")
    await bench.ask(Code.PUT, "/saul/1", {"values": [1]})
    await eventually(lambda: bench.node.executor.slot_info(0).runs >= 1)
    await asyncio.sleep(0.05)
    stored = await entries(bench)
    assert stored["0"] in (int(Code.PUT), int(Code.GET))
    before = (await bench.get(place)).value
    await asyncio.gather(*(bench.get("/device") for _ in range(100)))
    after = await until(bench, place, lambda value: value["runs"] + value["missed"] >= 100)
    assert after["runs"] > before["runs"]
    assert after["faults"] == 0


async def test_paths(bench: Bench) -> None:
    await bench.install(0, example("gcoap_response_format"))
    place = await made(bench, 0, "path", path="temperature")
    assert (await bench.get(place)).value["path"] == "/app/temperature"
    for method in (Code.GET, Code.POST):
        reply = await bench.ask(method, "/app/temperature", payload=b"x")
        assert (reply.code, reply.message.payload) == ("2.05", b'{"temperature": -12.3}\0')
    links = (await bench.get("/.well-known/core", accept=None)).message.payload.decode()
    assert '</app/temperature>;rt="micro-bpf.app"' in links
    assert "/hooks/" not in links
    for taken in ("temperature", "/app/temperature"):
        reply = await hook(bench, 0, "path", path=taken)
        assert (reply.code, reply.problem.code) == ("4.09", "path-taken")
    value = (await bench.get(place)).value
    assert (value["runs"], value["faults"], value["missed"]) == (2, 0, 0)
    assert value["last"]["r0_signed"] > 23
    assert (await bench.ask(Code.DELETE, place)).code == "2.02"
    assert (await bench.get("/app/temperature")).code == "4.04"
    assert "/app/" not in (await bench.get("/.well-known/core")).message.payload.decode()


async def test_faults_on_a_path(bench: Bench) -> None:
    await bench.install(0, WILD)
    place = await made(bench, 0, "path", path="/app/sensors/wild")
    reply = await bench.get("/app/sensors/wild")
    assert (reply.code, reply.problem.code) == ("5.00", "ILLEGAL_MEM")
    value = (await bench.get(place)).value
    assert (value["runs"], value["faults"]) == (1, 1)


async def test_hooks_outlive_an_update_and_go_with_the_slot(bench: Bench) -> None:
    await bench.install(0, example("gcoap_response_format"))
    await bench.install(1, SEVEN)
    await made(bench, 0, "path", path="x")
    await made(bench, 0, "interval", period_ms=20)
    await made(bench, 1, "path", path="y")
    await bench.install(0, example("gcoap_hello"))
    assert (await bench.get("/app/x")).value == "hello"
    assert (await bench.ask(Code.DELETE, "/slots/0")).code == "2.02"
    assert [item["id"] for item in (await bench.get("/hooks")).value["items"]] == [3]
    assert (await bench.get("/app/x")).code == "4.04"


async def test_observers(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    async with observing(bench, "/hooks") as all_of_them:
        place = await made(bench, 0, "saul", index=1)
        await all_of_them.until(lambda value: len(value["items"]) == 1)
        async with observing(bench, place) as one:
            await bench.ask(Code.PUT, "/saul/1", {"values": [3]})
            await one.until(lambda value: value["runs"] == 1 and value["last"]["r0_signed"] == 7)
            await bench.ask(Code.DELETE, place)
        await all_of_them.until(lambda value: value["items"] == [])


async def test_a_device_stops_with_its_hooks() -> None:
    async with device(slots=1) as bench:
        await bench.install(0, SPIN)
        await made(bench, 0, "interval", period_ms=10)
        await made(bench, 0, "packet")
        await asyncio.sleep(0.05)
