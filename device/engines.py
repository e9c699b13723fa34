"""The engines that a run can ask for, by name (engines.md)."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from types import MappingProxyType
from typing import Final

from device.errors import MalformedRequest
from device.vm.interpreter import InterpreterEngine
from device.vm.program import Engine, Outcome, Program, Run
from device.vm.switch import SwitchEngine

AUTO: Final = "auto"
_BEST: Final = "interpreter"


class CompilingEngine:
    """`jit`. What it needs is imported when it is first used: a device that never compiles never loads it."""

    name: str = "jit"

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._lock = Lock()

    def run(self, program: Program, run: Run) -> Outcome:
        """Execute from the entry to exit or fault. Raises nothing that the program can cause."""
        return (self._engine or self._make()).run(program, run)

    def _make(self) -> Engine:
        with self._lock:
            if self._engine is None:
                from device.jit.engine import JitEngine

                self._engine = JitEngine()
            return self._engine


ENGINES: Final[Mapping[str, Engine]] = MappingProxyType(
    {"switch": SwitchEngine(), "interpreter": InterpreterEngine(), "jit": CompilingEngine()}
)
"""What there is. An engine holds no state of any run, only programs in the form in which it runs them."""


def select(name: str, engines: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine of that name; `auto` is the interpreter, or the last where there is none.

    Raises MalformedRequest `engine-unavailable` for any other name.
    """
    chosen = name
    if name == AUTO:
        chosen = _BEST if _BEST in engines else list(engines)[-1]
    if chosen not in engines:
        raise MalformedRequest(
            f"engine {name!r} is not available",
            code="engine-unavailable",
            where="engine",
            hint="available: " + ", ".join([AUTO, *engines]),
        )
    return engines[chosen]
