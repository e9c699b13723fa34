"""One program on the engines of a device: which one runs it, what is compiled, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from device.engines import policy
from device.engines.compiling import CompilingEngine
from device.engines.selection import AUTO, select
from device.engines.shadow import Compared, Differs, Record, copied
from device.engines.shape import Shape
from device.errors import Conflict, MalformedRequest, MicroBpfError, Unprocessable
from device.vm.faults import GuestFault
from device.vm.memory import GuestMemory
from device.vm.program import PLAIN, Engine, HelperGate, Outcome, Program, Run

if TYPE_CHECKING:
    from device.jit.counting import CountingMachine
    from device.jit.engine import JitEngine
    from device.jit.machines import Claim

JIT: Final = policy.JIT


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says of engines: which, whether to compile anew, to compare, to estimate cycles."""

    engine: str = AUTO
    recompile: bool = False
    shadow: bool = False
    cycles: bool = False

    @property
    def compiles(self) -> bool:
        """Whether it cannot be fulfilled without compiled code."""
        return self.engine == JIT or self.shadow or self.recompile or self.cycles

    def require_sense(self) -> None:
        """Raises MalformedRequest when compiled code is asked for, and an engine that has none."""
        if self.shadow and self.cycles:
            raise MalformedRequest("cycles are counted in a run of their own", where="cycles")
        for name in ("recompile", "shadow", "cycles"):
            if getattr(self, name) and self.engine not in (AUTO, JIT):
                raise MalformedRequest(
                    f"{name} is about compiled code, which engine {self.engine!r} does not run",
                    where=name,
                    hint="leave the engine out, or ask for jit",
                )


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: how it ended, what ran it, microseconds of compiler and run, bytes of code there are.

    `cycles` are the estimate of engines.md, of the compiled code alone.
    """

    outcome: Outcome
    engine: str
    run_us: int
    compile_us: int = 0
    code: int = 0
    compared: Compared | None = None
    cycles: int | None = None


class Runner:
    """The runs of one program since it was deployed. May be used from any thread.

    `may_compile` is what its update says.
    """

    def __init__(self, program: Program, engines: Mapping[str, Engine], *, may_compile: bool = True) -> None:
        self.program = program
        self.quarantined: str | None = None
        self.compiles = 0
        self.compile_us = 0
        self.runs_by: Counter[str] = Counter()
        self._engines = engines
        self._may_compile = may_compile
        self._instructions = self._calls = self._watched = 0
        self._last: Shape | None = None
        self._size = 0
        self._lock = Lock()

    # Running

    def once(
        self,
        run: Run,
        wish: Wish,
        claim: Claim | None = None,
        began: Callable[[str], None] = lambda _engine: None,
    ) -> Ran:
        """Run the program. `claim` is a machine that is held for it; it stays the caller's.

        `began` hears what runs it. Raises MalformedRequest for an engine that is not there; Conflict
        `code-quarantined`, Unprocessable `not-compiled` when compiled code is wished for and cannot be had.
        """
        if wish.compiles:
            self.require_code()
        self._last = Shape.of(run)
        if wish.engine != AUTO:
            began(wish.engine)
        if wish.shadow:
            ran = self._compare(run, wish, claim)
        elif wish.cycles:
            ran = self._counted(run)
        elif wish.engine == JIT:
            ran = self._natively(run, wish, claim)
        elif wish.engine == AUTO:
            ran = self._automatic(run, wish, claim, began)
        else:
            ran = _timed(select(wish.engine, self._engines), self.program, run)
        with self._lock:
            self.runs_by[ran.engine] += 1
            self._instructions += ran.outcome.instructions
        return ran

    def _automatic(self, run: Run, wish: Wish, claim: Claim | None, began: Callable[[str], None]) -> Ran:
        """As the policy says, with code that is there by now and a machine that is free."""
        native = self._native
        if native is not None and policy.choose(self.facts(run, wish)).engine == JIT:
            held = claim or native.machines.claim()
            if held is not None:
                try:
                    if wish.recompile or native.is_ready(self.program, run):
                        began(JIT)
                        return self._natively(run, wish, held)
                    native.ensure_soon(self.program, run, self._compiled)
                finally:
                    if held is not claim:
                        held.release()
        began(policy.INTERPRETER)
        return self._interpreted(run)

    def _interpreted(self, run: Run) -> Ran:
        """In the interpreter, with an eye on its helper calls."""
        counter = _Counter(run.call_helper)
        run.call_helper = counter.call
        ran = _timed(select(AUTO, self._engines), self.program, run)
        with self._lock:
            self._calls += counter.calls
            self._watched += ran.outcome.instructions
        return ran

    def _natively(self, run: Run, wish: Wish, claim: Claim | None) -> Ran:
        native = self._native
        if native is None:  # an engine of a test's, or of none that compiles
            return _timed(select(JIT, self._engines), self.program, run)
        try:
            return self._on_machine(native, run, wish, claim)
        except GuestFault as stopped:  # while it waited for a machine
            return Ran(Outcome(None, self.program.locate(stopped.record(self.program.entry)), 0), JIT, 0)

    def _on_machine(self, native: JitEngine, run: Run, wish: Wish, claim: Claim | None) -> Ran:
        with _machine(native, run, claim) as held, native.session(held) as session:
            if wish.recompile:
                native.discard(self.program)
            try:
                self._ensure(native, run)
            finally:
                self._compiled(session.compiles, session.compile_us)
            before = session.compiles, session.compile_us
            ran = _timed(native, self.program, run)
            later = session.compile_us - before[1]
            self._compiled(session.compiles - before[0], later)
        if session.compiles or not self._size:
            self._size = native.figures(self.program).size
        return Ran(ran.outcome, JIT, max(ran.run_us - later, 0), session.compile_us, self._size)

    def _counted(self, run: Run) -> Ran:
        """On the machine that counts; what the exact tier and helpers do is not in the estimate."""
        engine = self._engines.get(JIT)
        if not isinstance(engine, CompilingEngine):
            return _timed(select(JIT, self._engines), self.program, run)
        native = engine.counting
        with _machine(native, run, None) as claim, native.session(claim) as session:
            self._ensure(native, run)
            counts = _counter_of(claim)
            counts.forget()
            ran = _timed(native, self.program, run)
            size = native.figures(self.program).size
            return replace(ran, compile_us=session.compile_us, code=size, cycles=counts.executed().cycles)

    def _compare(self, run: Run, wish: Wish, claim: Claim | None) -> Ran:
        """The interpreter for real, compiled code on a copy of the same state."""
        copy, record = copied(run), Record(run)
        ran = _timed(select(policy.INTERPRETER, self._engines), self.program, record.run)
        compile_us = size = 0
        try:
            found = self._natively(record.replayed(copy), Wish(JIT, wish.recompile), claim)
        except (Differs, MicroBpfError) as error:
            compared = record.interrupted(error)
        else:
            compile_us, size = found.compile_us, found.code
            compared = record.difference(ran.outcome, found.outcome, run, copy)
        if compared.equal is False:
            self.quarantine(compared.difference or "")
        return Ran(ran.outcome, ran.engine, ran.run_us, compile_us, size, compared)

    # Code

    def compile(self, memory: GuestMemory) -> None:
        """Have code made anew for runs like the last one, or when there was none for such memory.

        Raises Conflict, Unprocessable; see `once`.
        """
        self.require_code()
        native = self._native
        if native is None:
            return
        run = self._last.run() if self._last else Run(memory)
        native.discard(self.program)
        begin = perf_counter()
        self._ensure(native, run)
        self._compiled(1, int((perf_counter() - begin) * 1_000_000))

    def drop(self) -> None:
        """Forget all code, and why it was quarantined."""
        self.quarantined = None
        self._size = 0
        if self._loaded is not None:
            self._loaded.discard(self.program)

    def quarantine(self, difference: str) -> None:
        """Never run this code any more."""
        self.drop()
        self.quarantined = difference

    def require_code(self) -> None:
        """Raises Conflict `code-quarantined` when code may not be run any more."""
        if self.quarantined is not None:
            raise Conflict(
                f"the compiled code did not do what the interpreter does: {self.quarantined}",
                code="code-quarantined",
                hint="run it with the interpreter; action drop of /slots/{n}/jit ends the quarantine",
            )

    def figures(self) -> dict[str, Any] | None:
        """What GET /slots/{n} says of compiled code; None when there was never any."""
        if not self.compiles and self.quarantined is None:
            return None
        found = self._loaded.figures(self.program) if self._loaded is not None else None
        return {
            "size": found.size if found else 0,
            "exact_code": 0,
            "compiles": self.compiles,
            "compile_us": self.compile_us,
            "runs": self.runs_by[JIT],
            "quarantined": self.quarantined is not None,
        }

    def facts(self, run: Run, wish: Wish) -> policy.Facts:
        """What the policy looks at."""
        with self._lock:
            return policy.Facts(
                slots=self.program.slots,
                may_compile=self._may_compile and run.rules == PLAIN,
                quarantined=self.quarantined is not None,
                wanted=wish.recompile,
                runs=self.runs_by.total(),
                instructions=self._instructions,
                calls=self._calls,
                watched=self._watched,
            )

    def _ensure(self, native: JitEngine, run: Run) -> None:
        try:
            native.ensure(self.program, run)
        except MicroBpfError as error:
            raise Unprocessable(
                f"the program cannot be compiled: {error.detail}",
                code="not-compiled",
                where="engine",
                hint="run it with another engine",
            ) from error

    def _compiled(self, times: int, us: int) -> None:
        with self._lock:
            self.compiles += times
            self.compile_us += us

    @property
    def _native(self) -> JitEngine | None:
        engine = self._engines.get(JIT)
        return engine.native if isinstance(engine, CompilingEngine) else None

    @property
    def _loaded(self) -> JitEngine | None:
        engine = self._engines.get(JIT)
        return engine.loaded if isinstance(engine, CompilingEngine) else None


def _counter_of(claim: Claim) -> CountingMachine:
    """The counting machine of a claim."""
    from device.jit.counting import CountingMachine

    machine = claim.processor().machine
    if not isinstance(machine, CountingMachine):
        raise TypeError("this machine does not count")
    return machine


class _Counter:
    """Counts the helper calls of a run."""

    __slots__ = ("_gate", "calls")

    def __init__(self, gate: HelperGate) -> None:
        self._gate = gate
        self.calls = 0

    def call(self, helper: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        """A HelperGate."""
        self.calls += 1
        return self._gate(helper, r1, r2, r3, r4, r5)


@contextmanager
def _machine(native: JitEngine, run: Run, claim: Claim | None) -> Iterator[Claim]:
    """A claim, or one of its own for so long. Raises GuestFault when the run is stopped while it waits."""
    if claim is not None:
        yield claim
        return
    own = native.machines.wait(run.control.check)
    try:
        yield own
    finally:
        own.release()


def _timed(engine: Engine, program: Program, run: Run) -> Ran:
    begin = perf_counter()
    outcome = engine.run(program, run)
    return Ran(outcome, engine.name, int((perf_counter() - begin) * 1_000_000))
