"""Long-running programs as their operator sees them: begin, look, wait, kill (api.md, `/jobs`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from client.debuginfo import DebugFiles
from client.execution import explained
from client.remote import RemoteDevice
from client.steps import Note, ignore_note
from client.text import block, quoted, table, uptime
from device.api import JobInfo, JobList, JobRequest
from device.errors import RemoteError, TransportError

ENDED: Final = frozenset({"finished", "faulted", "killed"})
QUIET_S: Final = 5.0
"""Seconds without a notification after which a job is asked for: a datagram may have been lost."""

PATIENCE_S: Final = 60.0
"""Seconds for which a device that does not answer is waited for."""

_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of a device, those that have ended lately among them, at its time `uptime_ms`."""

    items: tuple[JobInfo, ...]
    uptime_ms: int

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return JobList(self.items).to_map()


@dataclass(frozen=True, slots=True)
class Killed:
    """Jobs that were stopped, by number."""

    jobs: tuple[int, ...]

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {"killed": list(self.jobs)}


async def begin(device: RemoteDevice, request: JobRequest) -> JobInfo:
    """Begin a job; what the device says of it. Raises RemoteError: 5.03 when no worker is free."""
    return await device.start_job(request)


async def listing(device: RemoteDevice) -> Jobs:
    """All jobs that the device knows of."""
    info = await device.info()
    return Jobs((await device.jobs()).items, info.uptime_ms)


async def kill(device: RemoteDevice, numbers: Sequence[int]) -> Killed:
    """Stop jobs; returns when they have stopped. Raises RemoteError (4.04) for one that is not known."""
    for number in numbers:
        await device.end_job(number)
    return Killed(tuple(numbers))


async def kill_matching(device: RemoteDevice, slot: int | None = None) -> Killed:
    """Stop all jobs that have not ended, or those of one slot.

    One that ends by itself meanwhile is no error.
    """
    stopped: list[int] = []
    for job in (await device.jobs()).items:
        if job.state in ENDED or slot not in (None, job.slot):
            continue
        try:
            await device.end_job(job.id)
        except RemoteError as error:
            if error.status != "4.04":
                raise
        else:
            stopped.append(job.id)
    return Killed(tuple(stopped))


async def wait(
    device: RemoteDevice,
    number: int,
    *,
    on_change: Callable[[JobInfo], None] = lambda _job: None,
    on_note: Note = ignore_note,
    quiet_s: float = QUIET_S,
    patience_s: float = PATIENCE_S,
) -> JobInfo:
    """The job at its end; `on_change` is told of every state before it.

    A device that goes away is waited for, `patience_s` at most. Raises RemoteError (4.04 for a job that is
    not known, `job-lost` for one that a restart of the device has ended), and TransportError.
    """
    begun = await device.job(number)
    heard = monotonic()
    job = begun
    while job.state not in ENDED:
        try:
            async with aclosing(_states(device, number, quiet_s)) as states:
                async for job in states:
                    heard = monotonic()
                    begun = _same(begun, job, device)
                    if job.state in ENDED:
                        break
                    on_change(job)
        except TransportError as error:
            if monotonic() - heard > patience_s:
                raise
            on_note(f"{device.target.name}: {error.detail}; trying again")
            await asyncio.sleep(_PAUSE_S)
        except RemoteError as error:
            raise _lost(begun, device) if error.status == "4.04" else error from error
    return await device.job(number)


async def _states(device: RemoteDevice, number: int, quiet_s: float) -> AsyncGenerator[JobInfo, None]:
    """The states of a job as they come; one that stays what it is for long is asked for, which ends this."""
    async with aclosing(device.follow_job(number)) as states:
        try:
            while True:
                async with asyncio.timeout(quiet_s):
                    job = await anext(states)
                yield job
        except (TimeoutError, StopAsyncIteration):
            yield await device.job(number)


def _same(begun: JobInfo, job: JobInfo, device: RemoteDevice) -> JobInfo:
    """The job, if it is the one that was waited for: numbers begin anew with a device."""
    expected = (begun.boot, begun.slot, begun.started_ms or job.started_ms)
    if (job.boot, job.slot, job.started_ms) != expected:
        raise _lost(begun, device)
    return job


def _lost(begun: JobInfo, device: RemoteDevice) -> RemoteError:
    return RemoteError(
        f"job {begun.id} of slot {begun.slot} is gone: {device.target.name} has restarted or forgotten it",
        status="4.04",
        code="job-lost",
        where=f"/jobs/{begun.id}",
        hint="begin it again: client exec --job",
    )


async def judged(device: RemoteDevice, job: JobInfo, debug: DebugFiles) -> JobInfo:
    """The job, if no fault ended it. Raises ProgramFault, with the source line where the operator has it."""
    if job.state != "faulted":
        return job
    raise await explained(device, job.slot, job.fault or {}, job.to_map(), debug)


# For people


def listing_lines(jobs: Jobs) -> list[str]:
    """The table of `client jobs`."""
    if not jobs.items:
        return ["no jobs"]
    rows = [
        (
            job.id,
            job.slot,
            job.state,
            job.engine,
            job.worker,
            None if job.started_ms is None else uptime(max(0, jobs.uptime_ms - job.started_ms)),
            job.instructions,
            ending(job),
        )
        for job in jobs.items
    ]
    header = ("ID", "SLOT", "STATE", "ENGINE", "WORKER", "SINCE", "INSTRUCTIONS", "END")
    return table(header, rows)


def ending(job: JobInfo) -> str | None:
    """How a job ended, in a word."""
    if job.fault:
        return str(job.fault.get("code") or "fault")
    return None if job.r0_signed is None else str(job.r0_signed)


def job_lines(job: JobInfo) -> Iterator[str]:
    """GET /jobs/{id} as a block, with what it has printed."""
    fault = job.fault or {}
    yield from block(
        {
            "job": job.id,
            "slot": job.slot,
            "state": job.state,
            "engine": job.engine,
            "worker": job.worker,
            "instructions": job.instructions,
            "result": None if job.r0 is None else f"{job.r0_signed}  ({job.r0})",
            "ended by": fault.get("detail") or fault.get("code"),
        }
    )
    if job.output:
        yield "output"
        yield from quoted(job.output)


def killed_lines(killed: Killed) -> list[str]:
    """What `client kill` has done."""
    if not killed.jobs:
        return ["no job to stop"]
    return [f"job {number} has stopped" for number in killed.jobs]
