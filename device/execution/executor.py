"""Runs the programs of one device's slots, and swaps them when an update commits.

    execute ──▶ place in the pool and in the slot ──▶ runs on a thread ──▶ answer
    replace ──▶ slots closed ──▶ runs end (1 s, then killed) ──▶ commit ──▶ new programs ──▶ slots open

It is the `ProgramHost` that the SUIT installer is given: `check` decides before a commit whether an image may
run, so that a ready slot always holds a program that may.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final

from device.api import ExecAnswer, ExecRequest, JitAction, JobInfo, JobRequest, SlotInfo, SlotState
from device.engines import ENGINES, CompilingEngine, select
from device.engines.policy import JIT
from device.engines.runner import Runner
from device.errors import Conflict, MicroBpfError, NotFound, Unavailable, Unprocessable
from device.execution.access import Access
from device.execution.console import RunLog
from device.execution.grants import Grant, RunLimits
from device.execution.jobs import Job, Jobs
from device.execution.machines import MachineGate
from device.execution.pool import OPEN, RETRY_AFTER_S, Place, ShortRunPool, ended
from device.execution.programs import Checker, Prepared
from device.execution.requests import Done, Order, Spent, Terms, not_run
from device.execution.run import Result, Surroundings, Work, perform
from device.execution.slot import Entry, Slot, slot_empty
from device.execution.turn import RunControl, Turn
from device.log import DeviceLog
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.suit.capabilities import Capabilities, Maximum, decode
from device.vm.helpers import BareBoard
from device.vm.ports import Board, SleepingClock
from device.vm.profiles import UBPF, Profile
from device.vm.program import Engine, Layout, build_memory

REPLACE_GRACE_S: Final = 1.0
"""How long an update lets the runs of its slot end by themselves (suit.md section 6)."""

OPENING_S: Final = 10.0
"""Seconds that a job waits for a commit to its slot, which takes a few at most."""

_SAYABLE: Final = 10**6
"""From here on a number is not repeated: CBOR has some that Python does not print."""

MACHINE_S: Final = 3.0
"""Seconds that a short run which insists on compiled code waits for a machine."""


class Executor:
    """The programs of one device. Everything is to be called on the event loop's thread.

    `on_change` hears the number of a slot whose information is no longer what it was.
    """

    def __init__(
        self,
        images: SlotTable,
        shared: MemoryStore,
        pool: ShortRunPool,
        log: DeviceLog,
        clock: SleepingClock,
        *,
        slots: int,
        workers: int = 4,
        board: Board | None = None,
        limits: RunLimits | None = None,
        profile: Profile = UBPF,
        helpers: Collection[int] | None = None,
        engines: Mapping[str, Engine] = ENGINES,
        on_change: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.checker = Checker(limits or RunLimits(), profile, helpers)
        self.engines = engines
        self.on_change = on_change
        self.on_job: Callable[[int], None] = lambda _number: None
        self._board = board or BareBoard()
        self._images = images
        self._shared = shared
        self._pool = pool
        self._log = log
        self._clock = clock
        self._slots = [
            Slot(n, MemoryStore(self._grant(n, images.get(n)).store), engines) for n in range(slots)
        ]
        for slot in self._slots:
            slot.on_free = self._freed
        self._jobs = Jobs(self, workers, pool.long, clock, log, self._contended, self._job_changed)
        self._changing = asyncio.Lock()
        self._stopped = False

    # What peers ask

    async def execute(
        self, number: int, request: ExecRequest, client: str, access: Access | None = None
    ) -> ExecAnswer:
        """Run the program of a slot; a fault is an answer, waiting and all repeats count against the timeout.

        `access` is what µBPF's requests say of helpers. Raises NotFound, Conflict (slot empty), TooLarge,
        Unprocessable (`helper-denied`), MalformedRequest (`engine-unavailable`), Unavailable (no place in
        the pool). When it is cancelled the run is killed.
        """
        return (await self.run(number, request, client, Terms(access))).answer()

    async def run(self, number: int, request: ExecRequest, client: str, terms: Terms) -> Done:
        """The same with all that can be said of a run, and with all that came of it."""
        slot = self._slot(number)
        deadline = monotonic() + request.timeout_ms / 1000
        order = self._order(slot, request, terms)
        await self._load_stored(slot, order.spent)
        prepared = self._loaded(slot, order.spent)
        work = order.work(prepared, _runner(slot))
        control = RunControl(deadline)
        entry = Entry(slot, control)
        gate = await self._machine_gate(entry, order)
        try:
            with self._pool.request(self, client, gate or entry) as place:
                if gate is not None:
                    await self._machine(gate, place, deadline)
                if not await place.ready(deadline):
                    return Done(order, work, not_run(work, "deadline"), self._size(slot))
                if slot.prepared is not prepared:  # another program came while this one waited
                    work = order.work(self._loaded(slot, order.spent), _runner(slot))
                result = await self._on_thread(order, work, entry, place, gate)
                slot.count(result)
        finally:
            slot.leave(control)
            if gate is not None:
                gate.release()
                self._dispatch()
        self._compared(slot, result)
        return Done(order, work, result, self._size(slot))

    async def _machine_gate(self, entry: Entry, order: Order) -> MachineGate | None:
        """The gate of a run that insists on compiled code; None for others."""
        engine = self.engines.get(JIT)
        if not order.wish.compiles or not isinstance(engine, CompilingEngine):
            return None
        if engine.loaded is None:
            await asyncio.to_thread(engine.load)
        return MachineGate(entry, engine.native.machines)

    async def _machine(self, gate: MachineGate, place: Place, deadline: float) -> None:
        """Wait for a machine as long as one may. Raises Unavailable `no-machine`."""
        if not await place.ready(min(deadline, monotonic() + MACHINE_S)) and gate.lacking:
            raise Unavailable(
                "all machines for compiled code are busy",
                code="no-machine",
                hint="leave the engine out: the interpreter runs it meanwhile",
                retry_after_s=RETRY_AFTER_S,
            )

    def _compared(self, slot: Slot, result: Result) -> None:
        """A difference between compiled code and the interpreter is a bug of ours: it is said."""
        compared = result.ran.compared if result.ran else None
        if compared is not None and compared.equal is False:
            text = f"compiled code differs and is in quarantine: {compared.difference}"
            self._log.add("error", _source(slot), text)

    async def _on_thread(
        self, order: Order, work: Work, entry: Entry, place: Place, gate: MachineGate | None
    ) -> Result:
        """Run for a place that was granted. Asleep it keeps its thread, and only its slot is free."""
        slot, control, returns = entry.slot, entry.control, self._pool.returns
        back = Entry(slot, control, newcomer=False)
        place.gate = OPEN
        turn = Turn(
            returns.adopt(self, place.client, back), back, returns, self._clock, control, self._contended
        )
        alarm = asyncio.get_running_loop().call_at(control.deadline or 0, control.kill, "deadline")
        self.on_change(slot.number)
        around = self._around(slot, order, turn)
        if gate is not None:
            around = replace(around, claim=gate.claim)
        try:
            return await self._pool.run(
                partial(perform, work, around, control),
                partial(control.kill, "operator"),
            )
        finally:
            alarm.cancel()
            turn.end()
            self.on_change(slot.number)

    async def start_job(self, request: JobRequest, client: str, terms: Terms | None = None) -> Job:
        """Begin a long run. Its helper list is fixed now, and its slot keeps its program until it ends.

        Raises what `execute` does, Unavailable (`no-worker`) when no worker is free.
        """
        slot = self._slot(request.slot)
        order = self._order(slot, request.run, terms or Terms(), long=True)
        await self._load_stored(slot, order.spent)
        await self._opened(slot)
        work = order.work(self._loaded(slot, order.spent), _runner(slot))
        control = RunControl(monotonic() + request.run.timeout_ms / 1000 if request.limited else None)
        job = self._jobs.submit(
            slot, work, client, control, lambda turn, job: self._around(slot, order, turn, job)
        )
        if control.deadline is not None:
            alarm = asyncio.get_running_loop().call_at(control.deadline, control.kill, "deadline")
            job.on_end = alarm.cancel
        self.on_change(slot.number)
        return job

    async def _opened(self, slot: Slot) -> None:
        """Wait for the commit that holds a slot. Raises Unavailable when it takes too long, or for ever."""
        try:
            async with asyncio.timeout(0 if self._stopped else OPENING_S):
                await slot.opened()
        except TimeoutError:
            raise Unavailable(f"slot {slot.number} takes no runs now", code="slot-closed") from None

    def require_runnable(self, number: int, engine: str) -> None:
        """Look whether a slot could be run by an engine now; `load_stored` has to have been there before.

        Raises NotFound, Conflict (slot empty), MalformedRequest (`engine-unavailable`), why the stored image
        is refused, Unprocessable for a program that must not be compiled.
        """
        select(engine, self.engines)
        self._loaded(self._slot(number), Spent()).grant.require_engine(engine)

    async def measured(self, number: int) -> Prepared:
        """The program of a slot, loaded and verified once more for the times that this takes.

        Raises NotFound, Conflict (slot empty), and what `check` does.
        """
        self._slot(number)
        image = self._images.get(number)
        if image is None:
            raise slot_empty(number)
        return await self.check(number, image.image, _capabilities(image))

    def jobs(self) -> tuple[JobInfo, ...]:
        """GET /jobs."""
        return tuple(job.info(whole=False) for job in self._jobs.all)

    def job(self, number: int) -> JobInfo:
        """GET /jobs/{id}. Raises NotFound."""
        return self._jobs.get(number).info()

    async def end_job(self, number: int) -> None:
        """DELETE /jobs/{id}: stop it, and be back when it has; one that has ended is forgotten."""
        await self._jobs.end(number)

    @property
    def workers(self) -> tuple[bool, ...]:
        """Which workers have a job."""
        return self._jobs.occupied

    async def load_stored(self, *numbers: int) -> None:
        """Load the stored programs that nobody has needed since the start, of these slots, or of all.

        `slot_info` would do so itself, but on the event loop. Raises NotFound.
        """
        for slot in map(self._slot, numbers) if numbers else self._slots:
            await self._load_stored(slot, Spent())

    def slot_info(self, number: int, *, fetching: bool = False) -> SlotInfo:
        """What GET /slots/{n} says; `fetching` when an update for the slot is under way. Raises NotFound."""
        slot = self._slot(number)
        image = self._images.get(number)
        state: SlotState = "running" if slot.running else "fetching" if fetching else "ready"
        if image is None:
            return SlotInfo(slot=number, state="fetching" if fetching else "free")
        prepared = self._loaded_or_none(slot)
        return SlotInfo(
            slot=number,
            state=state,
            name=image.name,
            digest=image.digest,
            tag=image.digest.hex()[:8],
            size=len(image.image),
            layout=prepared.program.layout.name.lower() if prepared else None,
            profile=self._grant(number, image).profile.name,
            sequence_number=image.sequence_number,
            helpers=tuple(sorted(prepared.calls)) if prepared else (),
            metadata_helpers=_sorted(prepared.program.declared_helpers) if prepared else None,
            capabilities=None if image.capabilities is None else _capabilities(image).to_map(),
            bytecode="present",
            runs=slot.runs,
            faults=slot.faults,
            last_fault=slot.last_fault,
            mean_us=slot.mean_us,
            jit=slot.runner.figures() if slot.runner else None,
        )

    async def change_code(self, number: int, action: JitAction) -> None:
        """Compile the program of a slot anew, or drop its compiled code.

        Raises NotFound, Conflict (slot empty, code in quarantine, bytecode that is needed), Unprocessable for
        a program that may not or cannot be compiled.
        """
        slot = self._slot(number)
        await self._load_stored(slot, Spent())
        prepared = self._loaded(slot, Spent())
        if action == "discard-bytecode":
            raise Conflict(
                "the bytecode cannot be discarded: where a check fails, the budget ends or a program sleeps,"
                " runs go on in the interpreter, which reads it",
                code="bytecode-needed",
                where="action",
                hint="drop frees the compiled code instead",
            )
        runner = _runner(slot)
        if action == "drop":
            runner.code.drop()
        else:
            prepared.grant.require_engine(JIT)
            memory = build_memory(
                prepared.program, slot.data, rodata=slot.rodata, frame_size=prepared.grant.stack
            )
            await asyncio.to_thread(runner.compile, memory)
        self.on_change(number)

    def local_store(self, number: int) -> MemoryStore:
        """The local store of a slot. Raises NotFound."""
        return self._slot(number).local

    async def undeploy(self, number: int) -> None:
        """Remove program, local store and counters; runs in the slot get the same grace as for an update.

        Raises Conflict while a job belongs to the slot.
        """
        slot = self._slot(number)
        if self._jobs.holding(slot):
            raise Conflict(f"a job runs in slot {number}", code="slot-in-use", hint="end the job first")
        await self._swap({slot: None}, partial(self._images.clear, number), "operator")

    async def stop(self) -> None:
        """Kill all runs and let none begin any more."""
        self._stopped = True
        for slot in self._slots:
            slot.closed = True
        await self._jobs.stop()
        for slot in self._slots:
            await slot.drain(0, "operator")

    # ProgramHost, for the SUIT installer

    async def check(
        self,
        slot: int,
        image: bytes,
        capabilities: Capabilities | None = None,
        access: Access | None = None,
        declared: Layout | None = None,
    ) -> Prepared:
        """Link and verify an image and check its helper calls, on a thread.

        `capabilities` are those of the signed manifest; `access` is what the pull says of
        helpers, and `declared` of the layout. Raises NotFound, LoadError, VerifyError with all findings,
        Unprocessable `helper-denied`.
        Nothing but the answer comes of it, so one that is cancelled leaves nothing behind.
        """
        self._slot(slot)
        try:
            return await asyncio.to_thread(self.checker.check, slot, image, capabilities, access, declared)
        except Unprocessable as error:
            for finding in error.extra.get("findings", ()):
                text = f"{finding['message']}: not in {finding['lists']}"
                self._log.add("warning", f"slot{slot}", text)
            raise

    @property
    def maximum(self) -> Maximum:
        """What an update may grant its programs at most."""
        return self.checker.grants.maximum

    def held(self, slot: int) -> bool:
        """Whether a job keeps the slot from being replaced; short runs never do."""
        return self._jobs.holding(self._slot(slot))

    async def replace(self, prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        """Close the slots, let their runs end, commit, and make the prepared programs current.

        When `commit` raises, or this is cancelled before it, everything is as it was.
        """
        programs = {self._slot(number): _prepared(value) for number, value in prepared.items()}
        await self._swap(programs, commit, "replaced")

    async def _swap(
        self, programs: Mapping[Slot, Prepared | None], commit: Callable[[], None], reason: str
    ) -> None:
        async with self._changing:
            try:
                for slot in programs:
                    slot.closed = True
                await asyncio.gather(*(slot.drain(REPLACE_GRACE_S, reason) for slot in programs))
                async with _uninterrupted(commit):
                    former = [slot.runner for slot in programs if slot.runner]
                    for slot, program in programs.items():
                        slot.load(program)
                        slot.local.clear()
                        slot.local.capacity = (program.grant if program else self._grant(slot.number)).store
            finally:
                for slot in programs:
                    slot.closed = False
                self._dispatch()
        self._drop_code(former)
        for slot in programs:
            self.on_change(slot.number)

    def _drop_code(self, former: Collection[Runner]) -> None:
        """Free the code of programs that are gone, unless another slot has the same."""
        texts = {slot.prepared.program.text for slot in self._slots if slot.prepared}
        for runner in former:
            if runner.program.text not in texts:
                runner.code.drop()

    # Steps

    def _order(self, slot: Slot, request: ExecRequest, terms: Terms, *, long: bool = False) -> Order:
        select(request.engine, self.engines)
        lines = terms.lines or RunLog(self._log, _source(slot), self._clock.now_us)
        return Order.take(request, lines, terms, long=long)

    def _around(self, slot: Slot, order: Order, turn: Turn, job: Job | None = None) -> Surroundings:
        return Surroundings(
            data=slot.data,
            rodata=slot.rodata,
            local=slot.local,
            shared=self._shared,
            clock=self._clock,
            board=self._board,
            lines=order.lines,
            pause=turn.pause,
            show=job.show if job else lambda _console: None,
            began=job.began if job else lambda _engine: None,
        )

    def _contended(self) -> bool:
        """Whether somebody waits for anything that a run may hold; asked from their threads."""
        pool = self._pool
        return pool.contended or pool.returns.contended or pool.long.contended

    def _freed(self, _slot: Slot) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        """Somebody may go on: short runs first, which jobs then overtake when they have waited long."""
        for turns in (self._pool, self._pool.returns, self._pool.long):
            turns.dispatch()

    def _job_changed(self, job: Job) -> None:
        self.on_job(job.number)
        self.on_change(job.slot.number)

    def _grant(self, number: int, image: StoredImage | None = None) -> Grant:
        """What the program of an image may do in a slot; without one, what any may."""
        return self.checker.grants.of(number, _capabilities(image) if image else None)

    def _slot(self, number: int) -> Slot:
        if not 0 <= number < len(self._slots):
            named = f"slot {number}" if abs(number) < _SAYABLE else "such slot"
            raise NotFound(f"there is no {named}", hint=f"slots are 0 to {len(self._slots) - 1}")
        return self._slots[number]

    def _size(self, slot: Slot) -> int:
        image = self._images.get(slot.number)
        return len(image.image) if image else 0

    async def _load_stored(self, slot: Slot, spent: Spent) -> None:
        """Load the stored image on a thread, if nobody has yet; `_loaded` raises why it may not run."""
        image = self._images.get(slot.number)
        if slot.prepared is not None or slot.refusal is not None or image is None:
            return
        try:
            prepared = await self.check(slot.number, image.image, _capabilities(image))
        except MicroBpfError as error:
            self._refuse(slot, image, error)
        else:
            # Somebody may have been faster meanwhile, with this image or with another one.
            if slot.prepared is None and self._images.get(slot.number) is image:
                self._load(slot, prepared, spent)

    def _load(self, slot: Slot, prepared: Prepared, spent: Spent) -> None:
        slot.load(prepared)
        spent.load_us, spent.verify_us = prepared.load_us, prepared.verify_us

    def _refuse(self, slot: Slot, image: StoredImage, error: MicroBpfError) -> None:
        """Remember, and say once, that the stored image may not run."""
        if slot.refusal is None and slot.prepared is None and self._images.get(slot.number) is image:
            slot.refusal = error
            self._log.add("warning", _source(slot), f"the stored image is refused: {error.detail}")

    def _loaded(self, slot: Slot, spent: Spent) -> Prepared:
        """The slot's program; after a start it is loaded from the stored image by whoever needs it first."""
        if slot.prepared is not None:
            return slot.prepared
        if slot.refusal is not None:
            raise slot.refusal
        image = self._images.get(slot.number)
        if image is None:
            raise slot_empty(slot.number)
        try:
            prepared = self.checker.check(slot.number, image.image, _capabilities(image))
        except MicroBpfError as error:
            self._refuse(slot, image, error)
            raise
        self._load(slot, prepared, spent)
        return prepared

    def _loaded_or_none(self, slot: Slot) -> Prepared | None:
        """The slot's program for information; None when this version of the device refuses it."""
        try:
            return self._loaded(slot, Spent())
        except MicroBpfError:
            return None


@asynccontextmanager
async def _uninterrupted(commit: Callable[[], None]) -> AsyncIterator[None]:
    """Commit on a thread, as it waits for a disk, and do what follows from it even when this is cancelled."""
    future = asyncio.get_running_loop().run_in_executor(None, commit)
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError as error:
        cancelled = error
        await ended(future)
    future.result()
    yield
    if cancelled is not None:
        raise cancelled


def _sorted(helpers: frozenset[int] | None) -> tuple[int, ...] | None:
    return None if helpers is None else tuple(sorted(helpers))


def _capabilities(image: StoredImage) -> Capabilities:
    """What the manifest of a stored image grants; it was read before it was stored."""
    return decode(image.capabilities, "capabilities") if image.capabilities else Capabilities()


def _runner(slot: Slot) -> Runner:
    """What runs the slot's program. Raises Conflict when there is none any more."""
    if slot.runner is None:
        raise slot_empty(slot.number)
    return slot.runner


def _source(slot: Slot) -> str:
    """Under what name a slot's lines are in the log."""
    return f"slot{slot.number}"


def _prepared(value: object) -> Prepared:
    if not isinstance(value, Prepared):
        raise TypeError(f"expected what check() returned, got {type(value).__name__}")
    return value
