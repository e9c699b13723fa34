"""An operator, file servers and devices as processes, and what a failed update must have left of them.

Every device begins with an old program in two of its slots, and the operator deploys a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from client.connection import Connection
from client.directory import Target
from client.keys import generate
from client.remote import RemoteDevice
from device.api import ExecRequest
from tests.device_bench import example
from tests.device_process import prepare_state
from tests.integration.client_testbed import OBJECTS
from tests.integration.processes import Ended, Server, client, server
from tests.relay import Gate, Relay

OLD, OLD_GIVES = "add", 123
NEW, NEW_GIVES = "pc_relative_calls", 12345
STORED: Final = 2
"""The sequence number that devices begin with: two slots were filled."""

MANIFEST, IMAGE = "suit_manifest", "program"
"""How the names of the files begin that a deploy puts onto the file server."""


@dataclass(frozen=True)
class Site:
    """An operator with a key, and a file server."""

    home: Path
    files: Server
    connection: Connection

    @property
    def key(self) -> Path:
        return self.home / "operator.pem"

    async def devices(
        self, stack: AsyncExitStack, name: str, *options: str, count: int = 1, port: int = 0
    ) -> Devices:
        """A process with devices that trust the operator, and keep their state; new ones are prepared."""
        home = self.home / name
        states = [home] if count == 1 else [home / f"device-{number + 1}" for number in range(count)]
        for state in states:
            if not state.exists():
                await prepare_state(state, {0: example(OLD), 1: example(OLD)})
        process = await stack.enter_async_context(
            server(
                "device",
                *("--name", name, "--count", str(count), "--server", self.files.url),
                *("--keys", str(self.home / "trusted"), "--state", str(home), *options),
                log=self.home / f"{name}.log",
                count=count,
                port=port,
            )
        )
        bases = [f"coap://127.0.0.1:{port}" for port in process.ports]
        rigs = [
            Rig(RemoteDevice(self.connection, Target(base, base)), state)
            for base, state in zip(bases, states, strict=True)
        ]
        return Devices(process, tuple(rigs))

    def file_server(self, name: str, port: int = 0) -> AbstractAsyncContextManager[Server]:
        """Another file server, on a folder of its own."""
        return file_server(self.home, name, port)

    def at(self, files: Server) -> Site:
        """The same operator at another file server."""
        return replace(self, files=files)

    async def client(self, *arguments: str | Path) -> Ended:
        """The command line with the operator's key."""
        return await client(
            *arguments,
            MICROBPF_KEY=str(self.key),
            MICROBPF_SERVER=self.files.url,
            XDG_CACHE_HOME=str(self.home / "cache"),
        )

    def deploy(self, rig: Rig, through: Relay, *options: str) -> asyncio.Task[Ended]:
        """Begin to deploy the new program; the device fetches it through a relay."""
        program = OBJECTS / f"{NEW}.o"
        route = ("-d", rig.address, "--fetch-base", through.url)
        return asyncio.create_task(self.client("deploy", "--slot", "0", program, *route, *options))


@dataclass(frozen=True)
class Rig:
    """One device."""

    device: RemoteDevice
    state: Path

    @property
    def address(self) -> str:
        return self.device.target.base.removeprefix("coap://")

    async def run(self) -> int | None:
        """What the program of slot 0 gives."""
        return (await self.device.execute(0, ExecRequest())).r0_signed

    def kept(self) -> dict[str, bytes]:
        """Every file of the state directory."""
        files = [path for path in self.state.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.state)): path.read_bytes() for path in files}

    async def seen(self) -> Any:
        """All that an update could change: what is in which slot, and the sequence number."""
        slots = [
            (slot.state, slot.digest, slot.name, slot.sequence_number)
            for slot in [await self.device.slot(number) for number in range(5)]
        ]
        return slots, (await self.device.info()).sequence_number, self.kept()


@dataclass(frozen=True)
class Devices:
    """A process, and the devices in it."""

    process: Server
    rigs: tuple[Rig, ...]


def file_server(home: Path, name: str = "served", port: int = 0) -> AbstractAsyncContextManager[Server]:
    """A file server on the folder of this name."""
    return server("fileserver", "--root", str(home / name), log=home / f"{name}.log", port=port)


@asynccontextmanager
async def open_site(home: Path) -> AsyncIterator[Site]:
    """A site below a directory. In the end no process may have said a traceback."""
    (home / "trusted").mkdir()
    generate(home / "operator.pem").rename(home / "trusted" / "operator.pem.pub")
    async with file_server(home) as files, Connection() as connection:
        yield Site(home, files, connection)
    assert not tracebacks(home)


def tracebacks(home: Path) -> list[str]:
    """The logs with a traceback in them."""
    return [str(log) for log in home.glob("*.log") if "Traceback" in log.read_text()]


async def in_the_middle(rig: Rig, through: Relay, gate: Gate) -> int | None:
    """See that the device has some blocks of a file and not all; what its program gives meanwhile."""
    assert through.given[gate.file] == dict.fromkeys(range(gate.after), True)
    status = await rig.device.status()
    fetching = "image" if gate.prefix == IMAGE else "manifest"
    assert (status.state, status.result) == (fetching, None)
    assert (await rig.device.slot(0)).state == ("fetching" if gate.prefix == IMAGE else "ready")
    return await rig.run()


async def still_there(rig: Rig, before: Any) -> None:
    """Nothing has changed, neither in the device nor in what it keeps, and the old program runs."""
    assert await rig.seen() == before
    assert await rig.run() == OLD_GIVES


async def deploys(site: Site, rig: Rig, through: Relay) -> None:
    """The next valid deploy works, and its program runs."""
    done = await site.deploy(rig, through, "-o", "json")
    assert done.code == 0, done
    (entry,) = done.results
    slot = await rig.device.slot(0)
    assert slot.digest is not None
    signed = entry["result"]
    assert (slot.digest.hex(), slot.sequence_number) == (signed["digest"], signed["sequence_number"])
    assert (await rig.device.status()).result == "OK"
    assert await rig.run() == NEW_GIVES
