"""Peers for tests over real sockets on loopback: servers of ours, and ones that do not keep to the rules."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiocoap import Code, Message
from aiocoap.numbers.types import Type

from device.resource import BoundedSite
from device.transport import CoapContext, client_context, parse_url, request, server_context
from fileserver.access import parse_networks
from fileserver.server import Config, FileServer

Answerer = Callable[[Message, int], Iterable[Message | bytes]]
"""Given a request and how many came before it: what to send back, as messages or raw datagrams."""


@asynccontextmanager
async def served(site: BoundedSite, **options: Any) -> AsyncIterator[tuple[CoapContext, str]]:
    """A client's context and the URL of a server for `site`."""
    server = await server_context(site, "127.0.0.1", 0, **options)
    client = await client_context(fallback=options.get("fallback"))
    try:
        yield client, f"coap://127.0.0.1:{server.port}"
    finally:
        await client.shutdown()
        await server.shutdown()


@asynccontextmanager
async def file_server(root: Path, **options: Any) -> AsyncIterator[tuple[CoapContext, str, list[str]]]:
    """A client's context, the URL of a file server on `root`, and what that logs."""
    log: list[str] = []
    options.setdefault("writers", parse_networks(["127.0.0.0/8", "::1"]))
    server = FileServer(Config(root, options.pop("bind", "127.0.0.1"), 0, **options), log.append)
    await server.start()
    client = await client_context()
    try:
        yield client, f"coap://127.0.0.1:{server.port}", log
    finally:
        await client.shutdown()
        await server.stop()


async def ask(
    context: CoapContext, url: str, code: Code = Code.GET, payload: bytes = b"", **options: Any
) -> Message:
    """One request with any options, block-wise where it must be."""
    return await request(context, parse_url(url).message(code, payload, **options), timeout_s=10)


async def ask_path(
    context: CoapContext,
    url: str,
    segments: Iterable[str],
    code: Code = Code.GET,
    payload: bytes = b"",
    **options: Any,
) -> Message:
    """The same with the Uri-Path options given one by one, as no URL could say them."""
    message = parse_url(url).message(code, payload, **options)
    message.opt.uri_path = tuple(segments)
    return await request(context, message, timeout_s=10)


class ScriptedPeer(asyncio.DatagramProtocol):
    """A CoAP server that does what a test tells it, right or wrong."""

    def __init__(self, answer: Answerer) -> None:
        self.requests: list[Message] = []
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: Any) -> None:
        """Answer a request with what the script says; a repeated message is given no second answer."""
        message = Message.decode(data, remote=None)
        if not message.code.is_request() or any(old.mid == message.mid for old in self.requests):
            return
        number = len(self.requests)
        self.requests.append(message)
        for answer in self._answer(message, number):
            if isinstance(answer, Message):
                answer.mtype = Type.ACK if answer.mtype is None else answer.mtype
                answer.mid = message.mid if answer.mid is None else answer.mid
                if answer.code != Code.EMPTY:
                    answer.token = answer.token or message.token
                answer = answer.encode()  # noqa: PLW2901  # on the wire it is bytes
            self.transport.sendto(answer, source)


@asynccontextmanager
async def scripted(answer: Answerer) -> AsyncIterator[tuple[CoapContext, str, ScriptedPeer]]:
    """A client's context, the URL of a scripted peer, and the peer."""
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(
        lambda: ScriptedPeer(answer), local_addr=("127.0.0.1", 0)
    )
    client = await client_context()
    port = transport.get_extra_info("sockname")[1]
    try:
        yield client, f"coap://127.0.0.1:{port}", peer
    finally:
        await client.shutdown()
        transport.close()


def exchange_raw(port: int, datagram: bytes, *, wait_s: float = 0.3) -> bytes | None:
    """Send one datagram from a new socket; what comes back, None when nothing does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.settimeout(wait_s)
        raw.sendto(datagram, ("127.0.0.1", port))
        try:
            return raw.recv(4096)
        except TimeoutError:
            return None
