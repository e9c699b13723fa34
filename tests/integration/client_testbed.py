"""A file server and devices in this process, on a loop of their own, and the client in front of them.

The client runs its own loop in the test's thread, over real UDP on loopback, as it does in a shell.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from click.testing import CliRunner, Result

from client.cli import cli
from client.keys import generate
from device.execution import ShortRunPool
from device.node import Node, NodeConfig
from fileserver.access import parse_networks
from fileserver.server import Config, FileServer

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
OBJECTS = ROOT / "examples" / "objects"


class LiveFleet:
    """A testbed below a directory; a context manager. Devices are added by name.

    With `verify_sources` all of its servers ask unknown addresses for an Echo.
    """

    def __init__(self, directory: Path, *, verify_sources: bool = False) -> None:
        self.directory = directory
        self.verify_sources = verify_sources
        self.nodes: dict[str, Node] = {}
        self.key = directory / "operator" / "key.pem"
        self.trusted = directory / "trusted"
        self.log: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="testbed")
        self._pool = ShortRunPool()
        self._files: FileServer

    def __enter__(self) -> Self:
        self._thread.start()
        self.trusted.mkdir()
        public = generate(self.key)
        (self.trusted / "operator.pem.pub").write_bytes(public.read_bytes())
        writers = parse_networks(["127.0.0.0/8", "::1"])
        served = self.directory / "served"
        config = Config(served, None, 0, writers=writers, verify_sources=self.verify_sources)
        self._files = FileServer(config, self.log.append)
        self._wait(self._files.start())
        return self

    def __exit__(self, *_error: object) -> None:
        for name in list(self.nodes):
            self.stop(name)
        self._wait(self._files.stop())
        self._pool.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def server(self) -> str:
        return f"coap://127.0.0.1:{self._files.port}"

    @property
    def served(self) -> dict[str, bytes]:
        """The files on the file server."""
        return {path.name: path.read_bytes() for path in (self.directory / "served").iterdir()}

    def add(self, *names: str, **config: Any) -> Self:
        """Start devices, and wait until they are registered."""
        for name in names:
            settings: dict[str, Any] = {
                "server": self.server,
                "keys": self.trusted,
                "verify_sources": self.verify_sources,
                **config,
            }
            made = NodeConfig(name=name, bind="127.0.0.1", port=0, **settings)
            node = Node(made, self._pool, chance=random.Random(1), lookup=lambda _address: None)
            self._wait(node.start())
            self.nodes[name] = node
            if settings["server"] is not None:
                self._wait(self._registered(name))
        return self

    def stop(self, name: str) -> None:
        self._wait(self.nodes.pop(name).stop())

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.nodes[name].port}"

    def client(self, *arguments: str | Path, env: dict[str, str | None] | None = None) -> Result:
        """The command line, with this testbed in its environment."""
        environment: dict[str, str | None] = {
            "MICROBPF_SERVER": self.server,
            "MICROBPF_KEY": str(self.key),
            "MICROBPF_DEVICE": None,
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            **(env or {}),
        }
        runner = CliRunner()
        result = runner.invoke(cli, [str(argument) for argument in arguments], env=environment)
        assert "Traceback" not in result.output
        return result

    def results(self, *arguments: str | Path, code: int = 0, **options: Any) -> list[dict[str, Any]]:
        """The entries of the JSON envelope of a command that ends with `code`."""
        result = self.client(*arguments, "-o", "json", **options)
        assert result.exit_code == code, result.output
        envelope = json.loads(result.stdout)
        assert envelope["ok"] is (code == 0)
        entries: list[dict[str, Any]] = envelope["results"]
        return entries

    async def _registered(self, name: str) -> None:
        async with asyncio.timeout(5):
            while not self._files.directory.endpoints([f"ep={name}"]):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
