"""What comes before a program's first result: loading, verifying, compiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import process_time

from client.bench import kernels
from client.bench.kernels import Kernel
from client.bench.native_engine import BenchJit
from client.bench.running import HELPERS, checked, prepare
from client.bench.settings import Settings
from device.vm import loader, verifier


@dataclass(frozen=True, slots=True)
class Preparation:
    """Seconds of processor time: of the loader, of the verifier, of the compiler for the whole program; and
    of a call of a program that the engine does not know, on a machine that was there, compilation included.
    """

    load_s: float
    verify_s: float
    compile_s: float
    first_result_s: float


def prepared(kernel: Kernel, settings: Settings) -> Preparation:
    """Medians, of as many times as there are rounds. Raises WrongResultError."""
    image, engine = kernels.image(kernel.name), BenchJit()
    checked(engine, kernel)
    run = prepare(kernel)

    def first_result() -> float:
        engine.forget_all()
        fresh = prepare(kernel)
        return _seconds(lambda: engine.run(kernel.program, fresh))

    def middle(once: Callable[[], float]) -> float:
        return median(once() for _ in range(settings.effort.rounds))

    return Preparation(
        middle(lambda: _seconds(lambda: loader.load(image))),
        middle(lambda: _seconds(lambda: verifier.verify(kernel.program, helpers=HELPERS))),
        middle(lambda: _seconds(lambda: engine.compile(kernel.program, run))),
        middle(first_result),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = process_time()  # of all threads: an engine may compile on one of its own
    work()
    return process_time() - start
