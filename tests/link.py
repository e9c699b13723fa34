"""A bad link: a UDP proxy that loses, duplicates and delays datagrams in both directions, by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Weather:
    """Chances from 0 to 1 of each datagram, and up to how many seconds one comes late.

    Datagrams with different delays overtake each other.
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0


@dataclass
class Count:
    """What became of the datagrams."""

    passed: int = 0
    lost: int = 0
    duplicated: int = 0


class Link(asyncio.DatagramProtocol):
    """The near end; every peer gets a far end of its own, so that answers find back."""

    def __init__(self, port: int, weather: Weather, chance: random.Random) -> None:
        self.count = Count()
        self._port = port
        self._weather = weather
        self._chance = chance
        self._far: dict[Any, asyncio.DatagramTransport] = {}
        self._near: Any = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to send to instead of the peer itself."""
        return f"coap://{LOOPBACK}:{self._near.get_extra_info('sockname')[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._near = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Towards the peer."""
        if addr in self._far:
            self._carry(self._far[addr], data)
            return
        task = asyncio.get_running_loop().create_task(self._open(data, addr))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, data: bytes, source: Any) -> None:
        far, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Far(lambda answer: self._carry(self._near, answer, source)),
            remote_addr=(LOOPBACK, self._port),
        )
        self._far.setdefault(source, far)
        self._carry(far, data)

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
    def __init__(self, answered: Any) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Back to who asked."""
        self._answered(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody is there any more; the link says nothing of it."""


def _send(way: asyncio.DatagramTransport, data: bytes, to: Any) -> None:
    if not way.is_closing():
        way.sendto(data, to)


@asynccontextmanager
async def link(peer: str, weather: Weather, seed: str) -> AsyncIterator[Link]:
    """A link in front of the peer with this URL."""
    port = int(peer.rpartition(":")[2])
    _, made = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Link(port, weather, random.Random(seed)), local_addr=(LOOPBACK, 0)
    )
    try:
        yield made
    finally:
        made.close()
