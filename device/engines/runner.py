"""One program on the engines of a device: which one runs it, and what is known of its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from device.engines import policy
from device.engines.code import Code
from device.engines.policy import INTERPRETER, JIT
from device.engines.ran import Ran, timed
from device.engines.selection import AUTO, select
from device.engines.shadow import Differs, Record, copied
from device.engines.shape import Shape
from device.engines.wish import Wish
from device.errors import MicroBpfError
from device.vm.interpreter.discarded import DiscardedProgram
from device.vm.memory import GuestMemory
from device.vm.program import PLAIN, Engine, HelperGate, Program, Run

if TYPE_CHECKING:
    from device.jit.machines import Claim


class Runner:
    """The runs of one program since it was deployed. May be used from any thread.

    `code` is what was compiled of it, `runs_by` counts runs by engine. `may_compile` is what its update says.
    """

    def __init__(self, program: Program, engines: Mapping[str, Engine], *, may_compile: bool = True) -> None:
        self.code = Code(program, engines)
        self.runs_by: Counter[str] = Counter()
        self._engines = engines
        self._may_compile = may_compile
        self._instructions = self._calls = self._watched = 0
        self._last: Shape | None = None
        self._lock = Lock()

    @property
    def program(self) -> Program:
        """What it runs."""
        return self.code.program

    @property
    def discarded(self) -> bool:
        """Whether the program runs without bytecode."""
        return isinstance(self.program, DiscardedProgram)

    def fit(self, wish: Wish) -> Wish:
        """What a wish comes to for this program. Raises Conflict `bytecode-discarded`."""
        return wish.without_bytecode() if self.discarded else wish

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
        wish = self.fit(wish)
        if wish.compiles:
            self.code.require()
        self._last = Shape.of(run)
        if wish.engine != AUTO:
            began(wish.engine)
        if wish.shadow:
            ran = self._compare(run, wish, claim)
        elif wish.cycles:
            ran = self.code.count(run)
        elif wish.engine == JIT:
            ran = self.code.run(run, claim, recompile=wish.recompile)
        elif wish.engine == AUTO:
            ran = self._automatic(run, wish, claim, began)
        else:
            ran = timed(select(wish.engine, self._engines), self.program, run)
        with self._lock:
            self.runs_by[ran.engine] += 1
            self._instructions += ran.outcome.instructions
        return ran

    def _automatic(self, run: Run, wish: Wish, claim: Claim | None, began: Callable[[str], None]) -> Ran:
        """As the policy says, with code that is there by now and a machine that is free."""
        native = self.code.native
        if native is not None and policy.choose(self.facts(run, wish)).engine == JIT:
            held = claim or native.machines.claim()
            if held is not None:
                try:
                    if wish.recompile or native.is_ready(self.program, run):
                        began(JIT)
                        return self.code.run(run, held, recompile=wish.recompile)
                    native.ensure_soon(self.program, run, self.code.compiled)
                finally:
                    if held is not claim:
                        held.release()
        began(INTERPRETER)
        return self._interpreted(run)

    def _interpreted(self, run: Run) -> Ran:
        """In the interpreter, with an eye on its helper calls."""
        counter = _Counter(run.call_helper)
        run.call_helper = counter.call
        ran = timed(select(AUTO, self._engines), self.program, run)
        with self._lock:
            self._calls += counter.calls
            self._watched += ran.outcome.instructions
        return ran

    def _compare(self, run: Run, wish: Wish, claim: Claim | None) -> Ran:
        """The interpreter for real, compiled code on a copy of the same state."""
        copy, record = copied(run), Record(run)
        ran = timed(select(INTERPRETER, self._engines), self.program, record.run)
        compile_us = size = 0
        try:
            found = self.code.run(record.replayed(copy), claim, recompile=wish.recompile)
        except (Differs, MicroBpfError) as error:
            compared = record.interrupted(error)
        else:
            compile_us, size = found.compile_us, found.code
            compared = record.difference(ran.outcome, found.outcome, run, copy)
        if compared.equal is False:
            self.code.quarantine(compared.difference or "")
        return Ran(ran.outcome, ran.engine, ran.run_us, compile_us, size, compared)

    def compile(self, memory: GuestMemory) -> None:
        """Have code made anew for runs like the last one, or when there was none for such memory.

        Raises Conflict, Unprocessable; see `once`.
        """
        self.code.compile(self._last.run() if self._last else Run(memory))

    def discard_bytecode(self, memory: GuestMemory) -> Program:
        """Have code made for runs like the last one, as `compile`, and go on without bytecode.

        No run may be under way. Raises Conflict, Unprocessable; see `once`.
        """
        return self.code.discard_bytecode(self._last.run() if self._last else Run(memory))

    def figures(self) -> dict[str, Any] | None:
        """What GET /slots/{n} says of compiled code; None when there was never any."""
        return self.code.figures(self.runs_by[JIT])

    def facts(self, run: Run, wish: Wish) -> policy.Facts:
        """What the policy looks at."""
        with self._lock:
            return policy.Facts(
                slots=self.program.slots,
                may_compile=self._may_compile and run.rules == PLAIN,
                quarantined=self.code.quarantined is not None,
                wanted=wish.recompile,
                runs=self.runs_by.total(),
                instructions=self._instructions,
                calls=self._calls,
                watched=self._watched,
            )


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
