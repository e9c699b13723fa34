"""Keeps a device in the directory of its file server (RFC 9176, network.md "The directory").

aiocoap's `Registerer` cannot be made to do this from outside: it waits without a deadline for a server that
acknowledges and then says nothing, gives up for good after its first network error, notices a failed renewal
later than the lifetime that we ask for, and reports with tracebacks. So this is a client of our own for the
three requests that there are, and one loop that never ends by itself: register, renew, and when anything
fails register anew after a pause of 1 to 30 seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiocoap import Code, Message

from device.errors import MicroBpfError, RemoteError, TransportError
from device.transport import (
    LAN,
    Authority,
    CoapContext,
    Timing,
    Url,
    expect_success,
    parse_url,
    request,
    source_address,
)

LIFETIME_S: Final = 60
PAUSE_S: Final = (1.0, 30.0)
"""Shortest and longest pause before another try; it doubles in between."""

REQUEST_S: Final = 10.0
WITHDRAW_S: Final = 2.0
_RENEWALS_PER_LIFETIME: Final = 2.5
_LINK_FORMAT: Final = 40
_DIRECTORY: Final = ("resourcedirectory", "")

Log = Callable[[str, str], None]
"""Takes a level (`info`, `warning`) and one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a device says of itself in the directory.

    `server` is the file-server URL that it was given, and is registered as `srv`. `base` is the device's own
    URL; without one it is the address from which packets to the server leave, with `port`.
    """

    name: str
    board: str
    slots: int
    server: str
    port: int
    base: str | None = None
    lifetime_s: int = LIFETIME_S

    def parameters(self, base: str) -> tuple[str, ...]:
        """The registration's query (RFC 9176 section 5)."""
        return (
            f"ep={self.name}",
            f"lt={self.lifetime_s}",
            f"base={base}",
            "et=micro-bpf",
            f"board={self.board}",
            f"slots={self.slots}",
            f"srv={self.server}",
        )


class Registration:
    """One device's registration, from `start` to `stop`.

    `links` gives the device's resources as link-format. `sleep` and `chance` (0 to 1) are passed in by
    tests. Nothing is raised once it runs; `registered` says how things are and `log` when they change.
    """

    def __init__(
        self,
        context: CoapContext,
        entry: Entry,
        *,
        links: Callable[[], str],
        log: Log,
        timing: Timing = LAN,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.entry = entry
        self.registered = False
        self._context = context
        self._server: Url = parse_url(entry.server)
        self._links = links
        self._log = log
        self._timing = timing
        self._sleep = sleep
        self._chance = chance
        self._location: tuple[str, ...] | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_failure = ""

    def start(self) -> None:
        """Begin to register, in the background."""
        self._task = asyncio.create_task(self._keep(), name=f"registration of {self.entry.name}")

    async def stop(self) -> None:
        """Withdraw from the directory, for at most two seconds."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._location is None:
            return
        location, self._location, self.registered = self._location, None, False
        try:
            await self._ask(Url(self._server.authority, location), Code.DELETE, timeout_s=WITHDRAW_S)
            self._log("info", f"withdrew from {self.entry.server}")
        except MicroBpfError as error:
            self._log("warning", f"could not withdraw from {self.entry.server}: {error.detail}")

    async def _keep(self) -> None:
        pause = PAUSE_S[0]
        while True:
            try:
                await self._register()
                pause = PAUSE_S[0]
                while True:
                    await self._sleep(self._spread(self.entry.lifetime_s / _RENEWALS_PER_LIFETIME))
                    await self._renew()
            except _Forgotten:
                self._log("info", f"{self.entry.server} has forgotten this device")
            except MicroBpfError as error:
                self._failed(error, pause)
                await self._sleep(self._spread(pause))
                pause = min(pause * 2, PAUSE_S[1])

    async def _register(self) -> None:
        target = Url(self._server.authority, _DIRECTORY, self.entry.parameters(await self._base()))
        answer = await self._ask(
            target, Code.POST, payload=self._links().encode(), content_format=_LINK_FORMAT
        )
        if not answer.opt.location_path:
            raise TransportError("the directory named no location", code="protocol")
        self._location = tuple(answer.opt.location_path)
        self.registered = True
        self._last_failure = ""
        self._log("info", f"registered as {self.entry.name} at {self.entry.server}")

    async def _renew(self) -> None:
        assert self._location is not None  # noqa: S101  # set by _register, which always comes before
        try:
            await self._ask(Url(self._server.authority, self._location), Code.POST)
        except RemoteError as error:
            self._location, self.registered = None, False
            if error.status == Code.NOT_FOUND.dotted:
                raise _Forgotten from error
            raise

    async def _base(self) -> str:
        """Where this device can be reached, as far as it knows."""
        if self.entry.base is not None:
            return self.entry.base
        address = await asyncio.to_thread(source_address, self._server.authority)
        return Authority(address, self.entry.port).url

    async def _ask(
        self,
        target: Url,
        code: Code,
        *,
        payload: bytes = b"",
        content_format: int | None = None,
        timeout_s: float = REQUEST_S,
    ) -> Message:
        message = target.message(code, payload, content_format=content_format)
        answer = await request(self._context, message, timeout_s=timeout_s, timing=self._timing)
        return expect_success(answer)

    def _failed(self, error: MicroBpfError, pause: float) -> None:
        """Say what failed, once for each reason in a row: a server may be away for days."""
        self.registered = False
        reason = f"{error.detail} ({error.hint})" if error.hint else error.detail
        if reason != self._last_failure:
            self._log(
                "warning", f"not registered at {self.entry.server}: {reason}; trying again in {pause:g} s"
            )
        self._last_failure = reason

    def _spread(self, seconds: float) -> float:
        """Up to a tenth less or more, so that a fleet does not answer a restart in step."""
        return seconds * (0.9 + 0.2 * self._chance())


class _Forgotten(Exception):
    """The directory answered 4.04 to a renewal: it was started anew."""
