"""The board over CoAP: what can be seen, set and observed (api.md, helpers.md section 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiocoap import Code

from device.api import JSON, BoardInfo, SaulInfo, decode_body
from tests.device_bench import Bench, device, eventually, example
from tests.integration.test_device_observe import observing


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device(slots=2) as bench:
        yield bench


async def test_registry(bench: Bench) -> None:
    items = (await bench.get("/saul")).value["items"]
    assert [item["class"] for item in items] == [0x44, 0x82, 0x83, 0x82, 0x83, 0x85, 0x84, 0x81]
    assert items[1] == {
        "index": 1,
        "name": "DHT indoor temperature",
        "class": 0x82,
        "writable": False,
        "values": [234],
        "unit": 2,
        "scale": -1,
    }
    assert (await bench.get("/saul/1")).value == items[1]
    shown = decode_body((await bench.get("/saul/1", accept=JSON)).message.payload, JSON)
    assert SaulInfo.from_map(shown).kind == 0x82


CHANGES = [
    pytest.param(1, {"values": [-5]}, {"values": [-5]}, id="value"),
    pytest.param(0, {"values": [1]}, {"values": [1]}, id="actuator"),
    pytest.param(2, {"signal": {"kind": "constant", "value": 7}}, {"values": [7]}, id="signal"),
    pytest.param(
        3,
        {"fail": True},
        {"values": None, "unit": None, "problem": "DHT outdoor temperature does not answer"},
        id="fail",
    ),
    pytest.param(0, {"fail": True}, {"values": None}, id="actuator-fails"),
]


@pytest.mark.parametrize(("index", "change", "seen"), CHANGES)
async def test_setting_a_device(bench: Bench, index: int, change: Any, seen: dict[str, Any]) -> None:
    assert (await bench.ask(Code.PUT, f"/saul/{index}", change)).code == "2.04"
    value = (await bench.get(f"/saul/{index}")).value
    assert {key: value[key] for key in seen} == seen


@pytest.mark.parametrize("index", [0, 3])
@pytest.mark.parametrize("end", [{"fail": False}, {"signal": None}], ids=["no-failure", "no-signal"])
async def test_failure_ends(bench: Bench, index: int, end: Any) -> None:
    before = (await bench.get(f"/saul/{index}")).value
    await bench.ask(Code.PUT, f"/saul/{index}", {"fail": True})
    assert (await bench.ask(Code.PUT, f"/saul/{index}", end)).code == "2.04"
    assert (await bench.get(f"/saul/{index}")).value == before


REFUSED = [
    pytest.param("/saul/1", {}, "4.00", id="nothing"),
    pytest.param("/saul/1", {"values": [1], "fail": True}, "4.00", id="two"),
    pytest.param("/saul/1", {"values": []}, "4.00", id="no-value"),
    pytest.param("/saul/1", {"values": [1, 2, 3, 4]}, "4.00", id="four-values"),
    pytest.param("/saul/1", {"values": [32768]}, "4.00", id="beyond-16-bits"),
    pytest.param("/saul/1", {"values": None}, "4.00", id="null"),
    pytest.param("/saul/1", {"signal": {"kind": "wave"}}, "4.00", id="signal"),
    pytest.param("/saul/1", {"fail": 1}, "4.00", id="fail-type"),
    pytest.param("/saul/1", {"colour": 1}, "4.00", id="unknown"),
    pytest.param("/saul/1", [1], "4.00", id="list"),
    pytest.param("/saul/0", {"signal": {"kind": "constant", "value": 7}}, "4.09", id="signal-of-led"),
    pytest.param("/saul/8", {"values": [1]}, "4.04", id="no-device"),
    pytest.param("/saul/x", {"values": [1]}, "4.04", id="no-number"),
    pytest.param("/saul", {"values": [1]}, "4.05", id="registry"),
    pytest.param("/board", {"pins": {"Q1": 1}}, "4.00", id="no-port"),
    pytest.param("/board", {"pins": {"A16": 1}}, "4.00", id="no-pin"),
    pytest.param("/board", {"pins": [1]}, "4.00", id="pins-type"),
    pytest.param("/board", {"pins": {1: 1}}, "4.00", id="pin-number"),
    pytest.param("/board", {"pins": {"A1": True}}, "4.00", id="level-type"),
    pytest.param("/board", {"adc": {"9": 1}}, "4.00", id="no-line"),
    pytest.param("/board", {"adc": {"2": -1}}, "4.00", id="negative"),
    pytest.param("/board", {"test_packet": b"x" * 1025}, "4.13", id="packet"),
    pytest.param("/board", {"leds": {}}, "4.00", id="unknown-part"),
    pytest.param("/board", {"pins": {10**5000: 1}}, "4.00", id="unprintable-pin"),
    pytest.param("/board", {"adc": {10**5000: 1}}, "4.00", id="unprintable-line"),
    pytest.param("/saul/1", {"values": [10**5000]}, "4.00", id="unprintable-value"),
    pytest.param("/saul/1", {"signal": {"kind": "fail", 10**5000: 1}}, "4.00", id="unprintable-parameter"),
]


@pytest.mark.parametrize(("path", "change", "code"), REFUSED)
async def test_refused(bench: Bench, path: str, change: Any, code: str) -> None:
    before = (await bench.get("/board")).value
    assert (await bench.ask(Code.PUT, path, change)).code == code
    assert (await bench.get("/board")).value == before


async def test_a_refused_change_does_nothing_of_it(bench: Bench) -> None:
    change = {"pins": {"C13": 1}, "adc": {"2": 100, "9": 1}, "test_packet": b"new"}
    before = (await bench.get("/board")).value
    assert (await bench.ask(Code.PUT, "/board", change)).code == "4.00"
    assert (await bench.get("/board")).value == before


async def test_board(bench: Bench) -> None:
    change = {"pins": {"C13": 1, "0/3": 1}, "adc": {"2": 100}, "test_packet": b"new"}
    assert (await bench.ask(Code.PUT, "/board", change)).code == "2.04"
    seen = BoardInfo.from_map((await bench.get("/board")).value)
    assert (seen.adc["2"], seen.test_packet) == (100, b"new")
    assert [(pin.name, pin.mode, pin.level) for pin in seen.pins] == [("A3", "in", 1), ("C13", "in", 1)]
    assert seen.saul[7].values == (1,)
    assert seen.lcd is not None
    assert seen.lcd.rows == (" " * 16, " " * 16)
    await bench.install(0, example("show"))
    assert (await bench.execute()).code == "2.04"
    seen = BoardInfo.from_map((await bench.get("/board")).value)
    assert seen.lcd is not None
    assert seen.lcd.ready
    assert seen.lcd.rows != (" " * 16, " " * 16)


async def test_a_board_without_display() -> None:
    async with device(board="nucleo-f439zi") as bench:
        assert (await bench.get("/board")).value["lcd"] is None
        assert len((await bench.get("/saul")).value["items"]) == 6
        assert (await bench.get("/saul/6")).code == "4.04"


@pytest.mark.parametrize(
    ("path", "change", "reading"),
    [
        ("/saul/1", ("/saul/1", {"values": [99]}), lambda value: value["values"]),
        ("/saul", ("/saul/1", {"values": [99]}), lambda value: value["items"][1]["values"]),
        ("/board", ("/saul/1", {"values": [99]}), lambda value: value["saul"][1]["values"]),
        ("/saul/5", ("/board", {"adc": {"0": 900}}), lambda value: [99] if value["values"] == [90] else []),
    ],
    ids=["device", "registry", "board", "line"],
)
async def test_observers_hear_of_changes(bench: Bench, path: str, change: Any, reading: Any) -> None:
    async with observing(bench, path) as observer:
        await bench.ask(Code.PUT, change[0], change[1])
        await observer.until(lambda value: reading(value) == [99])


async def test_observers_hear_of_what_time_changes(bench: Bench) -> None:
    sine = {"kind": "sine", "mean": 0, "amplitude": 1000, "period_s": 1}
    async with observing(bench, "/saul/1") as observer:
        await bench.ask(Code.PUT, "/saul/1", {"signal": sine})
        await eventually(lambda: len({value["values"][0] for value in observer.seen}) >= 4)
