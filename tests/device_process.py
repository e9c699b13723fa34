"""A `device` process: started, waited for, asked to stop, and what it said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.execution import ShortRunPool
from device.node import Node, NodeConfig
from tests.device_bench import install

COMMAND = "from device.cli import main; main()"


@dataclass(slots=True)
class Process:
    """A running `device`; `ready` is what it said of each of its devices."""

    popen: subprocess.Popen[str]
    ready: list[dict[str, Any]]
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port of the first device."""
        return int(self.ready[0]["port"])

    @property
    def url(self) -> str:
        """The URL of the first device."""
        return f"coap://127.0.0.1:{self.port}"

    def resident_kb(self) -> int:
        """Its memory."""
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def environment() -> dict[str, str]:
    """Ours without what would configure a device."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MICROBPF_")}


@contextmanager
def device_process(*options: str, count: int = 1, stop: int = signal.SIGTERM) -> Iterator[Process]:
    """A device process on free ports with its log as JSON; it has to end cleanly."""
    arguments = [
        "--bind",
        "127.0.0.1",
        "--port",
        "0",
        "--count",
        str(count),
        "--log-format",
        "json",
        *options,
    ]
    popen = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert popen.stdout is not None
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(popen.stderr or ()))
    reader.start()
    try:
        ready = [json.loads(popen.stdout.readline() or "{}") for _ in range(count)]
        yield Process(popen, ready, log)
    finally:
        popen.send_signal(stop)
        try:
            popen.wait(timeout=10)
        finally:
            popen.kill()
            popen.wait()
            reader.join()
            popen.stdout.close()
            assert popen.stderr is not None
            popen.stderr.close()
    assert popen.returncode == 0, log


async def prepare_state(directory: Path, images: Mapping[int, bytes], slots: int = 6) -> None:
    """A state directory whose slots hold these programs."""
    pool = ShortRunPool()
    config = NodeConfig(name="kept", bind="127.0.0.1", port=0, state=directory, slots=slots)
    node = Node(config, pool, chance=random.Random(1))
    await node.start()
    try:
        for slot, image in images.items():
            await install(node, slot, image)
    finally:
        await node.stop()
        pool.close()
