"""A testbed on this machine: a file server and devices as processes of their own, and nothing left behind.

Ports are free ones, names are fixed, keys and files lie in a temporary directory. However this ends
(done, an error, Ctrl-C, SIGTERM), the processes are stopped and the directory is removed; should this
process be killed outright, the kernel ends them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

from client.connection import Connection
from client.directory import Target, registered
from client.keys import generate
from device.errors import MicroBpfError, TransportError

START_S: Final = 20.0
STOP_S: Final = 3.0
_POLL_S: Final = 0.03

# Signal 15 when the parent ends, whatever ends it (prctl PR_SET_PDEATHSIG); there is none outside Linux.
_LAUNCH: Final = """
import ctypes, sys
try:
    ctypes.CDLL(None).prctl(1, 15)
except (AttributeError, OSError):
    pass
from {module} import main
sys.argv[0] = {program!r}
main()
"""


class Testbed:
    """A file server and one device process for every name. An async context manager."""

    __test__ = False

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.server = ""
        self.directory = Path()
        self.targets: list[Target] = []
        self._processes: list[asyncio.subprocess.Process] = []
        self._stack = AsyncExitStack()

    @property
    def key(self) -> Path:
        """The operator's private key; its public half is what the devices trust."""
        return self.directory / "operator" / "operator.pem"

    async def __aenter__(self) -> Self:
        try:
            self._make_directory()
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def _make_directory(self) -> None:
        holder = tempfile.TemporaryDirectory(prefix="micro-bpf-", ignore_cleanup_errors=True)
        self._stack.callback(holder.cleanup)
        self.directory = Path(holder.name)
        trusted = self.directory / "trusted"
        trusted.mkdir()
        public = generate(self.key)
        (trusted / "operator.pem.pub").write_bytes(public.read_bytes())

    async def _start(self) -> None:
        served = str(self.directory / "served")
        await self._launch(
            "fileserver", "--root", served, "--bind", "127.0.0.1", "--port", "0", "--log-format", "json"
        )
        self.server = f"coap://127.0.0.1:{await self._ready_port(self._processes[0])}"
        for name in self.names:
            await self._launch("device", *self._device_options(name))
        self.targets = await self._await_registration()

    def _device_options(self, name: str) -> tuple[str, ...]:
        trusted = str(self.directory / "trusted")
        return (
            "--name", name, "--bind", "127.0.0.1", "--port", "0", "--server", self.server,
            "--keys", trusted, "--log-format", "json",
        )  # fmt: skip

    async def _launch(self, program: str, *arguments: str) -> None:
        """Start a program of this project as a process; what it says goes to a file beside the others."""
        code = _LAUNCH.format(module=f"{program}.cli", program=program)
        log = (self.directory / f"{program}-{len(self._processes)}.log").open("wb")
        with log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if program == "fileserver" else log,
                stderr=log,
                start_new_session=True,
                env=_environment(os.environ),
            )
        self._processes.append(process)

    async def _ready_port(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None  # noqa: S101  # it was started with a pipe
        try:
            async with asyncio.timeout(START_S):
                while line := await process.stdout.readline():
                    said = json.loads(line)
                    if said.get("event") == "ready":
                        return int(said["port"])
        except TimeoutError:
            pass
        raise TransportError("the file server did not start", code="testbed", hint=self._last_words())

    async def _await_registration(self) -> list[Target]:
        """The devices in the order of their names, once all are in the directory."""
        end = monotonic() + START_S
        async with Connection(timeout_s=2.0) as connection:
            while monotonic() < end and all(process.returncode is None for process in self._processes):
                try:
                    found = {target.name: target for target in await registered(connection, self.server)}
                except MicroBpfError:
                    found = {}
                if set(self.names) <= set(found):
                    return [found[name] for name in self.names]
                await asyncio.sleep(_POLL_S)
        raise TransportError("a device did not start", code="testbed", hint=self._last_words())

    def _last_words(self) -> str:
        """The last line of every log: why something did not start."""
        lines = []
        for path in sorted(self.directory.glob("*.log")):
            said = path.read_text(errors="replace").strip().splitlines()
            if said:
                lines.append(f"{path.stem}: {said[-1]}")
        return "; ".join(lines)

    async def _stop(self) -> None:
        """End every process, the devices first: they withdraw from the directory."""
        server, devices = self._processes[:1], self._processes[1:]
        for processes in (devices, server):
            await _end(processes)
        await self._stack.aclose()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """What the processes see: our modules, and no MICROBPF_* setting meant for the operator's own devices."""
    kept = {name: value for name, value in own.items() if not name.startswith("MICROBPF_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def _end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """Ask processes to end, and make sure of it."""
    for process in processes:
        if process.returncode is None:
            process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await asyncio.gather(*(process.wait() for process in processes))
    except TimeoutError:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
