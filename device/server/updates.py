"""Updates of one device: one at a time, in the background, and not too often from one source.

Anybody may ask for an update, and until its manifest is fetched and verified nobody knows whether it is one.
That part gives way to a manifest that is posted, signed by a trusted key and planned: whoever keeps a device
busy with fetches cannot keep an update out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from device.api import InstalledImage, UpdateStatus
from device.errors import SuitError, Unavailable
from device.log import DeviceLog
from device.suit import uri
from device.suit.install import Conditions, Installer, Progress
from device.suit.refusals import Refusal, refuse
from device.vm.ports import Clock

PER_SOURCE_S: Final = 1.0
"""Seconds between two updates that one source starts, in whatever way (suit.md section 11)."""

BUSY_RETRY_S: Final = 2
_REMEMBERED: Final = 1024

Update = Callable[[], Awaitable[Progress]]


@dataclass(slots=True)
class _Start:
    """When a source last started an update, and whether that turned out to be signed."""

    at: float
    signed: bool = False


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
        self._started: OrderedDict[str, _Start] = OrderedDict()
        self._starter: _Start | None = None
        self._task: asyncio.Task[Progress | None] | None = None

    # Three ways to ask for one

    def check(self, url: str) -> None:
        """Hold a URL against the policy. Raises MalformedRequest, SuitError URI_FORBIDDEN (its host)."""
        uri.check(url, self._installer.limits.allowed_hosts)

    def start(self, url: str, source: str) -> None:
        """Begin the update that `url` names, in the background.

        Raises MalformedRequest (the URL), SuitError URI_FORBIDDEN (its host), Unavailable (an update runs, or
        this source started one less than a second ago).
        """
        self.check(url)
        self._require_free()
        self._admit(source)
        self._log.add("info", "suit", f'suit: received URL: "{url}"')
        self._begin(partial(self._installer.update_from, url))

    def post(self, envelope: bytes, source: str) -> None:
        """Begin the update whose manifest this is. Raises Unavailable as `start` does.

        One that is signed and that the device would carry out takes the place of one that is not yet known to
        be. Nor does it wait for what was asked for in the name of its source, which anybody could forge,
        unless that was signed as well.
        """
        earlier = self._task if self._busy else None
        if earlier is not None:
            if self._installer.authenticated or not self._installer.accepts(envelope):
                self._require_free()
            self._admit(source)
            self._log.add("warning", "suit", "suit: a signed manifest takes the place of one being fetched")
            self._installer.give_way()
            earlier.cancel()
        elif (
            self._too_soon(source) and not self._started[source].signed and self._installer.accepts(envelope)
        ):
            self._note_start(source)
        else:
            self._admit(source)
        self._begin(partial(self._installer.update_with, envelope), earlier)

    async def pull(self, url: str, conditions: Conditions, source: str) -> Progress:
        """Carry out an update under conditions, and say how it ended. One that is cancelled ends with it.

        Raises what `start` does.
        """
        self.check(url)
        self._require_free()
        self._admit(source)
        task = self._begin(partial(self._installer.update_from, url, conditions))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if task.cancelled():
            raise _busy("a signed manifest was posted meanwhile")
        ended = task.result()
        if ended is None:
            raise refuse(Refusal.STORAGE, "the update failed; the log says why", where="update")
        return ended

    async def stop(self) -> None:
        """Cancel the update that runs; nothing of it stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # How it goes

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

    # Steps

    @property
    def _busy(self) -> bool:
        """A task says itself whether it is done, also one that was cancelled before its first step."""
        return self._task is not None and not self._task.done()

    def _require_free(self) -> None:
        if self._busy:
            raise _busy("an update is under way")

    def _begin(
        self, update: Update, earlier: asyncio.Task[Progress | None] | None = None
    ) -> asyncio.Task[Progress | None]:
        self._task = asyncio.create_task(self._run(update, earlier), name="update")
        return self._task

    async def _run(self, update: Update, earlier: asyncio.Task[Progress | None] | None) -> Progress | None:
        """Carry one out, when the cancelled one before it, if there is one, has ended."""
        if earlier is not None:
            await asyncio.wait({earlier})
        try:
            return await update()
        except Exception as error:  # noqa: BLE001  # nobody may await this task: the log has to hear of it
            self._log.add("error", "suit", f"update failed: {type(error).__name__}: {error}")
            return None

    def _changed(self) -> None:
        if self._installer.authenticated and self._starter is not None:
            self._starter.signed = True
        self._since_ms = self._clock.now_us() // 1000
        self.on_change()

    def _admit(self, source: str) -> None:
        """Hold a source to its rate."""
        if self._too_soon(source):
            raise _busy("one update a second from one address", retry_after_s=1)
        self._note_start(source)

    def _too_soon(self, source: str) -> bool:
        last = self._started.get(source)
        return last is not None and self._now() - last.at < PER_SOURCE_S

    def _note_start(self, source: str) -> None:
        self._starter = self._started[source] = _Start(self._now())
        self._started.move_to_end(source)
        if len(self._started) > _REMEMBERED:
            self._started.popitem(last=False)


def refusal(ended: Progress) -> SuitError:
    """An update that was refused, as the error of its class."""
    return refuse(
        Refusal[ended.result or Refusal.STORAGE.name],
        ended.detail or "",
        where=ended.where or "",
        hint=ended.hint or "",
        extra={"findings": ended.findings} if ended.findings else {},
    )


def _busy(detail: str, *, retry_after_s: int = BUSY_RETRY_S) -> Unavailable:
    hint = Refusal.BUSY.advice
    return Unavailable(detail, code=Refusal.BUSY.name, retry_after_s=retry_after_s, hint=hint)
