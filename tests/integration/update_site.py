"""An operator's site in this process: a folder that is served, a key, a device that trusts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiocoap import Code

from device.suit.build import Description, build_manifest, sign_manifest
from device.suit.cose import PrivateKey
from device.suit.keys import generate, load_private
from tests.device_bench import Bench, Reply, device
from tests.peers import file_server


@dataclass
class Site:
    """A file server's folder, a key, and a device that trusts it."""

    bench: Bench
    root: Path
    server: str
    key: PrivateKey
    trusted: Path

    def publish(self, image: bytes, number: int, **how: Any) -> str:
        """Put image and manifest into the folder; the URL of the manifest."""
        name = f"{number}-{sha256(image).hexdigest()[:8]}"
        (self.root / f"{name}.bin").write_bytes(how.get("served", image))
        manifest = build_manifest(
            Description(
                board=how.get("board", "native"),
                slot=how.get("slot", 0),
                sequence_number=number,
                uri=f"{self.server}/{name}.bin",
                image=image,
            )
        )
        (self.root / f"{name}.suit").write_bytes(sign_manifest(manifest, [how.get("key", self.key)]))
        return f"{self.server}/{name}.suit"

    async def trigger(self, url: str, code: Code = Code.POST) -> Reply:
        self.bench.node._updates._started.clear()  # not what most of these tests are about
        return await self.bench.ask(code, "/suit/trigger", payload=url.encode())

    async def update(self, url: str) -> dict[str, Any]:
        """Trigger, wait for the end; the status."""
        assert (await self.trigger(url)).code == "2.01"
        async with asyncio.timeout(10):
            while True:
                status = (await self.bench.get("/suit/status")).value
                if status["result"] is not None and status["state"] == "idle" and status["url"] == url:
                    return dict(status)
                await asyncio.sleep(0.01)

    def console(self) -> list[str]:
        return [line.removeprefix("info suit ") for line in self.bench.lines if line.startswith("info suit ")]


def keys(tmp_path: Path) -> Path:
    """Make a key pair, its public half trusted; the private one."""
    (tmp_path / "trusted").mkdir()
    generate(tmp_path / "op.pem")
    (tmp_path / "op.pem.pub").rename(tmp_path / "trusted" / "op.pem.pub")
    return tmp_path / "op.pem"


@asynccontextmanager
async def site(tmp_path: Path, **settings: Any) -> AsyncIterator[Site]:
    root, trusted = tmp_path / "root", tmp_path / "trusted"
    root.mkdir()
    keys(tmp_path)
    async with (
        file_server(root) as (_, server, _log),
        device(server=server, keys=trusted, **settings) as bench,
    ):
        yield Site(bench, root, server, load_private(tmp_path / "op.pem"), trusted)
