"""One file server: its parts put together, started and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from device.errors import ConfigError
from device.resource import BoundedSite, SourceCheck, Transfers, WellKnownCore
from device.resource.transfers import Limits
from device.transport import COAP_PORT, LAN, CoapContext, Timing, attached_networks, server_context
from fileserver.access import WriteAccess
from fileserver.directory import Directory
from fileserver.files import Files
from fileserver.lookup import add_directory
from fileserver.private_keys import refuse_private_keys
from fileserver.store import FileStore, StoreLimits

EXPIRY_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a file server is told. `bind` None: every address; `port` 0: any free one.

    `verify_sources` answers unknown addresses briefly or with an Echo challenge (RFC 9175).
    """

    root: Path
    bind: str | None = None
    port: int = COAP_PORT
    writers: WriteAccess = field(default_factory=lambda: WriteAccess(tuple(attached_networks())))
    store: StoreLimits = field(default_factory=StoreLimits)
    registrations: int = 2000
    timing: Timing = LAN
    verify_sources: bool = False


class FileServer:
    """Serves files and the device directory from `start` to `stop`. `log` hears of changes, a line each."""

    def __init__(self, config: Config, log: Callable[[str], None]) -> None:
        self.config = config
        self.directory = Directory(capacity=config.registrations, log=log)
        self._log = log
        self._store: FileStore | None = None
        self._context: CoapContext | None = None
        self._expiry: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The UDP port served, once started."""
        return self._context.port if self._context is not None else 0

    async def start(self) -> None:
        """Begin to serve. Raises ConfigError: port taken, root missing, a private key below it."""
        root = self.config.root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{root} cannot be made: {error.strerror}", code="root", where="--root"
            ) from error
        refuse_private_keys(root)
        self._store = FileStore(root, self.config.store)
        try:
            site = self._site(self._store)
            self._context = await server_context(
                site, self.config.bind, self.config.port, timing=self.config.timing
            )
        except BaseException:
            await self.stop()
            raise
        self._expiry = asyncio.create_task(self._expire())

    async def stop(self) -> None:
        """Stop serving and give everything back; nothing happens when it is stopped already."""
        if self._expiry is not None:
            self._expiry.cancel()
            with suppress(asyncio.CancelledError):
                await self._expiry
            self._expiry = None
        if self._context is not None:
            await self._context.shutdown()
            self._context = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def _site(self, store: FileStore) -> BoundedSite:
        transfers = Transfers(Limits(timing=self.config.timing), log=self._log)
        site = BoundedSite(transfers, SourceCheck() if self.config.verify_sources else None)
        links = site.get_resources_as_linkheader
        site.add_resource([".well-known", "core"], WellKnownCore(transfers, links))
        add_directory(site, self.directory)
        site.add_resource([], Files(transfers, store, self.config.writers, self._log))
        return site

    async def _expire(self) -> None:
        """Drop what was not renewed, also when nobody asks: observers of the directory want to know."""
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL_S)
            self.directory.expire()
