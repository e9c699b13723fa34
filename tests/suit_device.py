"""A device without its network: real slots, loader, verifier and engine; files that a test serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from device.api import ExecAnswer, ExecRequest
from device.errors import MicroBpfError, RemoteError, TooLarge
from device.execution import Executor, RunLimits, ShortRunPool
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.slots import Backing, SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.suit.cose import PublicKey
from device.suit.identity import Identity
from device.suit.install import Installer, Progress, UpdateLimits
from device.suit.trust import TrustedKey, TrustStore
from tests.suit_manifests import BOARD, HOST, KEY, MANIFEST_URL, Image


class Device:
    """`files` are served by URL: bytes, an error to raise, or a function that gives them; `asked` counts."""

    def __init__(
        self,
        pool: ShortRunPool,
        *,
        keys: tuple[PublicKey | TrustedKey, ...] = (KEY.public_key(),),
        backing: Backing | None = None,
        number: int = 6,
        **limits: Any,
    ) -> None:
        clock = BootClock()
        self.files: dict[str, Any] = {}
        self.asked: list[tuple[str, int]] = []
        self.log = DeviceLog(clock)
        self.slots = SlotTable(backing=backing)
        self.executor = Executor(
            self.slots,
            MemoryStore(),
            pool,
            self.log,
            clock,
            slots=5,
            limits=RunLimits(budget_default=100_000),
        )
        self.trusted = TrustStore(
            tuple(key if isinstance(key, TrustedKey) else TrustedKey("k", key) for key in keys)
        )
        self.installer = Installer(
            self.slots,
            self.executor,
            self._fetch,
            lambda: self.trusted,
            Identity.of(BOARD),
            limits=replace(
                UpdateLimits(allowed_hosts=(HOST,), deadline_s=5.0, maximum=self.executor.maximum), **limits
            ),
            log=lambda text: self.log.add("info", "suit", text),
        )
        if not self.slots.sequence_number:
            self.slots.commit({}, number)

    async def _fetch(self, url: str, limit: int) -> bytes:
        self.asked.append((url, limit))
        found = self.files.get(url, RemoteError("not found", status="4.04"))
        if callable(found):
            made = found()
            found = await made if isinstance(made, Awaitable) else made
        if isinstance(found, MicroBpfError):
            raise found
        content = bytes(found)
        if len(content) > limit:
            raise TooLarge("more bytes than asked for", limit=limit)
        return content

    def serve(self, *images: Image) -> None:
        """Serve images under the URLs that manifests name."""
        self.files.update({image.url: image.content for image in images})

    async def update(self, envelope: bytes, *images: Image) -> Progress:
        """Carry out an update whose images are served."""
        self.serve(*images)
        self.files[MANIFEST_URL] = envelope
        return await self.installer.update_from(MANIFEST_URL)

    @property
    def images_asked(self) -> list[tuple[str, int]]:
        """What was asked besides manifests."""
        return [(url, limit) for url, limit in self.asked if url != MANIFEST_URL]

    def state(self) -> tuple[int, list[StoredImage | None]]:
        """Everything that an update changes."""
        return self.slots.sequence_number, [self.slots.get(slot) for slot in range(self.slots.count)]

    async def run(self, slot: int = 2, **request: Any) -> ExecAnswer:
        """Run a slot's program."""
        return await self.executor.execute(slot, ExecRequest(**request), "test")

    async def refused(self, envelope: bytes, *images: Image, fetched: bool = False) -> str:
        """The class of a refusal, once it is seen that it left everything as it was.

        Unless `fetched`, no image may have been asked for. The next good update is not looked at here.
        """
        before, asked = self.state(), len(self.images_asked)
        status = await self.update(envelope, *images)
        assert status.result not in (None, "OK"), status
        assert status.state == "idle"
        assert status.detail
        assert self.state() == before
        if not fetched:
            assert len(self.images_asked) == asked
        return status.result


@asynccontextmanager
async def device(**options: Any) -> AsyncIterator[Device]:
    """A device, stopped in the end."""
    pool = ShortRunPool()
    made = Device(pool, **options)
    try:
        yield made
    finally:
        await made.executor.stop()
        pool.close()
