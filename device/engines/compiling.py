"""`jit` as it is registered: what it needs is imported when it is first used."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from device.vm.program import Outcome, Program, Run

if TYPE_CHECKING:
    from device.jit.engine import JitEngine


class CompilingEngine:
    """A device that never compiles never loads what compiles. `machines` are as for JitEngine."""

    name: str = "jit"

    def __init__(self, machines: int | None = None) -> None:
        self._machines = machines
        self._engine: JitEngine | None = None
        self._counting: JitEngine | None = None
        self._lock = Lock()

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""
        return self.native.run(program, run)

    @property
    def loaded(self) -> JitEngine | None:
        """The engine itself, if anybody has needed it."""
        return self._engine

    @property
    def native(self) -> JitEngine:
        """The engine itself."""
        return self._engine or self.load()

    def load(self) -> JitEngine:
        """Import it: that takes a while when nobody has needed it yet."""
        with self._lock:
            if self._engine is None:
                from device.jit.engine import JitEngine

                self._engine = JitEngine(machines=self._machines)
            return self._engine

    @property
    def counting(self) -> JitEngine:
        """One whose single machine counts what it executes: slow, for estimates of cycles."""
        with self._lock:
            if self._counting is None:
                from device.jit.counting import CountingMachine
                from device.jit.engine import JitEngine
                from device.jit.processor import Processor

                self._counting = JitEngine(partial(Processor, machine=CountingMachine), machines=1)
            return self._counting

    def forget(self, program: Program) -> None:
        """Keep nothing of a text any longer."""
        for engine in (self._engine, self._counting):
            if engine is not None:
                engine.discard(program)

    def close(self) -> None:
        """Free all machines. Runs have to have ended."""
        for engine in (self._engine, self._counting):
            if engine is not None:
                engine.close()
