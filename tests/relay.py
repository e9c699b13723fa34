"""A relay between one device and its file server, which stops in the middle of a fetch when a test says so.

It reads what passes, so that a test knows which blocks of which file the device was given.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiocoap import Message

LOOPBACK: Final = "127.0.0.1"


@dataclass(eq=False, slots=True)
class Gate:
    """Lets `after` blocks of the file whose name begins with `prefix` through, then withholds the next.

    `file` is that file's name and `withheld` the request, once it is `reached`.
    """

    prefix: str
    after: int
    file: str = ""
    withheld: bytes = b""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float = 20.0) -> str:
        """Wait until the device asks for the block that it does not get; the file's name."""
        async with asyncio.timeout(seconds):
            await self.reached.wait()
        return self.file


class Relay:
    """Passes datagrams from a device to a file server and back; one device at a time.

    `given` tells of every file which blocks went to the device, by number, and whether more were to come.
    """

    def __init__(self, server_port: int) -> None:
        self.given: defaultdict[str, dict[int, bool]] = defaultdict(dict)
        self.port = 0
        self._server_port = server_port
        self._front: asyncio.DatagramTransport | None = None
        self._back: asyncio.DatagramTransport | None = None
        self._device: Any = None
        self._files: dict[bytes, str] = {}
        self._gate: Gate | None = None
        self._cut = False

    @property
    def url(self) -> str:
        """What devices fetch from."""
        return f"coap://{LOOPBACK}:{self.port}"

    async def open(self) -> None:
        """Listen, after it was closed on the same port as before."""
        self.close()
        await asyncio.sleep(0)  # the loop closes sockets in its next turn
        loop = asyncio.get_running_loop()
        self._back, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._answered, self._refused), remote_addr=(LOOPBACK, self._server_port)
        )
        self._front, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._asked), local_addr=(LOOPBACK, self.port)
        )
        self.port = self._front.get_extra_info("sockname")[1]

    def close(self) -> None:
        """Close the port: who sends to it is told by the kernel that nobody is there."""
        for side in (self._front, self._back):
            if side is not None:
                side.abort()
        self._front = self._back = None

    def stop_at(self, prefix: str, after: int = 0) -> Gate:
        """Put a gate up, in place of any other."""
        self._gate = Gate(prefix, after)
        return self._gate

    def go_on(self) -> None:
        """Let everything through from now on, what was withheld first."""
        gate, self._gate, self._cut = self._gate, None, False
        if gate is not None and gate.withheld:
            self._forward(gate.withheld, gate.file)

    def cut(self) -> None:
        """Let nothing through any more, without telling anybody."""
        self._cut = True

    def _refused(self) -> None:
        """The server's port is closed: so is this one until the next `open`, and the device is told too."""
        if not self._cut:
            self.close()

    def _asked(self, datagram: bytes, source: Any) -> None:
        self._device = source
        if self._cut:
            return
        message = Message.decode(datagram, remote=None)
        file, gate = "/".join(message.opt.uri_path), self._gate
        number = message.opt.block2.block_number if message.opt.block2 else 0
        if gate is not None and file.startswith(gate.prefix) and number >= gate.after:
            gate.file, gate.withheld = file, datagram
            gate.reached.set()
        else:
            self._forward(datagram, file)

    def _forward(self, datagram: bytes, file: str) -> None:
        self._files[Message.decode(datagram, remote=None).token] = file
        if self._back is not None:
            self._back.sendto(datagram)

    def _answered(self, datagram: bytes, _source: Any) -> None:
        if self._cut or self._front is None:
            return
        message = Message.decode(datagram, remote=None)
        block = message.opt.block2
        if block is not None:
            self.given[self._files[message.token]][block.block_number] = bool(block.more)
        self._front.sendto(datagram, self._device)


class _Side(asyncio.DatagramProtocol):
    """One socket of a relay."""

    def __init__(
        self, received: Callable[[bytes, Any], None], refused: Callable[[], None] = lambda: None
    ) -> None:
        self._received = received
        self._refused = refused

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Hand it over."""
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """The kernel says that nobody listens there."""
        self._refused()


@asynccontextmanager
async def relay(server: str) -> AsyncIterator[Relay]:
    """A relay in front of the file server with this URL."""
    made = Relay(int(server.rpartition(":")[2]))
    await made.open()
    try:
        yield made
    finally:
        made.close()
