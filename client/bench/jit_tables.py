"""Tables of the sections about compiled code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from client.bench.jit import GEOMEAN
from client.bench.settings import Row
from client.bench.tables import lines, numbers, spread, table


def micros(seconds: float) -> str:
    """A time in µs."""
    return f"{seconds * 1e6:.1f}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


def jit(rows: Sequence[Row]) -> Iterator[str]:
    """Compiled code beside native code; then beside interpreters; then what comes before the first result."""
    kernels = [row for row in rows if row["kernel"] != GEOMEAN]
    yield from _code(rows)
    yield ""
    yield from _calls([row for row in rows if row["checks"]])
    yield ""
    yield from _before([row for row in kernels if row["checks"]])


def _code(rows: Sequence[Row]) -> Iterator[str]:
    shown = table(
        "KERNEL",
        *numbers("BYTES"),
        "CHECKS",
        *numbers("INSNS", "NATIVE", "RATIO", "µs", "", "NATIVE", "RATIO", "CYCLES", "NATIVE", "RATIO"),
        *numbers("CODE", "NATIVE", "eBPF"),
    )
    for row in rows:
        checks = "yes" if row["checks"] else "no"
        ratios = [f"{row[name]:.2f}" for name in ("instruction_ratio", "wall_ratio", "cycle_ratio")]
        if row["kernel"] == GEOMEAN:
            shown.add_row(
                GEOMEAN, "", checks, "", "", ratios[0], "", "", "", ratios[1], "", "", ratios[2], "", "", ""
            )
            continue
        shown.add_row(
            row["kernel"],
            str(row["bytes"]),
            checks,
            str(row["arm_instructions"]),
            str(row["native_arm_instructions"]),
            ratios[0],
            micros(row["seconds"]),
            spread(row),
            micros(row["native_seconds"]),
            ratios[1],
            str(row["cycles"]),
            str(row["native_cycles"]),
            ratios[2],
            str(row["code_bytes"]),
            str(row["native_code_bytes"]),
            str(row["ebpf_bytes"]),
        )
    yield from lines(shown)
    yield "NATIVE: C at -O2 for a Cortex-M4 on the same machine, by whichever compiler does better in that"
    yield "figure. CYCLES: modelled, not measured. geomean: of compute kernels, where lengths count as one."


def _calls(rows: Sequence[Row]) -> Iterator[str]:
    shown = table(
        "KERNEL", *numbers("BYTES", "CALL µs", "x INTERPRETER", "x SWITCH", "CEILING", "x UNCHECKED")
    )
    names = ("interpreter_ratio", "switch_ratio", "native_interpreter_ratio", "unchecked_ratio")
    for row in rows:
        call = micros(row["call_seconds"]) if "call_seconds" in row else ""
        cells = [f"{row[name]:.2f}" if row.get(name) is not None else "" for name in names]
        shown.add_row(row["kernel"], str(row["bytes"] or ""), call, *cells)
    yield from lines(shown)
    yield "A whole call: how often as fast as the interpreters. CEILING: native code against the interpreter."
    yield "x UNCHECKED: the time of checked code by that of code without tests, which no product path makes."


def _before(rows: Sequence[Row]) -> Iterator[str]:
    shown = table(
        "KERNEL", *numbers("BYTES", "LOAD µs", "VERIFY", "COMPILE", "BY INSN", "FIRST", "CALL", "BREAK-EVEN")
    )
    for row in rows:
        runs = row["break_even_runs"]
        shown.add_row(
            row["kernel"],
            str(row["bytes"]),
            *(micros(row[name] / 1e6) for name in ("load_us", "verify_us", "compile_us")),
            f"{row['compile_us_per_insn']:.1f}",
            micros(row["first_result_ms"] / 1e3),
            micros(row["call_seconds"]),
            "never" if runs is None else f"{runs:.1f}",
        )
    yield from lines(shown)
    yield "FIRST: from a loaded program to its first result. BREAK-EVEN: calls after which compiling has paid"
    yield "against the interpreter once it is warm."


def sizes(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each published program: bytes in each layout, compiled, native; and what was published."""
    shown = table(
        "PROGRAM",
        *numbers(
            "TEXT", "FEMTO", "EXTENDED", "ELF", "STRIPPED", "JIT", "PUBLISHED", "JIT / eBPF", "NATIVE -Os"
        ),
    )
    names = ("text", "femto", "extended", "elf", "elf_stripped", "jit", "published_jit")
    for row in rows:
        cells = ["-" if row[name] is None else str(row[name]) for name in names]
        shown.add_row(row["program"], *cells, f"{row['jit_ebpf_ratio']:.2f}", str(row["native_os"]))
    yield from lines(shown)
    within = sum(row["jit"] <= row["published_jit"] for row in rows)
    yield f"JIT: code with its literals and constant data; {within} of {len(rows)} no larger than published."
    mean = fmean(row["jit_ebpf_ratio"] for row in rows)
    yield f"JIT / eBPF: code alone by the bytes of the eBPF text; {mean:.2f} in the mean."
