"""Whole deploys over links that lose, duplicate and reorder: they end right, or in a named error, in time.

Everything goes over such links: the client's way to file server and device, and the device's way to the file
server. Whatever happens, the slot holds an image that was signed for it, and the client says so only then.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import pytest

from client.connection import Connection
from client.deploy import deploy
from client.directory import Target
from client.image import prepare
from client.keys import load_signer
from client.net import Link, Weather, link
from client.release import Order, Publisher
from device.node import NodeLimits
from device.suit.refusals import Refusal
from tests.device_bench import OBJECTS, device, eventually
from tests.integration.update_site import keys
from tests.peers import file_server

DEADLINE_S = 45.0
SLACK_S = 15.0
"""What is on its way when the deadline passes may take a request's own time to end."""

PROGRAMS = ("counter", "hello")
NAMED = {*Refusal.__members__, "timeout", "overtaken", "missed"}

LOSING = Weather(loss=0.2)
CONFUSING = Weather(duplication=0.3, delay_s=0.15)
BOTH = Weather(loss=0.1, duplication=0.3, delay_s=0.1)
LINKS = {"loses a fifth": LOSING, "duplicates and reorders": CONFUSING, "all of it": BOTH}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("weather", LINKS.values(), ids=LINKS)
async def test_a_deploy_ends_right_or_by_name(tmp_path: Path, weather: Weather) -> None:
    await check(tmp_path, weather, 0)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, 20))
@pytest.mark.parametrize("weather", LINKS.values(), ids=LINKS)
async def test_many_deploys_end_right_or_by_name(tmp_path: Path, weather: Weather, seed: int) -> None:
    await check(tmp_path, weather, seed)


async def check(tmp_path: Path, weather: Weather, seed: int) -> None:
    """Deploy each program, one after the other."""
    key = keys(tmp_path)
    (tmp_path / "root").mkdir()
    programs = {name: prepare(OBJECTS / f"{name}.o") for name in PROGRAMS}
    links: list[Link] = []
    async with AsyncExitStack() as stack:

        async def behind(peer: str) -> str:
            made = await stack.enter_async_context(link(peer, weather, f"{seed}/{len(links)}"))
            links.append(made)
            return made.url

        _, files, _log = await stack.enter_async_context(file_server(tmp_path / "root"))
        fetched_from = await behind(files)
        bench = await stack.enter_async_context(
            device(
                server=fetched_from,
                keys=tmp_path / "trusted",
                state=tmp_path / "state",
                limits=NodeLimits(update_deadline=30),
            )
        )
        target = Target("bench", await behind(bench.url), "native", 5, fetched_from)
        connection = await stack.enter_async_context(Connection())
        publisher = Publisher(connection, await behind(files), load_signer(key))
        outcomes = []
        for name in PROGRAMS:
            start = monotonic()
            (outcome,) = await deploy(publisher, Order(programs[name]), [target], deadline_s=DEADLINE_S)
            assert monotonic() - start < DEADLINE_S + SLACK_S
            outcomes.append(outcome)
            stored = bench.node.slots.get(0)
            assert stored is None or stored.image in {packaged.image for packaged in programs.values()}
            if outcome.ok:
                release = outcome.value.release
                assert stored is not None
                assert (stored.image, stored.sequence_number) == (release.image, release.sequence_number)
            else:
                assert outcome.error is not None
                assert outcome.error.code in NAMED
        assert any(outcome.ok for outcome in outcomes)
        await eventually(lambda: bench.node._updates.status().state == "idle", 35)
    counts = [made.count for made in links]
    assert all(count.lost > 0 for count in counts) == (weather.loss > 0)
    assert all(count.duplicated > 0 for count in counts) == (weather.duplication > 0)
