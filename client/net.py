"""A bad link in front of a peer: a UDP relay that loses, duplicates and delays datagrams in both directions.

Kernels of containers often have no `tc netem`; this needs nothing (network.md, "Docker").
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from client.addresses import base_url
from device.errors import ConfigError, TransportError
from device.transport import parse_url

LOOPBACK: Final = "127.0.0.1"
PEERS: Final = 256
"""Addresses that are remembered at a time; the one that has been silent for longest makes room."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances from 0 to 1 of each datagram, and up to how many seconds one comes late.

    Datagrams with different delays overtake each other.
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0


@dataclass(slots=True)
class Count:
    """What became of the datagrams."""

    passed: int = 0
    lost: int = 0
    duplicated: int = 0


class Link(asyncio.DatagramProtocol):
    """The near end; every peer gets a far end of its own, so that answers find back."""

    def __init__(self, target: tuple[Any, ...], weather: Weather, chance: random.Random) -> None:
        self.count = Count()
        self._target = _numeric(target)
        self._weather = weather
        self._chance = chance
        self._far: OrderedDict[Any, asyncio.DatagramTransport] = OrderedDict()
        self._near: Any = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to send to instead of the peer itself."""
        host, port = self._near.get_extra_info("sockname")[:2]
        return f"coap://[{host}]:{port}" if ":" in host else f"coap://{host}:{port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._near = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Towards the peer."""
        if addr in self._far:
            self._far.move_to_end(addr)
            self._carry(self._far[addr], data)
            return
        task = asyncio.get_running_loop().create_task(self._open(data, addr))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def error_received(self, exc: Exception) -> None:
        """Somebody is gone; the link says nothing of it."""

    async def _open(self, data: bytes, source: Any) -> None:
        try:
            far, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Far(lambda answer: self._carry(self._near, answer, source)),
                remote_addr=self._target,
            )
        except OSError:  # no way there, as for a datagram that is lost on its way
            self.count.lost += 1
            return
        if source in self._far:  # two at once from one address
            far.close()
        self._far.setdefault(source, far)
        if len(self._far) > PEERS:
            self._far.popitem(last=False)[1].close()
        self._carry(self._far[source], data)

    def _carry(self, way: asyncio.DatagramTransport, data: bytes, to: Any = None) -> None:
        weather, chance = self._weather, self._chance
        if chance.random() < weather.loss:
            self.count.lost += 1
            return
        copies = 1
        if chance.random() < weather.duplication:
            copies = 2
            self.count.duplicated += 1
        for _ in range(copies):
            self.count.passed += 1
            late = chance.random() * weather.delay_s
            asyncio.get_running_loop().call_later(late, _send, way, data, to)

    def close(self) -> None:
        """Close all of it."""
        for transport in (self._near, *self._far.values()):
            transport.abort()


class _Far(asyncio.DatagramProtocol):
    def __init__(self, answered: Callable[[bytes], None]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002  # asyncio's signature
        """Back to who asked."""
        self._answered(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody is there any more; the link says nothing of it."""


def _numeric(address: tuple[Any, ...]) -> tuple[str, int]:
    """Host and port of a socket's address, with the interface that an address of one link needs."""
    host, port, *rest = address
    return (f"{host}%{rest[1]}" if rest and rest[1] else host), port


def _send(way: asyncio.DatagramTransport, data: bytes, to: Any) -> None:
    if not way.is_closing():
        way.sendto(data, to)


@asynccontextmanager
async def link(
    peer: str, weather: Weather, seed: str, *, host: str = LOOPBACK, port: int = 0
) -> AsyncIterator[Link]:
    """A link in front of the peer with this address, on a port of `host` (0: any that is free).

    Raises ConfigError for an address that is none or a port that is taken, TransportError for a name that is
    not known.
    """
    loop = asyncio.get_running_loop()
    authority = parse_url(base_url(peer)).authority
    try:
        found = await loop.getaddrinfo(authority.host, authority.port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise TransportError(f"{authority.host} is not known here", code="unreachable", where=peer) from error
    try:
        _, made = await loop.create_datagram_endpoint(
            lambda: Link(found[0][4], weather, random.Random(seed)),  # noqa: S311  # weather is no secret
            local_addr=(host, port),
        )
    except OSError as error:
        raise ConfigError(f"{host} port {port}: {error.strerror}", code="port-taken") from error
    try:
        yield made
    finally:
        made.close()
