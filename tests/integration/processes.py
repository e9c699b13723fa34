"""The three console scripts as processes: a file server, devices, and the client in front of them."""

from __future__ import annotations

import asyncio
import json
import signal
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tests.device_process import environment

SCRIPTS: Final = Path(sysconfig.get_path("scripts"))
START_S: Final = 20.0
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A running `fileserver` or `device`; `ports` are those of its devices, in order."""

    process: Process
    ports: tuple[int, ...]
    options: tuple[str, ...]

    @property
    def url(self) -> str:
        """The URL of the first."""
        return f"coap://{LOOPBACK}:{self.ports[0]}"

    async def end(self, number: int = signal.SIGKILL, seconds: float = 10.0) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(seconds):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def server(
    program: str, *options: str, log: Path, count: int = 1, port: int = 0
) -> AsyncIterator[Server]:
    """A process that serves on loopback, once it is ready; killed in the end. It logs to the end of `log`."""
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            SCRIPTS / program,
            *("--bind", LOOPBACK, "--port", str(port), "--log-format", "json", *options),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=said,
            env=environment(),
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            lines = [await process.stdout.readline() for _ in range(count)]
        assert all(lines), f"{program} did not start, {log} says why"
        yield Server(process, tuple(int(json.loads(line)["port"]) for line in lines), options)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@dataclass(frozen=True, slots=True)
class Ended:
    """A client that has ended: its exit code, what it wrote, and the seconds since it was started."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def results(self) -> list[dict[str, Any]]:
        """The entries of its JSON envelope, which has to agree with the exit code."""
        envelope = json.loads(self.out)
        assert envelope["ok"] is (self.code == 0)
        entries: list[dict[str, Any]] = envelope["results"]
        return entries


async def client(*arguments: str | Path, seconds: float = 30.0, **variables: str) -> Ended:
    """Run the client to its end, which must come within some seconds. No traceback may leave it."""
    started = monotonic()
    process = await asyncio.create_subprocess_exec(
        SCRIPTS / "client",
        *map(str, arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**environment(), **variables},
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert b"Traceback" not in out + err
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode(), monotonic() - started)
