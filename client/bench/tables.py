"""Rows as tables for people, with the engines beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from statistics import geometric_mean
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from client.bench import goals
from client.bench.engines import NATIVE, REFERENCE
from client.bench.settings import Row
from client.text import duration

_WIDTH: Final = 180
_HEAVY: Final = 1000
"""Instructions of a call from which on an engine's speed counts, not what is around it."""


def engines(rows: Sequence[Row]) -> Iterator[str]:
    """Speed, then what comes before it: a line for each kernel and length, columns for each engine."""
    names = list(dict.fromkeys(row["engine"] for row in rows))
    groups = list(_grouped(rows, "kernel", "bytes"))
    speed = table("KERNEL", *numbers("BYTES", "INSNS"))
    before = table("KERNEL", *numbers("BYTES"))
    for name in names:
        ratio = () if name == REFERENCE else ("RATIO",)
        _add_columns(speed, [f"{name.upper()} M/s", "", *ratio])
        if name not in NATIVE:
            _add_columns(before, [f"{name.upper()} µs/INSN", "FIRST"])
    for (kernel, size), group in groups:
        speed.add_row(
            kernel, str(size), str(group[0]["instructions"]), *(cell for row in group for cell in _speed(row))
        )
        before.add_row(
            kernel,
            str(size),
            *(cell for row in group if row["engine"] not in NATIVE for cell in _before(row)),
        )
    yield from lines(speed)
    yield "M/s: million eBPF instructions a second, and the spread. RATIO: to switch, median of the rounds."
    for name in names:
        yield from _summary(name, [row for row in rows if row["engine"] == name])
    yield ""
    yield from lines(before)
    yield "µs/INSN: to prepare, by instruction of the program. FIRST: first call of a program just loaded."
    yield from goals.lines(rows)


def _speed(row: Row) -> list[str]:
    ratio = [] if row["engine"] == REFERENCE else [f"{row['ratio']:.1f}"]
    return [f"{row['insn_per_s'] / 1e6:.2f}", spread(row), *ratio]


def _before(row: Row) -> list[str]:
    return [f"{row['prepare_us_per_insn']:.1f}", duration(row["first_call_seconds"])]


def _summary(name: str, rows: Sequence[Row]) -> Iterator[str]:
    """What the ratios come to; of helper-bound and very short programs apart, which show something else."""
    heavy = [row for row in rows if row["instructions"] >= _HEAVY and not row["helper_bound"]]
    if name == REFERENCE or not heavy:
        return
    mean = geometric_mean(row["ratio"] for row in heavy)
    least = min(heavy, key=lambda row: row["ratio"])
    yield (
        f"{name}: {mean:.1f} times as fast as {REFERENCE} in the geometric mean of {len(heavy)} "
        f"compute kernels, {least['ratio']:.1f} times at least ({least['kernel']} {least['bytes']})"
    )
    bound = [f"{row['ratio']:.1f} ({row['kernel']})" for row in rows if row["helper_bound"]]
    if bound:
        yield f"{name}, bound by helpers: {', '.join(bound)}"


def regions(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each place and engine, a column for each number of regions; and the slope."""
    counts = sorted({row["regions"] for row in rows})
    shown = table(
        "ENGINE", "PLACE", *numbers(*(str(count) for count in counts), f"{counts[-1]} / {counts[0]}")
    )
    for (engine, place, checked), group in _grouped(rows, "engine", "place", "checked"):
        seconds = {row["regions"]: row["seconds"] for row in group}
        each = [f"{seconds[count] / group[0]['accesses'] * 1e9:.0f}" for count in counts]
        shown.add_row(
            engine if checked else f"{engine}, unchecked",
            place,
            *each,
            f"{seconds[counts[-1]] / seconds[counts[0]]:.2f}",
        )
    yield from lines(shown)
    yield "ns for an access and its share of the loop, by the number of extra regions."


def spread(row: Row) -> str:
    """How far the slowest and the fastest round are from the median."""
    far = max(row["seconds_max"] - row["seconds"], row["seconds"] - row["seconds_min"])
    return f"±{far / row['seconds'] * 100:.0f} %"


def numbers(*titles: str) -> tuple[str, ...]:
    """Titles of columns that are set to the right."""
    return tuple(f">{title}" for title in titles)


def table(*titles: str) -> Table:
    """An empty table."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        shown.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left")
    return shown


def _add_columns(shown: Table, titles: Iterable[str]) -> None:
    for title in titles:
        shown.add_column(title, justify="right")


def _grouped(rows: Sequence[Row], *names: str) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    yield from groups.items()


def lines(shown: Table) -> Iterator[str]:
    """A table as text."""
    out = StringIO()
    Console(file=out, width=_WIDTH, color_system=None).print(shown)
    yield from (line.rstrip() for line in out.getvalue().rstrip().splitlines())
