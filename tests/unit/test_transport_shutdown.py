"""A server that stops while it owes somebody an answer."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiocoap import Message

from device.resource import BoundedResource, BoundedSite, Limits, Transfers
from device.transport import server_context


class Slow(BoundedResource):
    """Answers when nobody waits any more."""

    async def render_get(self, request: Message) -> Message:
        await asyncio.sleep(60)
        return Message()


@pytest.mark.parametrize("fallback", [False, True], ids=["udp6", "simple6"])
async def test_nothing_is_acknowledged_through_a_closed_socket(fallback: bool) -> None:
    """aiocoap acknowledges a slow request after 0.1 s, also when its socket is gone by then."""
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    site = BoundedSite(Transfers(Limits()))
    site.add_resource(["slow"], Slow(site.transfers))
    server = await server_context(site, "127.0.0.1", 0, fallback=fallback)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"\x40\x01ab\xb4slow", ("127.0.0.1", server.port))
        await asyncio.sleep(0.03)
        await server.shutdown()
        await asyncio.sleep(0.2)
    assert problems == []
