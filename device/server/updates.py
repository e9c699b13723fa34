"""Updates of one device: one at a time, in the background, and not too often from one source."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from device.api import InstalledImage, UpdateStatus
from device.errors import Unavailable
from device.log import DeviceLog
from device.suit import uri
from device.suit.install import Installer
from device.vm.ports import Clock

PER_SOURCE_S: Final = 1.0
"""Seconds between two updates that one source starts (suit.md section 11)."""

BUSY_RETRY_S: Final = 2
_REMEMBERED: Final = 1024


class Updates:
    """Starts updates for whoever may ask, owns the one that runs, and tells how it goes.

    `on_change` hears of every step of an update. `clock` is the device's, `now` monotonic seconds.
    """

    def __init__(
        self,
        installer: Installer,
        log: DeviceLog,
        clock: Clock,
        *,
        on_change: Callable[[], None] = lambda: None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.on_change = on_change
        self._installer = installer
        installer.on_change = self._changed
        self._log = log
        self._clock = clock
        self._now = now
        self._since_ms = 0
        self._started: OrderedDict[str, float] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self, url: str, source: str) -> None:
        """Begin the update that `url` names, in the background.

        Raises MalformedRequest (the URL), SuitError URI_FORBIDDEN (its host), Unavailable (an update runs, or
        this source started one less than a second ago).
        """
        uri.check(url, self._installer.limits.allowed_hosts)
        if self._task is not None:
            raise Unavailable("an update is under way", code="BUSY", retry_after_s=BUSY_RETRY_S)
        self._admit(source)
        self._log.add("info", "suit", f'suit: received URL: "{url}"')
        self._task = asyncio.create_task(self._run(url), name="update")

    async def stop(self) -> None:
        """Cancel the update that runs; nothing of it stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def status(self) -> UpdateStatus:
        """The update that runs, or the last one; `since_ms` is when it came to be as it is, as in the log."""
        now = self._installer.status
        return UpdateStatus(
            state=now.state,
            url=now.url,
            sequence_number=now.sequence_number,
            result=now.result,
            riot_code=now.riot_code,
            report_reason=now.report_reason,
            where=now.where,
            detail=now.detail,
            hint=now.hint,
            findings=now.findings,
            installed=tuple(InstalledImage(image.slot, image.size, image.tag) for image in now.installed),
            since_ms=self._since_ms,
        )

    def fetching(self, slot: int) -> bool:
        """Whether the update that runs is going to write this slot."""
        now = self._installer.status
        return now.state != "idle" and slot in now.slots

    async def _run(self, url: str) -> None:
        try:
            await self._installer.update_from(url)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task: the log has to hear of it
            self._log.add("error", "suit", f"update failed: {type(error).__name__}: {error}")
        finally:
            self._task = None

    def _changed(self) -> None:
        self._since_ms = self._clock.now_us() // 1000
        self.on_change()

    def _admit(self, source: str) -> None:
        """Hold a source to its rate."""
        now = self._now()
        if now - self._started.get(source, -PER_SOURCE_S) < PER_SOURCE_S:
            raise Unavailable("one update a second from one address", retry_after_s=1)
        self._started[source] = now
        self._started.move_to_end(source)
        if len(self._started) > _REMEMBERED:
            self._started.popitem(last=False)
