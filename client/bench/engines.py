"""Section `engines`: how fast each engine executes the kernels, and what it takes before it does.

Native code is beside them, by the faster compiler of each level: whole calls, as of an engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import median
from typing import Final

from client.bench import kernels, native
from client.bench.kernels import Kernel
from client.bench.native import COMPILERS, LEVELS
from client.bench.native_engine import NativeEngine, beside
from client.bench.running import call, checked
from client.bench.settings import Row, Settings, eager, fresh
from client.bench.timing import Call, Spread, side_by_side
from device.vm.program import Engine

REFERENCE: Final = "switch"
"""The engine that ratios are to."""

NATIVE: Final = tuple(f"native-{level}" for level in LEVELS)
"""Native code, as if it were engines."""

PREPARED_BY: Final = 500
"""Instructions within which a program has been prepared; few, so that executing them is no part of it."""


def measure(settings: Settings) -> list[Row]:
    """A row for each kernel, length and engine. Raises ConfigError for a kernel that is none."""
    wanted = kernels.choose(settings.kernels)
    settings.progress.start(len(wanted))
    rows = []
    for kernel in wanted:
        rows += _rows(kernel, settings)
        settings.progress.advance()
    return rows


def _rows(kernel: Kernel, settings: Settings) -> list[Row]:
    engines = {name: fresh(engine) for name, engine in settings.engines.items()}
    first = _first_calls(kernel, settings)
    prepared = _preparations(kernel, settings)
    instructions = call(engines[REFERENCE], kernel).outcome.instructions
    natives = [
        NativeEngine(native.load(kernel.name, compiler, level))
        for level, compiler in product(LEVELS, COMPILERS)
    ]
    subjects = {name: _subject(engine, kernel) for name, engine in engines.items()}
    for one in natives:
        first[one.name] = checked(one, _beside(kernel, one)).wall
        prepared[one.name] = 0.0
        subjects[one.name] = _subject(one, _beside(kernel, one))
    spreads = side_by_side(subjects, settings.effort)
    for one in natives:
        one.close()
    compilers = _faster(natives, spreads)
    return [
        {
            "kernel": kernel.name,
            "bytes": kernel.bytes,
            "engine": name.partition(" ")[0],
            "compiler": compilers.get(name),
            "instructions": instructions,
            "seconds": spread.seconds,
            "seconds_min": spread.fastest,
            "seconds_max": spread.slowest,
            "insn_per_s": instructions / spread.seconds,
            "ratio": spread.times_as_fast_as(spreads[REFERENCE]),
            "helper_bound": kernel.calls_helpers,
            "prepare_us_per_insn": prepared[name] * 1e6 / kernel.length,
            "first_call_seconds": first[name],
        }
        for name, spread in spreads.items()
        if name in engines or name in compilers
    ]


def _beside(kernel: Kernel, one: NativeEngine) -> Kernel:
    return replace(kernel, program=beside(kernel.program, one.native))


def _faster(natives: Sequence[NativeEngine], spreads: Mapping[str, Spread]) -> dict[str, str]:
    """Of each level's native code the faster: its name, and who compiled it."""
    found = {}
    for level in LEVELS:
        same = [one for one in natives if one.native.level == level]
        best = min(same, key=lambda one: spreads[one.name].seconds)
        found[best.name] = best.native.compiler
    return found


def _subject(engine: Engine, kernel: Kernel) -> Call:
    return lambda: checked(engine, kernel).seconds


def _first_calls(kernel: Kernel, settings: Settings) -> dict[str, float]:
    """Seconds on the clock from a loaded program to its first result, on engines that do not know it."""
    return {
        name: median(checked(fresh(engine), kernel).wall for _ in range(settings.effort.rounds))
        for name, engine in settings.engines.items()
    }


def _preparations(kernel: Kernel, settings: Settings) -> dict[str, float]:
    """Seconds by which the first call is longer than the next, where preparing is not put off."""
    return {
        name: max(0.0, median(_preparation(eager(engine), kernel) for _ in range(settings.effort.rounds)))
        for name, engine in settings.engines.items()
    }


def _preparation(engine: Engine, kernel: Kernel) -> float:
    begin = partial(call, engine, kernel, budget=PREPARED_BY)
    return begin().seconds - min(begin().seconds, begin().seconds)
