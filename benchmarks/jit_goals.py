"""What the JIT reached against each of its goals (engines.md, "JIT"), as a table in Markdown.

    .venv/bin/python benchmarks/jit_goals.py [RESULTS.json] > benchmarks/results/jit_goals.md

Reads what `client bench jit sizes` wrote; nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import ge, le
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from client.bench.jit import means

Row = dict[str, Any]
RESULTS: Final = Path(__file__).resolve().parent / "results" / "latest.json"
HELPERS_CALLED: Final = 1000
"""By the kernel helper_calls, in one call."""

SOFT: Final = "divide"
"""The kernel where native code divides 64 bits in software and ours knows that 32 do."""

FORTY: Final = 40


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, how it is to compare with its goal, and what it is in words."""

    words: str
    reached: float
    compare: Callable[[float, float], bool]
    goal: float
    unit: str = ""
    note: str = ""

    def line(self) -> str:
        """A row of the table."""
        sign = "≤" if self.compare is le else "≥"
        verdict = "yes" if self.compare(self.reached, self.goal) else "no"
        unit = f" {self.unit}" if self.unit else ""
        cells = (self.words, f"{sign} {self.goal:g}{unit}", f"{self.reached:.3g}{unit}", verdict, self.note)
        return f"| {' | '.join(cells)} |"


def checked(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows of checked code, of these kernels."""
    return [row for row in rows if row["checks"] and row["kernel"] in names]


def extreme(rows: Sequence[Row], name: str, worst: Callable[..., Row]) -> tuple[float, str]:
    """The worst figure, and whose it is."""
    row = worst(rows, key=lambda row: row[name])
    return row[name], f"{row['kernel']} {row['bytes']}"


def speed(rows: Sequence[Row]) -> Iterator[Goal]:
    """Against native code, without tests, the interpreters."""
    (mean,) = checked(rows, "geomean")
    fletcher = [row for row in checked(rows, "fletcher16") if row["bytes"] >= 640]
    arithmetic = [row for row in checked(rows, "arith64", "fletcher16") if row["bytes"] in (0, 2560)]
    stores = checked(rows, "copy")
    compute = f"{mean['kernels']} kernels"
    rest = means([row for row in rows if row["kernel"] not in ("geomean", SOFT)], checks=True)
    for words, name in (
        ("instructions / native -O2, mean", "instruction_ratio"),
        ("time / native -O2, mean", "wall_ratio"),
    ):
        yield Goal(words, mean[name], le, 1.25, note=f"{compute}; without {SOFT} {rest[name]:.3g}")
    yield Goal("time / without tests, mean", mean["unchecked_ratio"], le, 1.1, note=compute)
    worst, whose = extreme(fletcher, "wall_ratio", max)
    yield Goal("Fletcher16 from 640 bytes, time / native", worst, le, 1.3, note=f"worst: {whose}")
    yield Goal("modelled cycles / native -O2, mean", mean["cycle_ratio"], le, 1.5, note=compute)
    ceiling = f"native: {mean['native_interpreter_ratio']:.3g} times"
    yield Goal("speed of the interpreter, mean", mean["interpreter_ratio"], ge, 12, "times", ceiling)
    for words, group, name, goal in (
        ("speed of the interpreter, 64-bit and Fletcher from 2560", arithmetic, "interpreter_ratio", 25),
        ("speed of the interpreter, stores", stores, "interpreter_ratio", 4),
    ):
        least, whose = extreme(group, name, min)
        yield Goal(words, least, ge, goal, "times", f"least: {whose}")
    yield Goal("speed of switch, mean", mean["switch_ratio"], ge, 120, "times", compute)
    least, whose = extreme(stores, "switch_ratio", min)
    yield Goal("speed of switch, stores", least, ge, 50, "times", f"least: {whose}")


def size(rows: Sequence[Row]) -> Iterator[Goal]:
    """Bytes."""
    ratio = fmean(row["jit_ebpf_ratio"] for row in rows)
    larger = [row["program"] for row in rows if row["jit"] > row["published_jit"]]
    yield Goal("code / eBPF text, ten programs, mean", ratio, le, 0.5)
    within = len(rows) - len(larger)
    yield Goal(
        "programs no larger than published", within, ge, len(rows), note="larger: " + ", ".join(larger)
    )


def preparing(rows: Sequence[Row]) -> Iterator[Goal]:
    """What comes before the first result, and around each call."""
    kernels = [row for row in rows if row["checks"] and row["kernel"] != "geomean"]
    compiling = median(row["compile_us_per_insn"] for row in kernels)
    worst, whose = extreme(kernels, "compile_us_per_insn", max)
    note = f"median; {worst:.0f} at most: {whose}"
    yield Goal("compile, for an eBPF instruction", compiling, le, 25, "µs", note)
    nearest = min(kernels, key=lambda row: abs(row["compile_us"] / row["compile_us_per_insn"] - FORTY))
    note = f"{nearest['kernel']}, {nearest['compile_us'] / nearest['compile_us_per_insn']:.0f} instructions"
    yield Goal("first result of some 40 instructions", nearest["first_result_ms"], le, 1.5, "ms", note)
    (small,) = checked(rows, "small")
    yield Goal("warm call, of the machine", small["seconds"] * 1e6, le, 3, "µs", "small")
    yield Goal("warm call, of the engine", small["call_seconds"] * 1e6, le, 3, "µs", "small")
    (helpers,) = checked(rows, "helper_calls")
    each = helpers["seconds"] * 1e6 / HELPERS_CALLED
    yield Goal("helper call, bpf_strlen itself included", each, le, 0.8, "µs", "helper_calls")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="?", metavar="RESULTS.json", type=Path, default=RESULTS)
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    meta, sections = results["meta"], results["sections"]
    print("# What the JIT reached against each of its goals\n")
    print("Written by `benchmarks/jit_goals.py` from the results of a run.\n")
    print(f"{meta['time']}, {meta['processor']}, load {meta['load']}, {meta['python']}\n")
    print("| goal | | reached | | |\n|---|---|---|---|---|")
    for goal in (*speed(sections["jit"]), *size(sections["sizes"]), *preparing(sections["jit"])):
        print(goal.line())


if __name__ == "__main__":
    main()
