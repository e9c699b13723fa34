"""The bad link of `client net`: towards a peer that cannot be reached, or is on one link only."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from client.net import Link, Weather, link
from device.transport import parse_url


async def test_what_cannot_be_sent_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    async with link("255.255.255.255:5683", Weather(), "1") as made:  # broadcast, which no socket of ours may
        url = parse_url(made.url).authority
        near, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(url.host, url.port)
        )
        near.sendto(b"x")
        async with asyncio.timeout(10):
            while not made.count.lost:  # noqa: ASYNC110  # a count tells nobody when it grows
                await asyncio.sleep(0.01)
        near.close()
    assert (made.count.lost, made.count.passed) == (1, 0)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (("127.0.0.1", 5683), ("127.0.0.1", 5683)),
        (("::1", 5683, 0, 0), ("::1", 5683)),
        (("fe80::1", 5683, 0, 3), ("fe80::1%3", 5683)),
    ],
    ids=["IPv4", "IPv6", "link-local"],
)
async def test_an_address_keeps_its_interface(
    address: tuple[Any, ...], target: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def endpoint(_factory: object, *, remote_addr: object) -> tuple[None, None]:
        asked.append(remote_addr)
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", endpoint)
    made = Link(address, Weather(), random.Random("1"))
    made.datagram_received(b"x", ("127.0.0.1", 9))
    await asyncio.sleep(0)
    assert asked == [target]
