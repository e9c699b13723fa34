"""What came of a run, whatever ran it."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from device.engines.shadow import Compared
from device.vm.program import Engine, Outcome, Program, Run


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


def timed(engine: Engine, program: Program, run: Run) -> Ran:
    """Run a program and look at the time."""
    begin = perf_counter()
    outcome = engine.run(program, run)
    return Ran(outcome, engine.name, int((perf_counter() - begin) * 1_000_000))
