"""A device in this process on a real UDP port of loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiocoap import Code, Message

from device.api import CBOR, JSON, PROBLEM_CBOR, Problem, decode_body, encode_body
from device.errors import MicroBpfError
from device.execution import ShortRunPool
from device.node import Node, NodeConfig
from device.storage.slots import StoredImage
from device.transport import CoapContext, client_context, parse_url, request
from device.vm.asm import assemble
from device.vm.helpers import HELPERS
from device.vm.ports import SleepingClock
from device.vm.writer import strip_object

OBJECTS = Path(__file__).parents[1] / "examples" / "objects"
NAMES = {helper.name: number for number, helper in HELPERS.items()}

SEVEN = assemble("mov r0, 7\nexit")
SPIN = assemble("mov r0, 0\nloop: add r0, 1\nja loop\nexit")
WILD = assemble("lddw r1, 0x1000\nldxdw r0, [r1]\nexit")
SUM = assemble(  # r0 = the first two bytes of the context, which get swapped
    "ldxb r0, [r1]\nldxb r3, [r1+1]\nstxb [r1], r3\nstxb [r1+1], r0\nadd r0, r3\nexit"
)
ZERO_CALL = assemble("mov r1, 1\nmov r2, 2\ncall bpf_store_local\nmov r0, 0\nexit", helpers=NAMES)


def example(name: str) -> bytes:
    """An example as it is deployed."""
    return strip_object((OBJECTS / f"{name}.o").read_bytes())


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its code, its map (or text, or None without payload), the message itself."""

    code: str
    value: Any
    message: Message

    @property
    def problem(self) -> Problem:
        """The problem details in it."""
        found = Problem.from_payload(self.message.payload, self.message.opt.content_format)
        assert found is not None, self.message.payload
        return found


@dataclass(slots=True)
class Bench:
    """A running device, and requests to it."""

    node: Node
    client: CoapContext
    url: str
    lines: list[str] = field(default_factory=list)

    async def ask(
        self, code: Code, path: str, body: Any = None, *, payload: bytes | None = None, **options: Any
    ) -> Reply:
        """One request. `body` is encoded as the content-format says, CBOR without one."""
        if body is not None:
            options.setdefault("content_format", CBOR)
            payload = encode_body(body, options["content_format"])
        message = parse_url(self.url + path).message(code, payload or b"", **options)
        answer = await request(self.client, message, timeout_s=30)
        return Reply(answer.code.dotted, _decoded(answer), answer)

    async def get(self, path: str, **options: Any) -> Reply:
        """GET."""
        return await self.ask(Code.GET, path, **options)

    async def execute(self, slot: int = 0, body: Mapping[str, Any] | None = None, **options: Any) -> Reply:
        """POST /slots/{n}/exec."""
        return await self.ask(Code.POST, f"/slots/{slot}/exec", {} if body is None else dict(body), **options)

    async def install(self, slot: int, image: bytes, name: str = "prog.o") -> None:
        """Put a program into a slot, without an update."""
        await install(self.node, slot, image, name)


async def install(node: Node, slot: int, image: bytes, name: str = "prog.o") -> None:
    """What a commit of an update does."""
    number = node.slots.sequence_number + 1
    stored = StoredImage(image, sha256(image).digest(), name, number)
    prepared = await node.executor.check(slot, image)
    await node.executor.replace({slot: prepared}, lambda: node.slots.commit({slot: stored}, number))


@asynccontextmanager
async def device(
    pool: ShortRunPool | None = None, *, clock: SleepingClock | None = None, **settings: Any
) -> AsyncIterator[Bench]:
    """A device with these settings, on a clock of its own unless one is given; stopped in the end."""
    settings = {"name": "bench", "bind": "127.0.0.1", "port": 0, **settings}
    owned = pool or ShortRunPool()
    lines: list[str] = []
    node = Node(
        NodeConfig(**settings),
        owned,
        chance=random.Random(1),
        sink=lambda _name: lambda line: lines.append(f"{line.level} {line.source} {line.text}"),
        lookup=lambda _address: None,
        clock=clock,
    )
    await node.start()
    client = await client_context()
    try:
        yield Bench(node, client, f"coap://127.0.0.1:{node.port}", lines)
    finally:
        await client.shutdown()
        await node.stop()
        if pool is None:
            owned.close()


async def eventually(condition: Any, seconds: float = 5.0) -> None:
    """Wait until it holds, or fail."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # whatever it is that a test waits for
            await asyncio.sleep(0.005)


def _decoded(answer: Message) -> Any:
    if not answer.payload:
        return None
    content_format = answer.opt.content_format
    if content_format in (CBOR, JSON, PROBLEM_CBOR):
        try:
            return decode_body(answer.payload, JSON if content_format == JSON else CBOR)
        except MicroBpfError:
            return answer.payload
    return answer.payload.decode()
