"""A device stays in the directory: late servers, restarts, taken names, silence, and a clean end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiocoap import Code, Message

from device.errors import ConfigError
from device.server.registration import Entry, Registration
from device.transport import CoapContext, client_context, free_port
from fileserver.server import Config, FileServer
from tests.peers import ask, file_server, scripted


class Sleeper:
    """Sleeps a hundredth of what it is asked, and remembers."""

    def __init__(self, factor: float = 0.01) -> None:
        self.asked: list[float] = []
        self._factor = factor

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(seconds * self._factor)


class Setting:
    """A registration with its log and its pauses."""

    def __init__(self, context: CoapContext, server: str, factor: float = 0.01, **changes: Any) -> None:
        self.log: list[tuple[str, str]] = []
        self.sleeper = Sleeper(factor)
        fields: dict[str, Any] = {"name": "dev", "board": "native", "slots": 5, "port": 5710}
        self.registration = Registration(
            context,
            Entry(server=server, **{**fields, **changes}),
            links=lambda: "</device>",
            log=lambda level, text: self.log.append((level, text)),
            sleep=self.sleeper,
            chance=lambda: 0.5,
        )


@asynccontextmanager
async def registered(server: str, **changes: Any) -> AsyncIterator[Setting]:
    context = await client_context()
    made = Setting(context, server, **changes)
    made.registration.start()
    try:
        yield made
    finally:
        await made.registration.stop()
        await context.shutdown()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{what} did not happen within five seconds")


async def endpoints(context: CoapContext, url: str) -> str:
    answer = await ask(context, f"{url}/endpoint-lookup/")
    return bytes(answer.payload).decode()


async def test_a_device_is_registered_with_all_that_is_to_know_and_withdraws(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _):
        async with registered(url) as s:
            await until(lambda: s.registration.registered, "registration")
            found = await endpoints(context, url)
            for part in (
                'ep="dev"', 'base="coap://127.0.0.1:5710"', 'et="micro-bpf"', 'board="native"', 'slots="5"',
                f'srv="{url}"',
            ):  # fmt: skip
                assert part in found
            assert s.log == [("info", f"registered as dev at {url}")]
        assert s.log[-1] == ("info", f"withdrew from {url}")
        assert not s.registration.registered
        assert await endpoints(context, url) == ""


async def test_an_advertised_url_is_registered_as_it_is(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _), registered(url, base="coap://dev.example:7") as s:
        await until(lambda: s.registration.registered, "registration")
        assert 'base="coap://dev.example:7"' in await endpoints(context, url)


async def test_it_is_renewed_well_before_its_lifetime_ends(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (_, url, log), registered(url) as s:
        await until(lambda: len(s.sleeper.asked) >= 3, "three renewals")
        assert all(20 <= seconds <= 30 for seconds in s.sleeper.asked)
        assert len([line for line in log if "registered" in line]) == 1


async def test_a_server_that_comes_late_gets_its_device(tmp_path: Path) -> None:
    port = free_port()
    async with registered(f"coap://127.0.0.1:{port}", factor=0.001) as s:
        await until(lambda: len(s.sleeper.asked) >= 8, "eight tries")
        assert s.sleeper.asked[:7] == [1, 2, 4, 8, 16, 30, 30]
        assert [level for level, _ in s.log] == ["warning"], "the same reason is told once"
        assert "trying again in 1 s" in s.log[0][1]
        server = FileServer(Config(tmp_path, "127.0.0.1", port), lambda _: None)
        await server.start()
        await until(lambda: s.registration.registered, "registration")
        assert len(server.directory) == 1
        await server.stop()


async def test_a_server_that_restarts_gets_its_device_back(tmp_path: Path) -> None:
    port = free_port()
    first = FileServer(Config(tmp_path, "127.0.0.1", port), lambda _: None)
    await first.start()
    async with registered(f"coap://127.0.0.1:{port}", factor=0.002) as s:
        await until(lambda: s.registration.registered, "registration")
        await first.stop()
        await until(lambda: not s.registration.registered, "noticing")
        second = FileServer(Config(tmp_path, "127.0.0.1", port), lambda _: None)
        await second.start()
        await until(lambda: len(second.directory) == 1, "registration with the second")
        await s.registration.stop()
        assert len(second.directory) == 0
        await second.stop()


async def test_a_directory_that_forgot_is_told_again_at_once(tmp_path: Path) -> None:
    async with file_server(tmp_path) as (context, url, _), registered(url) as s:
        await until(lambda: s.registration.registered, "registration")
        location = (await endpoints(context, url)).split(">")[0].strip("</")
        assert (await ask(context, f"{url}/{location}", Code.DELETE)).code == Code.DELETED
        await until(lambda: len(s.log) >= 3, "registering anew")
        assert [text for _, text in s.log[1:]] == [
            f"{url} has forgotten this device",
            f"registered as dev at {url}",
        ]


async def test_a_name_that_is_taken_is_said_and_tried_again(tmp_path: Path) -> None:
    async with file_server(tmp_path, bind="::") as (context, url, _):
        other = url.replace("127.0.0.1", "[::1]")
        await ask(context, f"{other}/resourcedirectory/?ep=dev&lt=1", Code.POST)
        async with registered(url) as s:
            await until(lambda: bool(s.log), "refusal")
            assert "registered from another address" in s.log[0][1]
            await until(lambda: s.registration.registered, "registration once the lifetime is over")


def answering(*answers: Message | None) -> Callable[[Message, int], Iterable[Message]]:
    def answer(_: Message, number: int) -> Iterable[Message]:
        chosen = answers[min(number, len(answers) - 1)]
        return [] if chosen is None else [chosen.copy()]

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Message(code=Code.CREATED), "named no location"),
        (Message(code=Code.SERVICE_UNAVAILABLE, max_age=9), "Service Unavailable"),
        (Message(code=Code.INTERNAL_SERVER_ERROR, payload=b"\xff\x00"), "\ufffd"),
        (Message(code=Code.NOT_FOUND), "Not Found"),
    ],
    ids=["no location", "busy", "damaged error", "no directory"],
)
async def test_a_strange_directory_is_said_and_tried_again(answer: Message, said: str) -> None:
    async with scripted(answering(answer)) as (_, url, peer), registered(url) as s:
        await until(lambda: len(peer.requests) >= 3, "three tries")
        assert not s.registration.registered
        assert said in s.log[0][1]
        assert len(s.log) == 1


async def test_a_silent_server_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.server.registration.WITHDRAW_S", 0.2)
    created = Message(code=Code.CREATED, location_path=("rd", "1"))
    async with scripted(answering(created, None)) as (_, url, _):
        async with registered(url, factor=1.0) as s:
            await until(lambda: s.registration.registered, "registration")
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 1
        assert s.log[-1][0] == "warning"
        assert "could not withdraw" in s.log[-1][1]


async def test_it_can_be_stopped_while_it_tries() -> None:
    async with scripted(answering(None)) as (_, url, peer), registered(url) as s:
        await until(lambda: len(peer.requests) == 1, "a try")
        await s.registration.stop()
        assert s.log == []


@pytest.mark.parametrize("server", ["", "http://x", "coap://", "fileserver"])
async def test_a_server_that_is_no_url_is_refused_at_the_start(server: str) -> None:
    context = await client_context()
    try:
        with pytest.raises(ConfigError):
            Setting(context, server)
    finally:
        await context.shutdown()


def test_a_fleet_does_not_renew_in_step() -> None:
    chance = random.Random(1).random
    registration = Registration.__new__(Registration)
    registration._chance = chance
    spread = {round(registration._spread(10), 2) for _ in range(50)}
    assert len(spread) > 40
    assert 9 <= min(spread) <= max(spread) <= 11
