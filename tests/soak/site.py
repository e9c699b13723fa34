"""Where a soak takes place: a file server, one device, an operator with a key."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.keys import Signer, generate, load_signer
from device.vm.program import BUDGET_MAX
from tests.device_bench import SEVEN, SPIN, SUM, WILD, example
from tests.device_process import environment, prepare_state
from tests.integration.processes import LOOPBACK, START_S, server

SEVEN_SLOT, SUM_SLOT, WILD_SLOT, SPIN_SLOT, HELLO_SLOT, DEPLOY_SLOT = range(6)
SEVEN_GIVES: Final = 7
HELLO_SAYS: Final = b"hello"
"""What slot 4 answers to packets."""


@dataclass(frozen=True, slots=True)
class Site:
    """The running processes. `gauges` is the file that the device writes its gauges to."""

    pid: int
    port: int
    files: str
    signer: Signer
    gauges: Path
    log: Path

    @property
    def url(self) -> str:
        """Of the device."""
        return f"coap://{LOOPBACK}:{self.port}"


@asynccontextmanager
async def open_site(home: Path) -> AsyncIterator[Site]:
    """All of it below a directory, until the end. The device has to end with 0."""
    (home / "trusted").mkdir()
    generate(home / "operator.pem").rename(home / "trusted" / "operator.pem.pub")
    images = {
        SEVEN_SLOT: SEVEN,
        SUM_SLOT: SUM,
        WILD_SLOT: WILD,
        SPIN_SLOT: SPIN,
        HELLO_SLOT: example("gcoap_hello"),
        DEPLOY_SLOT: SEVEN,
    }
    await prepare_state(home / "state", images)
    log, gauges = home / "device.log", home / "gauges"
    async with server("fileserver", "--root", str(home / "served"), log=home / "files.log") as files:
        with log.open("ab") as said:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.soak.watched", gauges),
                *("--bind", LOOPBACK, "--port", "0", "--log-format", "json", "--slots", "6"),
                *("--name", "soaked", "--server", files.url, "--state", home / "state"),
                *("--keys", home / "trusted", "--limit", f"budget_default={BUDGET_MAX}"),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=said,
                env=environment(),
                cwd=Path(__file__).parents[2],
            )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                ready = json.loads(await process.stdout.readline())
            signer = load_signer(home / "operator.pem")
            yield Site(process.pid, int(ready["port"]), files.url, signer, gauges, log)
            process.terminate()
            async with asyncio.timeout(START_S):
                assert await process.wait() == 0, f"{log} says why"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
