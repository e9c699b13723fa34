"""Runs the programs of one device's slots, and swaps them when an update commits.

    execute ──▶ place in the pool and in the slot ──▶ runs on a thread ──▶ answer
    replace ──▶ slots closed ──▶ runs end (1 s, then killed) ──▶ commit ──▶ new programs ──▶ slots open

It is the `ProgramHost` that the SUIT installer is given: `check` decides before a commit whether an image may
run, so that a ready slot always holds a program that may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final

from device.api import ExecAnswer, ExecRequest, JitAction, JobInfo, JobRequest, SlotInfo
from device.engines import ENGINES, CompilingEngine, select
from device.engines.policy import JIT
from device.engines.wish import Wish
from device.errors import Conflict, Unavailable
from device.execution.access import Access
from device.execution.console import RunLog
from device.execution.grants import RunLimits
from device.execution.jobs import Job, Jobs
from device.execution.machines import MachineGate
from device.execution.pool import OPEN, RETRY_AFTER_S, Place, ShortRunPool
from device.execution.programs import Checker, Prepared
from device.execution.requests import Done, Order, Spent, Terms, not_run
from device.execution.run import Result, Surroundings, Work, perform
from device.execution.slot import Entry, Slot
from device.execution.slots import Slots
from device.execution.swap import Swap
from device.execution.turn import RunControl, Turn
from device.log import DeviceLog
from device.storage.slots import SlotTable
from device.storage.stores import MemoryStore
from device.suit.capabilities import Capabilities, Maximum
from device.vm.helpers import BareBoard
from device.vm.interpreter.discarded import bytecode_discarded
from device.vm.memory import GuestMemory
from device.vm.ports import Board, SleepingClock
from device.vm.profiles import UBPF, Profile
from device.vm.program import Engine, Layout, build_memory

OPENING_S: Final = 10.0
"""Seconds that a job waits for a commit to its slot, which takes a few at most."""

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
        self._slots = Slots(images, self.checker, log, slots, engines)
        for slot in self._slots:
            slot.on_free = self._freed
        self._swap = Swap(self._slots, self._dispatch)
        self._jobs = Jobs(self, workers, pool.long, clock, log, self._contended, self._job_changed)
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
        slot = self._slots.at(number)
        deadline = monotonic() + request.timeout_ms / 1000
        order = self._order(slot, request, terms)
        await self._slots.load(slot, order.spent)
        prepared = self._slots.loaded(slot, order.spent)
        work = order.work(prepared, slot.current)
        control = RunControl(deadline)
        entry = Entry(slot, control)
        gate = await self._machine_gate(entry, work)
        try:
            with self._pool.request(self, client, gate or entry) as place:
                if gate is not None:
                    await self._machine(gate, place, deadline)
                if not await place.ready(deadline):
                    return Done(order, work, not_run(work, "deadline"), self._slots.size(slot))
                if slot.prepared is not prepared:  # another program came while this one waited
                    work = order.work(self._slots.loaded(slot, order.spent), slot.current)
                result = await self._on_thread(order, work, entry, place, gate)
                slot.count(result)
        finally:
            slot.leave(control)
            if gate is not None:
                gate.release()
                self._dispatch()
        self._compared(slot, result)
        return Done(order, work, result, self._slots.size(slot))

    async def _machine_gate(self, entry: Entry, work: Work) -> MachineGate | None:
        """The gate of a run that insists on compiled code; None for others."""
        engine = self.engines.get(JIT)
        if not work.wish.compiles or not isinstance(engine, CompilingEngine):
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
                hint="come back; with its bytecode the interpreter runs it meanwhile, if no engine is named",
                retry_after_s=RETRY_AFTER_S,
            )

    def _compared(self, slot: Slot, result: Result) -> None:
        """A difference between compiled code and the interpreter is a bug of ours: it is said."""
        compared = result.ran.compared if result.ran else None
        if compared is not None and compared.equal is False:
            text = f"compiled code differs and is in quarantine: {compared.difference}"
            self._log.add("error", slot.source, text)

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
        slot = self._slots.at(request.slot)
        order = self._order(slot, request.run, terms or Terms(), long=True)
        await self._slots.load(slot, order.spent)
        await self._opened(slot)
        work = order.work(self._slots.loaded(slot, order.spent), slot.current)
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

        Raises NotFound, Conflict (slot empty, bytecode discarded), MalformedRequest (`engine-unavailable`),
        why the stored image is refused, Unprocessable for a program that must not be compiled.
        """
        select(engine, self.engines)
        slot = self._slots.at(number)
        self._slots.loaded(slot, Spent()).grant.require_engine(engine)
        slot.current.fit(Wish(engine))

    async def measured(self, number: int) -> Prepared:
        """The program of a slot, loaded and verified once more for the times that this takes.

        Raises NotFound, Conflict (slot empty), and what `check` does.
        """
        return await self._slots.check_stored(number)

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
        for slot in map(self._slots.at, numbers) if numbers else self._slots:
            await self._slots.load(slot, Spent())

    def slot_info(self, number: int, *, fetching: bool = False) -> SlotInfo:
        """What GET /slots/{n} says; `fetching` when an update for the slot is under way. Raises NotFound."""
        return self._slots.info(number, fetching=fetching)

    async def change_code(self, number: int, action: JitAction) -> None:
        """Compile the program of a slot anew, drop its compiled code, or its bytecode.

        Raises NotFound, Conflict (slot empty or in use, code in quarantine, bytecode that is needed or was
        discarded), Unprocessable for a program that may not or cannot be compiled.
        """
        slot = self._slots.at(number)
        await self._slots.load(slot, Spent())
        prepared = self._slots.loaded(slot, Spent())
        runner = slot.current
        if action == "discard-bytecode":
            await self._discard_bytecode(slot)
        elif runner.discarded:
            bytecode_discarded()
        elif action == "drop":
            runner.code.drop()
        else:
            prepared.grant.require_engine(JIT)
            await asyncio.to_thread(runner.compile, self._plain_memory(slot, prepared))
        self.on_change(number)

    async def _discard_bytecode(self, slot: Slot) -> None:
        async with self._swap.idle(slot):
            if self._jobs.holding(slot):
                raise _in_use(slot)
            prepared = self._slots.loaded(slot, Spent())
            former, runner = prepared.program, slot.current
            if runner.discarded:
                return
            prepared.grant.require_engine(JIT)
            prepared.grant.require_plain()
            left = await asyncio.to_thread(runner.discard_bytecode, self._plain_memory(slot, prepared))
            self._slots.discarded(slot, former, left)
            self._jobs.forget(former, left)
        self._log.add("info", slot.source, "the bytecode was discarded: the program runs by jit alone")

    def _plain_memory(self, slot: Slot, prepared: Prepared) -> GuestMemory:
        """The memory of a run that is given nothing."""
        return build_memory(prepared.program, slot.data, rodata=slot.rodata, frame_size=prepared.grant.stack)

    def local_store(self, number: int) -> MemoryStore:
        """The local store of a slot. Raises NotFound."""
        return self._slots.at(number).local

    async def undeploy(self, number: int) -> None:
        """Remove program, local store and counters; runs in the slot get the same grace as for an update.

        Raises Conflict while a job belongs to the slot.
        """
        slot = self._slots.at(number)
        if self._jobs.holding(slot):
            raise _in_use(slot)
        await self._change({slot: None}, partial(self._images.clear, number), "operator")

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
        return await self._slots.check(slot, image, capabilities, access, declared)

    @property
    def maximum(self) -> Maximum:
        """What an update may grant its programs at most."""
        return self.checker.grants.maximum

    def held(self, slot: int) -> bool:
        """Whether a job keeps the slot from being replaced; short runs never do."""
        return self._jobs.holding(self._slots.at(slot))

    async def replace(self, prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        """Close the slots, let their runs end, commit, and make the prepared programs current.

        When `commit` raises, or this is cancelled before it, everything is as it was.
        """
        programs = {self._slots.at(number): _prepared(value) for number, value in prepared.items()}
        await self._change(programs, commit, "replaced")

    async def _change(
        self, programs: Mapping[Slot, Prepared | None], commit: Callable[[], None], reason: str
    ) -> None:
        await self._swap.to(programs, commit, reason)
        for slot in programs:
            self.on_change(slot.number)

    # Steps

    def _order(self, slot: Slot, request: ExecRequest, terms: Terms, *, long: bool = False) -> Order:
        select(request.engine, self.engines)
        lines = terms.lines or RunLog(self._log, slot.source, self._clock.now_us)
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


def _in_use(slot: Slot) -> Conflict:
    return Conflict(f"a job runs in slot {slot.number}", code="slot-in-use", hint="end the job first")


def _prepared(value: object) -> Prepared:
    if not isinstance(value, Prepared):
        raise TypeError(f"expected what check() returned, got {type(value).__name__}")
    return value
