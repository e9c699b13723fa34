"""The compiled code of one program: made, run, forgotten, in quarantine when it was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

from device.engines.compiling import CompilingEngine
from device.engines.policy import JIT
from device.engines.ran import Ran, timed
from device.engines.selection import select
from device.errors import Conflict, MicroBpfError, Unprocessable
from device.vm.faults import GuestFault
from device.vm.interpreter import InterpreterEngine
from device.vm.interpreter.discarded import DiscardedProgram
from device.vm.program import Engine, Outcome, Program, Run

if TYPE_CHECKING:
    from device.jit.counting import CountingMachine
    from device.jit.engine import JitEngine
    from device.jit.machines import Claim


class Code:
    """What was compiled of a program since it was deployed. May be used from any thread.

    `compiles` and `compile_us` say how often and how long. `quarantined` is what the code did wrong.
    """

    def __init__(self, program: Program, engines: Mapping[str, Engine]) -> None:
        self.program = program
        self.quarantined: str | None = None
        self.compiles = 0
        self.compile_us = 0
        self._engines = engines
        self._size = 0
        self._lock = Lock()

    @property
    def native(self) -> JitEngine | None:
        """The engine that compiles; None where another stands for it, or none."""
        engine = self._engines.get(JIT)
        return engine.native if isinstance(engine, CompilingEngine) else None

    # Running

    def run(self, run: Run, claim: Claim | None = None, *, recompile: bool = False) -> Ran:
        """Run it, on the machine of a claim or on one of its own; `recompile`: from code that is new.

        Raises Unprocessable `not-compiled`.
        """
        native = self.native
        if native is None:  # an engine of a test's, or of none that compiles
            return timed(select(JIT, self._engines), self.program, run)
        try:
            held = claim or native.machines.wait(run.control.check)
        except GuestFault as stopped:  # while it waited for a machine
            return self._stopped(stopped)
        try:
            return self._on_machine(native, held, run, recompile=recompile)
        finally:
            if held is not claim:
                held.release()

    def _on_machine(self, native: JitEngine, held: Claim, run: Run, *, recompile: bool) -> Ran:
        with native.session(held) as session:
            if recompile:
                native.discard(self.program)
            try:
                self._ensure(native, run)
            finally:
                self.compiled(session.compiles, session.compile_us)
            before = session.compiles, session.compile_us
            ran = timed(native, self.program, run)
            later = session.compile_us - before[1]
            self.compiled(session.compiles - before[0], later)
        if isinstance(self.program, DiscardedProgram):
            self._size = self.program.remains.prepared(run.memory.shape).size
        elif session.compiles or not self._size:
            self._size = native.figures(self.program).size
        return Ran(ran.outcome, JIT, max(ran.run_us - later, 0), session.compile_us, self._size)

    def count(self, run: Run) -> Ran:
        """Run it on the machine that counts; what the exact tier and helpers do is not in the estimate."""
        engine = self._engines.get(JIT)
        if not isinstance(engine, CompilingEngine):
            return timed(select(JIT, self._engines), self.program, run)
        native = engine.counting
        try:
            claim = native.machines.wait(run.control.check)
        except GuestFault as stopped:
            return self._stopped(stopped)
        try:
            with native.session(claim) as session:
                self._ensure(native, run)
                counts = _counter_of(claim)
                counts.forget()
                ran = timed(native, self.program, run)
                size = native.figures(self.program).size
                return replace(ran, compile_us=session.compile_us, code=size, cycles=counts.executed().cycles)
        finally:
            claim.release()

    def _stopped(self, stopped: GuestFault) -> Ran:
        return Ran(Outcome(None, self.program.locate(stopped.record(self.program.entry)), 0), JIT, 0)

    # What there is

    def compile(self, run: Run) -> None:
        """Have code made anew for such runs. Raises Conflict, Unprocessable; see `require` and `run`."""
        self.require()
        native = self.native
        if native is None:
            return
        native.discard(self.program)
        begin = perf_counter()
        self._ensure(native, run)
        self.compiled(1, int((perf_counter() - begin) * 1_000_000))

    def discard_bytecode(self, run: Run) -> DiscardedProgram:
        """Have code and exact code made for such runs, and go on without the bytecode.

        Raises Conflict, Unprocessable; see `require` and `run`.
        """
        self.require()
        native = self.native
        if native is None:
            raise Unprocessable("no engine of this device compiles", code="not-compiled", where="action")
        begin = perf_counter()
        made = not native.is_ready(self.program, run)
        with _compiling():
            self.program = left = native.without_bytecode(self.program, run)
        self.compiled(int(made), int((perf_counter() - begin) * 1_000_000))
        self._size = 0
        return left

    def forget(self, program: Program) -> None:
        """Have no engine keep anything that was made of a text."""
        for engine in self._engines.values():
            if isinstance(engine, InterpreterEngine | CompilingEngine):
                engine.forget(program)

    def compiled(self, times: int, us: int) -> None:
        """Code was made so many times, in so many microseconds."""
        if times:
            with self._lock:
                self.compiles += times
                self.compile_us += us

    def drop(self) -> None:
        """Forget all code, and why it was quarantined."""
        self.quarantined = None
        self._size = 0
        loaded = self._loaded
        if loaded is not None:
            loaded.discard(self.program)

    def quarantine(self, difference: str) -> None:
        """Never run this code any more."""
        self.drop()
        self.quarantined = difference

    def require(self) -> None:
        """Raises Conflict `code-quarantined` when code may not be run any more."""
        if self.quarantined is not None:
            raise Conflict(
                f"the compiled code did not do what the interpreter does: {self.quarantined}",
                code="code-quarantined",
                hint="run it with the interpreter; action drop of /slots/{n}/jit ends the quarantine",
            )

    def figures(self, runs: int) -> dict[str, Any] | None:
        """What GET /slots/{n} says of code that has run so often; None when there was never any."""
        left = self.program if isinstance(self.program, DiscardedProgram) else None
        if not self.compiles and self.quarantined is None and left is None:
            return None
        loaded = self._loaded
        return {
            "size": loaded.figures(self.program).size if loaded is not None else 0,
            "exact_code": left.exact_size if left else 0,
            "compiles": self.compiles,
            "compile_us": self.compile_us,
            "runs": runs,
            "quarantined": self.quarantined is not None,
        }

    def _ensure(self, native: JitEngine, run: Run) -> None:
        with _compiling():
            native.ensure(self.program, run)

    @property
    def _loaded(self) -> JitEngine | None:
        engine = self._engines.get(JIT)
        return engine.loaded if isinstance(engine, CompilingEngine) else None


@contextmanager
def _compiling() -> Iterator[None]:
    try:
        yield
    except MicroBpfError as error:
        raise Unprocessable(
            f"the program cannot be compiled: {error.detail}",
            code="not-compiled",
            where="engine",
            hint="run it with another engine",
        ) from error


def _counter_of(claim: Claim) -> CountingMachine:
    """The counting machine of a claim."""
    from device.jit.counting import CountingMachine

    machine = claim.processor().machine
    if not isinstance(machine, CountingMachine):
        raise TypeError("this machine does not count")
    return machine
