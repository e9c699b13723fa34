"""The five compartments on a device that is asked over CoAP, for minutes of the device's time.

The display has its bug, which strikes in the middle: the other four and CoAP do not notice.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiocoap import Code

from device.peripherals import Sine
from device.storage.stores import MemoryStore
from tests.device_bench import Bench, device, example
from tests.integration.processes import client
from tests.unit.test_weather_station import DOWN, RIGHT, SECOND, Station, StationClock

SLOTS = ("climate", "light_sound", "display_bug", "climate_reply", "light_sound_reply")
PATHS = {3: "/app/climate", 4: "/app/light-sound"}


async def installed(bench: Bench, clock: StationClock) -> Station:
    """The programs in their slots, three jobs, two paths."""
    for slot, name in enumerate(SLOTS):
        await bench.install(slot, example(name), name)
    for slot in (0, 1, 2):
        assert (await bench.ask(Code.POST, "/jobs", {"slot": slot})).code == "2.01"
    for slot, path in PATHS.items():
        hook = {"slot": slot, "trigger": "path", "path": path}
        assert (await bench.ask(Code.POST, "/hooks", hook)).code == "2.01"
    node = bench.node
    return Station(node.executor, clock, node.board, MemoryStore(), node.slots)


async def shown(bench: Bench) -> list[str]:
    """What GET /board says of the display."""
    return [row.rstrip() for row in (await bench.get("/board")).value["lcd"]["rows"]]


async def states(bench: Bench) -> dict[int, str]:
    """The states of the jobs, by slot."""
    return {job["slot"]: job["state"] for job in (await bench.get("/jobs")).value["items"]}


async def replies(bench: Bench) -> tuple[Any, Any]:
    """What the two handlers answer."""
    texts = [await bench.get(path) for path in PATHS.values()]
    assert {reply.code for reply in texts} == {"2.05"}
    climate, light = (json.loads(reply.message.payload) for reply in texts)
    return climate, light


async def minutes(count: int) -> None:
    clock = StationClock()
    async with device(clock=clock, workers=6) as bench:
        station = await installed(bench, clock)
        station.board.connect_saul(1, Sine(200, 50, 60))
        await station.pass_by(9 * SECOND)
        assert (await shown(bench))[0] == "Temperature"
        temperatures, faulted = set(), False
        rounds = 6 * count
        for number in range(rounds):
            await station.pass_by(9 * SECOND)
            climate, light = await replies(bench)
            temperatures.add(climate["indoor"]["temperature"])
            assert 15 <= climate["indoor"]["temperature"] <= 25
            assert light == {"light": 53, "sound": 49}
            assert (await bench.get("/device")).value["uptime_ms"] == clock.now_us() // 1000
            alive = await states(bench)
            assert (alive[0], alive[1], alive[2]) == (
                "sleeping",
                "sleeping",
                "faulted" if faulted else "sleeping",
            )
            if number == rounds // 2:
                await station.press(DOWN)
                assert await shown(bench) == ["Humidity", "45.6 %"]
                await station.press(RIGHT)
                faulted = True
        assert len(temperatures) > 3
        (slot,) = [item for item in (await bench.get("/slots")).value["items"] if item["slot"] == 2]
        assert (slot["faults"], slot["last_fault"]["code"]) == (1, "ILLEGAL_MEM")
        assert not [line for line in bench.lines if line.startswith("error")]
        # The display still says what it said when the bug struck, to a person at a terminal as well.
        board = await client("board", "--once", "-d", bench.url.removeprefix("coap://"))
        assert "│Humidity        │" in board.out
        assert "DHT indoor temperature" in board.out


@pytest.mark.timeout(300)
async def test_a_minute_with_the_bug() -> None:
    await minutes(1)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_ten_minutes_with_the_bug() -> None:
    await minutes(10)
