"""A file server and devices as processes of their own, for benchmarks that run the real commands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiocoap import Code, Context

from device.api import CBOR, decode_body, encode_body
from device.transport import expect_success, free_port, parse_url, request

BIN: Final = Path(sys.executable).parent
QUIET: Final[Mapping[str, Any]] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_DEPLOY_S: Final = 20


@dataclass(frozen=True, slots=True)
class Testbed:
    """Where it is: a folder that goes with it, the environment of the client, the URL of each device.

    `processes` are those of the devices.
    """

    folder: Path
    environment: Mapping[str, str]
    urls: Mapping[str, str]
    processes: Sequence[int]

    def client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the client and wait for it."""
        command = [str(BIN / "client"), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a verb of the client."""
        return subprocess.Popen([str(BIN / "client"), *arguments], env=self.environment, **QUIET)

    def deploy(self, device: str, source: str, slot: int = 0) -> None:
        """Have a program of C in a slot; devices may still be starting."""
        path = self.folder / f"program{slot}.c"
        path.write_text(source, encoding="utf-8")
        end = time.monotonic() + _DEPLOY_S
        while (done := self.client("deploy", str(path), "-d", device, "--slot", str(slot))).returncode:
            if time.monotonic() > end:
                raise SystemExit(f"{device} did not take the program: {done.stderr}")
            time.sleep(0.2)


@contextmanager
def testbed(devices: Sequence[str], *options: str) -> Iterator[Testbed]:
    """A file server, and a process for each device with these options."""
    server, ports = free_port(), {name: free_port() for name in devices}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        key, trusted = folder / "operator.pem", folder / "trusted"
        environment = {
            **os.environ,
            "MICROBPF_SERVER": f"coap://127.0.0.1:{server}",
            "MICROBPF_KEY": str(key),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        urls = {name: f"coap://127.0.0.1:{port}" for name, port in ports.items()}
        keygen = [str(BIN / "client"), "keygen", "--to", str(key)]
        subprocess.run(keygen, env=environment, capture_output=True, check=True)
        trusted.mkdir()
        (folder / "operator.pem.pub").rename(trusted / "operator.pem.pub")
        commands = [[str(BIN / "fileserver"), "--root", str(folder / "served"), "--port", str(server)]]
        commands += [
            [str(BIN / "device"), "--port", str(port), "--keys", str(trusted), "--name", name, *options]
            for name, port in ports.items()
        ]
        running = [subprocess.Popen(command, env=environment, **QUIET) for command in commands]
        try:
            yield Testbed(folder, environment, urls, [process.pid for process in running[1:]])
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(timeout=30)


async def post(context: Context, url: str, fields: Mapping[str, Any], timeout_s: float = 10) -> Any:
    """What a device answers to a map; raises what it refuses with."""
    message = parse_url(url).message(Code.POST, encode_body(fields, CBOR), content_format=CBOR)
    answer = await request(context, message, timeout_s=timeout_s)
    expect_success(answer)
    return decode_body(answer.payload, CBOR)


async def get(context: Context, url: str) -> Any:
    """What a device says."""
    answer = await request(context, parse_url(url).message(Code.GET), timeout_s=10)
    expect_success(answer)
    return decode_body(answer.payload, CBOR)


async def start_job(context: Context, url: str, engine: str, state: str) -> str:
    """The URL of a job of slot 0, once it is in that state."""
    job = f"{url}/jobs/{(await post(context, f'{url}/jobs', {'slot': 0, 'engine': engine}))['id']}"
    while True:
        if (await get(context, job))["state"] == state:
            return job
        await asyncio.sleep(0.01)
