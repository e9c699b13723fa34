"""Long-running programs: workers, and what is known of each job (api.md, "Native resources" and "Fairness").

    queued ──▶ running ◀──▶ sleeping
                  └──▶ finished, faulted, killed

A job has one of the device's workers until it ends, asleep or not; one client address has half of them at
most, and what it asks for beyond that waits. It runs while it has a turn of the process and the lock of its
slot, both of which it gives up while it sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

from device.api import JobInfo, JobState, hex64
from device.errors import NotFound, Unavailable
from device.execution.console import RunConsole
from device.execution.pool import RETRY_AFTER_S, Turns, on_thread
from device.execution.requests import not_run
from device.execution.run import Result, Surroundings, Work, perform
from device.execution.slot import Entry, Slot
from device.execution.turn import RunControl, Turn
from device.log import DeviceLog, Level
from device.vm.advice import describe
from device.vm.faults import FaultCode
from device.vm.ports import SleepingClock
from device.vm.program import Program

KEPT: Final = 64
"""Jobs that have ended of which a device still tells."""

WAITING: Final = 64
"""Jobs that may wait for a worker."""


class Job:
    """One long run. Everything but `console` changes on the loop's thread only."""

    def __init__(
        self, number: int, slot: Slot, work: Work, client: str, control: RunControl, boot: str
    ) -> None:
        self.number = number
        self.boot = boot
        self.slot = slot
        self.work = work
        self.client = client
        self.control = control
        self.state: JobState = "queued"
        self.worker: int | None = None
        self.started_ms: int | None = None
        self.result: Result | None = None
        self.console: RunConsole | None = None
        self.engine = work.wish.engine
        self.moved = asyncio.Event()
        self.ended = asyncio.Event()
        self.on_end: Callable[[], None] = lambda: None

    def began(self, engine: str) -> None:
        """A run of it begins, on this engine."""
        self.engine = engine

    def show(self, console: RunConsole) -> None:
        """A run of it begins, and prints here."""
        self.console = console

    @property
    def output(self) -> str:
        """What it has printed so far."""
        if self.result is not None:
            return self.result.output
        return self.console.text() if self.console else ""

    def info(self, *, whole: bool = True) -> JobInfo:
        """GET /jobs/{id}; in listings without what would make them long."""
        outcome = self.result.outcome if self.result else None
        r0 = outcome.r0 if outcome else None
        return JobInfo(
            id=self.number,
            slot=self.slot.number,
            engine=self.engine,
            state=self.state,
            worker=self.worker,
            started_ms=self.started_ms,
            instructions=outcome.instructions if outcome else None,
            runs=len(self.result.times_us) if self.result else None,
            r0=None if r0 is None else hex64(r0),
            r0_signed=outcome.r0_signed if outcome else None,
            fault=outcome.fault.to_map() if outcome and outcome.fault else None,
            context=self.result.context if self.result and whole else None,
            output=self.output if whole else None,
            helpers=tuple(self.work.allowed),
            boot=self.boot if whole else None,
        )


class Jobs:
    """The jobs of one device. To be used on the event loop's thread.

    `contended` says whether somebody waits for a slot or a turn, `count` takes note of what was run in a
    slot, `on_change` hears of jobs whose information has changed.
    """

    def __init__(
        self,
        device: Hashable,
        workers: int,
        turns: Turns,
        clock: SleepingClock,
        log: DeviceLog,
        contended: Callable[[], bool],
        on_change: Callable[[Job], None],
    ) -> None:
        self._device = device
        self._turns = turns
        self._clock = clock
        self._log = log
        self._contended = contended
        self._on_change = on_change
        self._numbers = count(1)
        self._jobs: dict[int, Job] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._workers: list[Job | None] = [None] * workers
        self._threads = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="job")

    @property
    def all(self) -> tuple[Job, ...]:
        """Those that have not ended, and the last of those that have."""
        return tuple(self._jobs.values())

    def forget(self, former: Program, left: Program) -> None:
        """Have jobs that have ended keep what is left of a program instead of it."""
        for job in self._jobs.values():
            if job.ended.is_set() and job.work.program is former:
                job.work = replace(job.work, program=left)

    @property
    def occupied(self) -> tuple[bool, ...]:
        """Which workers have a job, in the order of their numbers."""
        return tuple(job is not None for job in self._workers)

    def get(self, number: int) -> Job:
        """A job. Raises NotFound."""
        if number not in self._jobs:
            raise NotFound(f"there is no job {number}", hint=f"of ended ones the last {KEPT} are known")
        return self._jobs[number]

    def holding(self, slot: Slot) -> bool:
        """Whether a job that has not ended belongs to a slot."""
        return any(job.slot is slot and not job.ended.is_set() for job in self._jobs.values())

    def submit(
        self,
        slot: Slot,
        work: Work,
        client: str,
        control: RunControl,
        around: Callable[[Turn, Job], Surroundings],
    ) -> Job:
        """Begin a job, or have it wait for its client's share of the workers.

        Raises Unavailable when no worker is free, or too many wait.
        """
        if None not in self._workers:
            raise Unavailable(
                f"all {len(self._workers)} workers are busy", code="no-worker", retry_after_s=RETRY_AFTER_S
            )
        if sum(job.state == "queued" and job.worker is None for job in self._jobs.values()) >= WAITING:
            raise Unavailable("too many jobs are waiting on this device", retry_after_s=RETRY_AFTER_S)
        job = Job(next(self._numbers), slot, work, client, control, self._log.boot)
        control.on_kill = job.moved.set
        self._jobs[job.number] = job
        self._tasks[job.number] = asyncio.create_task(self._live(job, around))
        self._assign()
        self._on_change(job)
        return job

    async def end(self, number: int, reason: str = "operator") -> None:
        """Stop a job and wait until it has; one that has ended is forgotten. Raises NotFound."""
        job = self.get(number)
        if job.ended.is_set():
            del self._jobs[number]
            self._on_change(job)
            return
        job.control.kill(reason)
        await job.ended.wait()

    async def stop(self) -> None:
        """End all jobs, and let their threads go."""
        tasks = list(self._tasks.values())
        for job in self._jobs.values():
            job.control.kill("operator")
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # One job's life

    async def _live(self, job: Job, around: Callable[[Turn, Job], Surroundings]) -> None:
        try:
            result = await self._run(job, around)
        except Exception as error:  # noqa: BLE001  # a mistake of ours costs this job only, and is said
            self._log.add("error", f"job{job.number}", f"{type(error).__name__}: {error}")
            result = not_run(job.work, "internal error")
        finally:
            job.slot.leave(job.control)
            if job.worker is not None:
                self._workers[job.worker] = None
            self._tasks.pop(job.number, None)
            job.on_end()
            job.ended.set()
        job.slot.count(result)
        job.result = result
        fault = result.outcome.fault
        code = fault.code if fault else None
        job.state = "finished" if code is None else "killed" if code is FaultCode.KILLED else "faulted"
        self._report(job)
        if fault is not None:
            level: Level = "info" if code is FaultCode.KILLED else "warning"
            self._log.add(level, f"job{job.number}", describe(fault.to_map()))
        self._assign()
        self._forget()
        self._on_change(job)

    async def _run(self, job: Job, around: Callable[[Turn, Job], Surroundings]) -> Result:
        """Wait for a worker, then for turn and slot, and run."""
        control = job.control
        while job.worker is None and not control.stopped.is_set():
            await self._moved(job)
        entry = Entry(job.slot, control, newcomer=False)
        entry.claim()
        with self._turns.request(self._device, f"job{job.number}", entry, job.moved.set) as place:
            while not place.is_granted and not control.stopped.is_set():
                await self._moved(job)
            if control.stopped.is_set():
                return not_run(job.work, control.reason or "operator")
            turn = Turn(
                place, entry, self._turns, self._clock, control, self._contended, partial(self._slept, job)
            )
            control.on_check = turn.share
            job.started_ms = self._clock.now_us() // 1000
            self._slept(job, False)
            try:
                return await on_thread(
                    self._threads,
                    partial(perform, job.work, around(turn, job), control),
                    partial(control.kill, "operator"),
                )
            finally:
                turn.end()

    async def _moved(self, job: Job) -> None:
        job.moved.clear()
        await job.moved.wait()

    def _slept(self, job: Job, asleep: bool) -> None:
        job.state = "sleeping" if asleep else "running"
        self._on_change(job)

    def _report(self, job: Job) -> None:
        """How a job ended is said in the log, as nobody may be waiting for it."""
        outcome = job.result.outcome if job.result else None
        if outcome is None or outcome.fault is None:
            said = "nothing" if outcome is None else str(outcome.r0_signed)
            self._log.add("info", f"slot{job.slot.number}", f"job {job.number} finished: {said}")
        else:
            text = f"job {job.number}: {describe(outcome.fault.to_map())}"
            self._log.add("warning", f"slot{job.slot.number}", text)

    # Workers

    def _assign(self) -> None:
        """Give free workers, the highest first, to jobs that wait and whose client has less than its half."""
        share = max(len(self._workers) // 2, 1)
        for job in self._jobs.values():
            if job.worker is not None or job.ended.is_set() or None not in self._workers:
                continue
            if sum(other is not None and other.client == job.client for other in self._workers) < share:
                job.worker = max(number for number, taken in enumerate(self._workers) if taken is None)
                self._workers[job.worker] = job
                job.moved.set()

    def _forget(self) -> None:
        ended = [number for number, job in self._jobs.items() if job.ended.is_set()]
        for number in ended[: max(len(ended) - KEPT, 0)]:
            with suppress(KeyError):
                del self._jobs[number]
