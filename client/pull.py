"""Making one device fetch one manifest, and learning what became of it.

A device answers a trigger before the update runs, so success is what `/slots/{n}` shows afterwards: the
digest and the sequence number that were signed, and nothing else (suit.md section 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from client.manifest import Signed
from client.remote import RemoteDevice
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.api import UpdateStatus
from device.errors import RemoteError, TransportError
from device.suit.refusals import Refusal

OVERTAKEN: Final = "overtaken"
_BUSY: Final = "5.03"
_FIRST_POLL_S: Final = 0.006
_LAST_POLL_S: Final = 0.15
_POLL_GROWTH: Final = 1.3
_START_GRACE_S: Final = 1.0
_LONGEST_WAIT_S: Final = 10


@dataclass(frozen=True, slots=True)
class Pull:
    """How to wait: until `deadline` on monotonic's scale, telling of steps and notes on the way."""

    deadline: float
    on_step: OnStep = ignore_step
    on_note: Note = ignore_note
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = field(default=monotonic)

    def remaining(self) -> float:
        """Seconds left."""
        return self.deadline - self.clock()


async def pull(device: RemoteDevice, release: Signed, how: Pull) -> None:
    """Have `device` install `release`, and return when it is in the slot.

    Raises RemoteError with the refusal's class, or `overtaken` when the slot holds something else in the
    end; TransportError when the device falls silent or the deadline passes.
    """
    name = device.target.name
    with timed(how.on_step, "trigger", name) as step:
        await _trigger(device, release.manifest_url, how)
        step.detail = release.manifest_url
    with timed(how.on_step, "install", name) as step:
        status = await _outcome(device, release, how)
        step.detail, step.size = f"slot {release.slot}", len(release.image)
    if status is not None and status.result != "OK":
        raise refusal(status)
    with timed(how.on_step, "confirm", name) as step:
        if not await holds(device, release):
            raise overtaken(device, release)
        step.detail = f"tag {release.tag}, sequence number {release.sequence_number}"


async def holds(device: RemoteDevice, release: Signed) -> bool:
    """Whether the slot shows the digest and the sequence number that were signed."""
    slot = await device.slot(release.slot)
    return slot.digest == release.digest and slot.sequence_number == release.sequence_number


async def _trigger(device: RemoteDevice, url: str, how: Pull) -> None:
    """Trigger; a device that is busy is waited for as long as it asks, until the deadline."""
    told = False
    while True:
        try:
            await device.trigger(url)
        except RemoteError as error:
            wait = _busy_for(error)
            if wait is None or wait > how.remaining():
                raise
            if not told:
                how.on_note(f"{device.target.name} is busy ({error.detail}), waiting for it")
                told = True
            await how.sleep(wait)
        else:
            return


def _busy_for(error: RemoteError) -> float | None:
    if error.status != _BUSY:
        return None
    asked = error.extra.get("retry_after_s", 1)
    return min(max(float(asked), 0.1), _LONGEST_WAIT_S)


async def _outcome(device: RemoteDevice, release: Signed, how: Pull) -> UpdateStatus | None:
    """The final status of this update; None when the device's status tells of a later one already."""
    started = how.clock()
    wait = _FIRST_POLL_S
    seen = False
    while True:
        status = await device.status()
        if status.url == release.manifest_url:
            seen = True
            if status.state == "idle" and status.result is not None:
                return status
        elif seen or how.clock() - started > _START_GRACE_S:
            return None
        if how.remaining() <= 0:
            raise TransportError(
                f"the update did not end in time; it is at {status.state}",
                code="timeout",
                where=device.target.base,
                hint="look at `client logs`; a longer --timeout may help",
            )
        await how.sleep(wait)
        wait = min(wait * _POLL_GROWTH, _LAST_POLL_S)


def refusal(status: UpdateStatus) -> RemoteError:
    """A refused update as an error, with the class's CoAP code (suit.md section 10)."""
    code = status.result or "unknown"
    known = Refusal.__members__.get(code)
    extra: dict[str, Any] = {"riot_code": status.riot_code, "report_reason": status.report_reason}
    if status.findings:
        extra["findings"] = list(status.findings)
    return RemoteError(
        status.detail or f"the update was refused: {code}",
        status=known.coap if known is not None else "5.00",
        title="Update refused",
        code=code,
        where=status.where or "",
        hint=status.hint or "",
        extra=extra,
    )


def overtaken(device: RemoteDevice, release: Signed) -> RemoteError:
    """The error of an update after which the slot holds something else."""
    return RemoteError(
        f"slot {release.slot} does not hold what was signed (tag {release.tag}, sequence number "
        f"{release.sequence_number}): another update came in between",
        status="4.09",
        code=OVERTAKEN,
        where=device.target.url(f"/slots/{release.slot}"),
        hint="look with `client ps`, then deploy again",
    )
