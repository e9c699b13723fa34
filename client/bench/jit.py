"""Section `jit`: compiled code beside native C and the interpreters, with its checks and without.

Instructions and cycles are counted in runs of their own. Times are those of the machine alone, so that code
is compared with code; the whole call is what `call_seconds` and the ratios to the interpreters are about.
Each ratio is to the compiler that does better in that very figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import Final

from client.bench import kernels, native
from client.bench.kernels import Kernel
from client.bench.native import COMPILERS, LEVELS, Native
from client.bench.native_engine import BenchJit, NativeEngine, TimedMachine, beside
from client.bench.preparing import Preparation, prepared
from client.bench.running import checked, prepare
from client.bench.settings import Row, Settings, fresh
from client.bench.timing import Call, Spread, side_by_side
from device.jit.counting import CountingMachine, Executed
from device.jit.machine import Machine
from device.vm.program import Engine

INTERPRETERS: Final = ("interpreter", "switch")
GEOMEAN: Final = "geomean"
HEAVY: Final = 1000
"""Instructions of a call from which on the code's speed counts, not what is around it."""

MEANS: Final = (
    "instruction_ratio",
    *(f"{compiler}_ratio" for compiler in COMPILERS),
    "wall_ratio",
    "cycle_ratio",
    "unchecked_ratio",
    "interpreter_ratio",
    "switch_ratio",
    "native_interpreter_ratio",
    "compile_us_per_insn",
)
"""What the last rows have the geometric mean of."""


def measure(settings: Settings) -> list[Row]:
    """Two rows for each kernel and length, checked and not; then the means. Raises ConfigError."""
    wanted = kernels.choose(settings.kernels)
    settings.progress.start(len(wanted))
    rows: list[Row] = []
    for kernel in wanted:
        rows += _rows(kernel, settings)
        settings.progress.advance()
    return rows + [mean for checks in (False, True) if (mean := means(rows, checks=checks))]


def means(rows: Sequence[Row], *, checks: bool) -> Row:
    """The geometric mean over the compute kernels; lengths of one kernel count as one. Empty without any."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["checks"] == checks and row["instructions"] >= HEAVY and not row["helper_bound"]:
            groups.setdefault(row["kernel"], []).append(row)
    if not groups:
        return {}
    mean: Row = {"kernel": GEOMEAN, "bytes": None, "checks": checks, "kernels": len(groups)}
    for name in MEANS:
        each = [[row[name] for row in group if row.get(name)] for group in groups.values()]
        known = [geometric_mean(values) for values in each if values]
        if known:
            mean[name] = geometric_mean(known)
    return mean


@dataclass(frozen=True, slots=True)
class _Code:
    """Code with what it executes in a call."""

    bytes: int
    executed: Executed


def _rows(kernel: Kernel, settings: Settings) -> list[Row]:
    compiled = {checks: _counted_jit(kernel, checks=checks) for checks in (True, False)}
    natives = {
        (compiler, level): _counted_native(kernel, native.load(kernel.name, compiler, level))
        for level in LEVELS
        for compiler in COMPILERS
    }
    before = prepared(kernel, settings)
    spreads = _timed(kernel, settings)
    instructions = checked(fresh(settings.engines["switch"]), kernel).outcome.instructions
    rows = [_row(kernel, checks, code, natives, spreads, before) for checks, code in compiled.items()]
    for row in rows:
        row["instructions"] = instructions
    rows[0] |= _beside_interpreters(spreads, before)
    return rows


def _row(
    kernel: Kernel,
    checks: bool,
    code: _Code,
    natives: Mapping[tuple[str, str], _Code],
    spreads: Mapping[str, Spread],
    before: Preparation,
) -> Row:
    best = {level: [natives[compiler, level] for compiler in COMPILERS] for level in LEVELS}
    native_instructions = min(one.executed.instructions for one in best["O2"])
    native_cycles = min(one.executed.cycles for one in best["O2"])
    jit = spreads[_jit(checks=checks)]
    ratios = {compiler: 1 / jit.times_as_fast_as(spreads[compiler]) for compiler in COMPILERS}
    compiler = max(ratios, key=ratios.__getitem__)
    fastest = spreads[compiler]
    return {
        "kernel": kernel.name,
        "bytes": kernel.bytes,
        "checks": checks,
        "arm_instructions": code.executed.instructions,
        "native_arm_instructions": native_instructions,
        "instruction_ratio": code.executed.instructions / native_instructions,
        "wall_ratio": ratios[compiler],
        "cycles": code.executed.cycles,
        "native_cycles": native_cycles,
        "cycle_ratio": code.executed.cycles / native_cycles,
        "code_bytes": code.bytes,
        "native_code_bytes": natives[compiler, "O2"].bytes,
        "ebpf_bytes": len(kernel.program.text),
        "compile_us_per_insn": before.compile_s * 1e6 / kernel.length,
        "first_result_ms": before.first_result_s * 1e3,
        "compiler": compiler,
        "seconds": jit.seconds,
        "seconds_min": jit.fastest,
        "seconds_max": jit.slowest,
        "native_seconds": fastest.seconds,
        **_by_compiler(code, natives),
        "native_os_arm_instructions": min(one.executed.instructions for one in best["Os"]),
        "native_os_code_bytes": min(one.bytes for one in best["Os"]),
        "helper_bound": kernel.calls_helpers,
    }


def _by_compiler(code: _Code, natives: Mapping[tuple[str, str], _Code]) -> Row:
    """Instructions of each compiler's code, and the ratio to it."""
    row: Row = {}
    for compiler in COMPILERS:
        executed = natives[compiler, "O2"].executed.instructions
        row[f"{compiler}_arm_instructions"] = executed
        row[f"{compiler}_ratio"] = code.executed.instructions / executed
    return row


def _beside_interpreters(spreads: Mapping[str, Spread], before: Preparation) -> Row:
    """What the checked code is against: itself without checks, and the interpreters, as whole calls."""
    call = spreads["call"]
    row: Row = {
        "unchecked_ratio": 1 / spreads[_jit(checks=True)].times_as_fast_as(spreads[_jit(checks=False)]),
        "call_seconds": call.seconds,
        "load_us": before.load_s * 1e6,
        "verify_us": before.verify_s * 1e6,
        "compile_us": before.compile_s * 1e6,
        "break_even_runs": None,
    }
    for name in INTERPRETERS:
        if name in spreads:
            row[f"{name}_ratio"] = call.times_as_fast_as(spreads[name])
    if "interpreter" in spreads:
        interpreter = spreads["interpreter"]
        row["native_interpreter_ratio"] = max(
            spreads[compiler].times_as_fast_as(interpreter) for compiler in COMPILERS
        )
        row["interpreter_seconds"] = interpreter.seconds
        if interpreter.seconds > call.seconds:
            row["break_even_runs"] = before.compile_s / (interpreter.seconds - call.seconds)
    return row


def _jit(*, checks: bool) -> str:
    return "checked" if checks else "unchecked"


# Counting


def _counted_jit(kernel: Kernel, *, checks: bool) -> _Code:
    engine = BenchJit(CountingMachine, checked=checks)
    checked(engine, kernel)
    machine = engine.machine
    assert isinstance(machine, CountingMachine)  # noqa: S101 - it is what the engine was given
    machine.forget()
    checked(engine, kernel)
    code = engine.compile(kernel.program, prepare(kernel))
    return _Code(sum(len(one.code.text) for one in code), machine.executed())


def _counted_native(kernel: Kernel, code: Native) -> _Code:
    engine = NativeEngine(code, CountingMachine)
    checked(engine, replace(kernel, program=beside(kernel.program, code)))
    machine = engine.machine
    assert isinstance(machine, CountingMachine)  # noqa: S101 - it is what the engine was given
    executed = machine.executed()
    engine.close()
    return _Code(len(code.text), executed)


# Timing


def _timed(kernel: Kernel, settings: Settings) -> dict[str, Spread]:
    """Seconds by subject; all take turns in the same rounds."""
    jits = {_jit(checks=checks): BenchJit(checked=checks) for checks in (True, False)}
    natives = {compiler: NativeEngine(native.load(kernel.name, compiler, "O2")) for compiler in COMPILERS}
    subjects: dict[str, Call] = {name: _code_alone(engine, kernel) for name, engine in jits.items()}
    for compiler, engine in natives.items():
        program = beside(kernel.program, engine.native)
        subjects[compiler] = _code_alone(engine, replace(kernel, program=program))
    subjects["call"] = _whole(BenchJit(Machine), kernel)  # one that does not look at the clock itself
    for name in INTERPRETERS:
        if name in settings.engines:
            subjects[name] = _whole(fresh(settings.engines[name]), kernel)
    spreads = side_by_side(subjects, settings.effort)
    for engine in natives.values():
        engine.close()
    return spreads


def _whole(engine: Engine, kernel: Kernel) -> Call:
    return lambda: checked(engine, kernel).seconds


def _code_alone(engine: BenchJit | NativeEngine, kernel: Kernel) -> Call:
    """The machine's time where one run of it was all; else, where code was left, that of the whole call."""

    def seconds() -> float:
        machine = engine.machine
        spent, rounds = (machine.seconds, machine.rounds) if isinstance(machine, TimedMachine) else (0.0, 0)
        whole = checked(engine, kernel).seconds
        machine = engine.machine
        if isinstance(machine, TimedMachine) and machine.rounds == rounds + 1:
            return machine.seconds - spent
        return whole

    return seconds
