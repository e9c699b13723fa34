"""`jit` as it is registered: what it needs is imported when it is first used."""

from __future__ import annotations

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
        with self._lock:
            if self._engine is None:
                from device.jit.engine import JitEngine

                self._engine = JitEngine(machines=self._machines)
            return self._engine

    def close(self) -> None:
        """Free its machines. Runs have to have ended."""
        if self._engine is not None:
            self._engine.close()
