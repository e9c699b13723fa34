"""One call of a kernel on an engine, with everything around it made beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Final

from client.bench.kernels import Kernel
from client.local import MonotonicClock, Output
from device.errors import MicroBpfError
from device.storage.stores import MemoryStore
from device.vm import helpers
from device.vm.memory import CONTEXT_BASE
from device.vm.profiles import UBPF
from device.vm.program import BUDGET_MAX, Engine, Outcome, Run, build_memory

HELPERS: Final = helpers.profile_helpers(UBPF)


class WrongResultError(MicroBpfError):
    """A kernel returned something else than it should: its time would mean nothing."""

    title = "The benchmark failed"
    default_code = "bench"


@dataclass(frozen=True, slots=True)
class Timed:
    """How a call ended, and what it took, the engine alone.

    `seconds` are processor time of the calling thread: what else runs on the machine is not in them. `wall`
    are seconds on the clock, work of other threads included.
    """

    outcome: Outcome
    seconds: float
    wall: float


def call(
    engine: Engine, kernel: Kernel, *, extra: Sequence[tuple[bytes, bool]] = (), budget: int = BUDGET_MAX
) -> Timed:
    """One call from fresh memory and empty stores; `extra` are more regions, with rights."""
    run = prepare(kernel, extra=extra, budget=budget)
    wall, start = perf_counter(), thread_time()
    outcome = engine.run(kernel.program, run)
    return Timed(outcome, thread_time() - start, perf_counter() - wall)


def prepare(kernel: Kernel, *, extra: Sequence[tuple[bytes, bool]] = (), budget: int = BUDGET_MAX) -> Run:
    """What a call is made with."""
    context = bytearray(kernel.context)
    regions = [(bytearray(content), writable) for content, writable in extra]
    memory = build_memory(kernel.program, kernel.program.fresh_data(), context, extra=regions)
    return Run(
        memory=memory,
        call_helper=helpers.gate(memory, _services(), HELPERS),
        budget=budget,
        r1=CONTEXT_BASE if context else 0,
        r2=len(context),
    )


def checked(engine: Engine, kernel: Kernel, *, extra: Sequence[tuple[bytes, bool]] = ()) -> Timed:
    """The same. Raises WrongResultError when the result is not the kernel's."""
    timed = call(engine, kernel, extra=extra)
    outcome = timed.outcome
    if outcome.r0 != kernel.expected:
        found = f"returned {outcome.r0}" if outcome.fault is None else str(outcome.fault)
        raise WrongResultError(
            f"{kernel.name} over {kernel.bytes} bytes on {engine.name}: {found}, not {kernel.expected}",
            where=kernel.name,
        )
    return timed


def _services() -> helpers.Services:
    return helpers.Services(
        local=MemoryStore(),
        shared=MemoryStore(),
        clock=MonotonicClock(),
        console=Output(),
        warn=lambda _text: None,
    )
