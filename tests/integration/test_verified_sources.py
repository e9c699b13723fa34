"""Servers that ask unknown addresses for an Echo (RFC 9175): nobody is flooded, and everything works."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiocoap import Code, Message

from client.exchange import GET, Call, CoapExchange
from device.transport import CoapContext, client_context, download, parse_url
from tests.device_bench import device
from tests.integration.client_testbed import OBJECTS, LiveFleet
from tests.peers import ask, file_server


async def plain(
    context: CoapContext, url: str, code: Code, payload: bytes = b"", **options: Any
) -> tuple[Message, Message]:
    """One request of a sender that knows nothing of Echo, and its answer."""
    message = parse_url(url).message(code, payload, **options)
    running = context.request(message, handle_blockwise=False)
    return message, await asyncio.wait_for(running.response, 5)


def names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()]


@pytest.mark.parametrize(
    ("code", "path", "payload", "options"),
    [
        (Code.GET, "/long.bin", b"", {}),
        (Code.GET, "/long.bin", b"", {"block2": (3, False, 6)}),
        (Code.GET, "/", b"", {}),
        (Code.GET, "/.well-known/core", b"", {}),
        (Code.GET, "/nothing", b"", {}),
        (Code.PUT, "/new.bin", b"x", {}),
        (Code.DELETE, "/long.bin", b"", {}),
        (Code.POST, "/resourcedirectory", b"", {"uri_query": ["ep=forged"]}),
        (Code.GET, "/endpoint-lookup/", b"", {"observe": 0}),
    ],
    ids=["file", "block", "folder", "core", "error", "put", "delete", "register", "observe"],
)
async def test_a_file_server_answers_an_unknown_address_briefly_and_changes_nothing(
    tmp_path: Path, code: Code, path: str, payload: bytes, options: dict[str, Any]
) -> None:
    (tmp_path / "long.bin").write_bytes(b"x" * 4096)
    async with file_server(tmp_path, verify_sources=True) as (context, url, log):
        if path == "/endpoint-lookup/":
            for number in range(4):
                await ask(context, f"{url}/resourcedirectory", Code.POST, uri_query=[f"ep=d{number}"])
            other = await client_context()
            asking, answer = await plain(other, url + path, code, payload, **options)
            await other.shutdown()
        else:
            asking, answer = await plain(context, url + path, code, payload, **options)
            assert log == []
        assert (answer.code, len(answer.opt.echo)) == (Code.UNAUTHORIZED, 12)
        assert len(answer.payload) <= 3 * len(asking.encode())
        assert names(tmp_path) == ["long.bin"]


async def test_who_sends_the_echo_back_gets_everything(tmp_path: Path) -> None:
    (tmp_path / "long.bin").write_bytes(b"x" * 4096)
    async with file_server(tmp_path, verify_sources=True) as (context, url, _):
        assert await download(context, f"{url}/long.bin", limit=4096) == b"x" * 4096
        assert (await ask(context, f"{url}/new.bin", Code.PUT, b"y" * 3000)).code == Code.CREATED
        assert (tmp_path / "new.bin").read_bytes() == b"y" * 3000


async def test_without_the_option_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "long.bin").write_bytes(b"x" * 4096)
    async with file_server(tmp_path) as (context, url, _):
        _, answer = await plain(context, f"{url}/long.bin", Code.GET)
        assert answer.code == Code.CONTENT


def test_a_fleet_that_asks_for_echoes_is_deployed_to_and_run(tmp_path: Path) -> None:
    with LiveFleet(tmp_path, verify_sources=True) as fleet:
        fleet.add("one", "two")
        assert len(fleet.results("deploy", OBJECTS / "hello.o", "-d", "all")) == 2
        answers = fleet.results("exec", "--slot", "0", "-d", "all")
        assert [answer["result"]["r0_signed"] for answer in answers] == [0, 0]
        assert {entry["result"]["name"] for entry in fleet.results("devices")} == {"one", "two"}
        assert "Hello" in fleet.client("logs", "-d", "one").stdout


async def test_an_observation_begins_with_an_echo_where_it_must() -> None:
    async with device(verify_sources=True) as bench:
        for number in range(40):
            bench.node.log.add("info", "test", f"line {number}")
        exchange = await CoapExchange.open()
        try:
            async with aclosing(exchange.observe(Call(GET, f"{bench.url}/log"), 5)) as replies:
                first = await anext(replies)
                assert first.status == "2.05"
                bench.node.log.add("info", "test", "one more")
                later = await asyncio.wait_for(anext(replies), 5)
                assert b"one more" in later.payload
        finally:
            await exchange.close()
