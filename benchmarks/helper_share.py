"""How much of a kernel's time its helpers take, which no engine can make less.

    .venv/bin/python benchmarks/helper_share.py [--rounds 100] [KERNEL ...]

The helper calls of one run are recorded and made again in the same order without any engine: that is what
they cost. What is left of a run's time is the engine's own, and the last column compares that alone. Without
names, all kernels that call helpers. Processor time, best of the rounds, everything in one process.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from time import thread_time
from typing import Final

from client.bench import kernels, running
from client.bench.kernels import Kernel
from device.vm.interpreter import InterpreterEngine
from device.vm.program import Engine, HelperGate
from device.vm.switch import SwitchEngine

Calls = list[tuple[int, tuple[int, ...]]]

_ALWAYS: Final = float("inf")
_WARM: Final = 20
"""Runs after which the interpreter has made its code."""


def recorded(kernel: Kernel) -> Calls:
    """The helper calls of one run."""
    found: Calls = []
    run = running.prepare(kernel)

    def watched(number: int, *arguments: int) -> int:
        found.append((number, arguments))
        return run.call_helper(number, *arguments)

    SwitchEngine().run(kernel.program, replace(run, call_helper=watched))
    return found


def seconds_of_calls(kernel: Kernel, calls: Calls) -> float:
    """What these calls take, less what it takes to go through them."""
    return _through(running.prepare(kernel).call_helper, calls) - _through(_nothing, calls)


def _through(gate: HelperGate, calls: Calls) -> float:
    start = thread_time()
    for number, (r1, r2, r3, r4, r5) in calls:
        gate(number, r1, r2, r3, r4, r5)
    return thread_time() - start


def _nothing(_number: int, _r1: int, _r2: int, _r3: int, _r4: int, _r5: int) -> int:
    return 0


def report(kernel: Kernel, rounds: int) -> None:
    """Print a row for each engine."""
    calls = recorded(kernel)
    engines: Sequence[Engine] = (SwitchEngine(), InterpreterEngine())
    for engine in engines:
        for _ in range(_WARM):
            running.checked(engine, kernel)
    helpers, whole = _ALWAYS, [_ALWAYS] * len(engines)
    for _ in range(rounds):
        helpers = min(helpers, seconds_of_calls(kernel, calls))
        whole = [
            min(seconds, running.checked(engine, kernel).seconds)
            for engine, seconds in zip(engines, whole, strict=True)
        ]
    for engine, seconds in zip(engines, whole, strict=True):
        print(
            f"{kernel.name:14} {len(calls):6} {engine.name:12} {seconds * 1e6:9.0f} {helpers * 1e6:9.0f}"
            f" {helpers / seconds:8.0%} {whole[0] / seconds:8.1f}"
            f" {(whole[0] - helpers) / (seconds - helpers):12.1f}"
        )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernel", nargs="*")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    print(
        f"{'KERNEL':14} {'CALLS':>6} {'ENGINE':12} {'RUN µs':>9} {'HELPERS':>9} {'SHARE':>8} {'RATIO':>8}"
        f" {'ENGINE ALONE':>12}"
    )
    for kernel in kernels.choose(options.kernel):
        if kernel.calls_helpers:
            report(kernel, options.rounds)


if __name__ == "__main__":
    main()
