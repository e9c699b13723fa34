"""Making one device fetch one manifest, and learning what became of it.

A device answers a trigger before the update runs, so success is what `/slots/{n}` shows afterwards: the
digest and the sequence number that were signed, and nothing else (suit.md section 7). Until the deadline no
single answer that is lost ends it: whether a trigger arrived is seen in what the device does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from client.manifest import Signed
from client.remote import RemoteDevice
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.api import UpdateStatus
from device.errors import RemoteError, TransportError
from device.suit.refusals import Refusal

T = TypeVar("T")

OVERTAKEN: Final = "overtaken"
MISSED: Final = "missed"
_BUSY: Final = "5.03"
_NOT_FOUND: Final = "4.04"
_HOLDING: Final = frozenset({"queued", "running", "sleeping"})
_TIMEOUT: Final = "timeout"
_FIRST_POLL_S: Final = 0.006
_LAST_POLL_S: Final = 0.15
_POLL_GROWTH: Final = 1.3
_START_GRACE_S: Final = 1.0
_LONGEST_WAIT_S: Final = 10


@dataclass(frozen=True, slots=True)
class Pull:
    """How to wait: until `deadline` on monotonic's scale, telling of steps and notes on the way.

    With `stop` jobs that hold the slot are ended.
    """

    deadline: float
    stop: bool = False
    on_step: OnStep = ignore_step
    on_note: Note = ignore_note
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = field(default=monotonic)

    def remaining(self) -> float:
        """Seconds left."""
        return self.deadline - self.clock()


async def pull(device: RemoteDevice, release: Signed, how: Pull) -> None:
    """Have `device` install `release`, and return when it is in the slot.

    Raises RemoteError with the refusal's class, `overtaken` when a later update is in the slot in the end,
    `missed` when this one never came into it and nobody says why; TransportError when the device falls silent
    or the deadline passes.
    """
    name = device.target.name
    status = await _one_update(device, release, how)
    while status and how.remaining() > 0 and await _is_free_now(device, release, status, how):
        status = await _one_update(device, release, how)
    if status is not None and status.result != "OK":
        raise refusal(status)
    with timed(how.on_step, "confirm", name) as step:
        for number, digest in release.digests.items():
            slot = await _patiently(partial(device.slot, number), how)
            if slot.digest != digest or slot.sequence_number != release.sequence_number:
                later = status is not None or (slot.sequence_number or 0) > release.sequence_number
                raise (overtaken if later else _missed)(device, release, number)
        step.detail = f"tag {release.tag}, sequence number {release.sequence_number}"


async def _is_free_now(device: RemoteDevice, release: Signed, status: UpdateStatus, how: Pull) -> bool:
    """Whether the same manifest may be taken now: what refused it has passed, or was ended here."""
    name = device.target.name
    if status.result == Refusal.BUSY.name:
        how.on_note(f"{name} gave way to another update, asking again")
        return True
    if status.result != Refusal.SLOT_BUSY.name or not how.stop:
        return False
    for job in (await device.jobs()).items:
        if job.slot in release.digests and job.state in _HOLDING:
            how.on_note(f"ending job {job.id} of {name}, which holds slot {job.slot}")
            await _ended(device, job.id)
    return True


async def _ended(device: RemoteDevice, number: int) -> None:
    """End a job; one that has ended meanwhile, and was forgotten, is fine."""
    try:
        await device.end_job(number)
    except RemoteError as error:
        if error.status != _NOT_FOUND:
            raise


async def _one_update(device: RemoteDevice, release: Signed, how: Pull) -> UpdateStatus | None:
    """Ask for the update and wait for its end; as `outcome`."""
    name = device.target.name
    with timed(how.on_step, "trigger", name) as step:
        url = await _trigger(device, release, how)
        step.detail = url or "posted the manifest itself"
    with timed(how.on_step, "install", name) as step:
        status = await outcome(device, url, how)
        slots, size = " ".join(map(str, release.digests)), release.size
        step.detail, step.size = f"slot{'s' if release.also else ''} {slots}", size
    return status


async def _trigger(device: RemoteDevice, release: Signed, how: Pull) -> str | None:
    """Trigger; a device that is busy is waited for as long as it asks, until the deadline.

    One that is busy still is given the manifest itself, which does not wait for fetches that anybody may have
    started (suit.md section 11). Returns the URL under which its status has the update: None for a manifest
    that was posted.
    """
    busy = 0
    while True:
        try:
            await device.trigger(release.manifest_url)
        except TransportError as error:
            if error.code != _TIMEOUT or how.remaining() <= 0:
                raise
            return release.manifest_url  # it may have arrived: its status tells
        except RemoteError as error:
            wait = busy_for(error)
            busy += 1
            if wait is not None and busy > 1 and await _posted(device, release):
                return None
            if wait is None or wait > how.remaining():
                raise
            if busy == 1:
                how.on_note(f"{device.target.name} is busy ({error.detail}), waiting for it")
            await how.sleep(wait)
        else:
            return release.manifest_url


async def _posted(device: RemoteDevice, release: Signed) -> bool:
    """Post the manifest. False where the device does not take it now, or has no resource for it."""
    try:
        await device.post_manifest(release.envelope)
    except RemoteError:
        return False
    except TransportError as error:
        if error.code != _TIMEOUT:
            raise
    return True


async def _patiently(ask: Callable[[], Awaitable[T]], how: Pull) -> T:
    """What a device answers; asked again where an answer does not come, until the deadline."""
    while True:
        try:
            return await ask()
        except TransportError as error:
            if error.code != _TIMEOUT or how.remaining() <= 0:
                raise
            await how.sleep(_LAST_POLL_S)


def busy_for(error: RemoteError) -> float | None:
    """Seconds after which a busy device wants to be asked again; None when it refused for another reason."""
    if error.status != _BUSY:
        return None
    asked = error.extra.get("retry_after_s", 1)
    return min(max(float(asked), 0.1), _LONGEST_WAIT_S)


async def outcome(device: RemoteDevice, url: str | None, how: Pull) -> UpdateStatus | None:
    """The final status of the update from `url`; None when the device's status tells of another one."""
    started = how.clock()
    wait = _FIRST_POLL_S
    seen = False
    while True:
        status = await _patiently(device.status, how)
        if status.url == url:
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


def _missed(device: RemoteDevice, release: Signed, slot: int) -> RemoteError:
    """The error of an update that never came into the slot, while the device tells of another one."""
    return RemoteError(
        f"sequence number {release.sequence_number} did not come into slot {slot}, and the device "
        "tells of another update already",
        status="4.09",
        code=MISSED,
        where=device.target.url(f"/slots/{slot}"),
        hint="deploy again",
    )


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


def overtaken(device: RemoteDevice, release: Signed, slot: int) -> RemoteError:
    """The error of an update after which the slot holds something else."""
    return RemoteError(
        f"slot {slot} does not hold what was signed (tag {release.digests[slot].hex()[:8]}, sequence number "
        f"{release.sequence_number}): another update came in between",
        status="4.09",
        code=OVERTAKEN,
        where=device.target.url(f"/slots/{slot}"),
        hint="look with `client ps`, then deploy again",
    )
