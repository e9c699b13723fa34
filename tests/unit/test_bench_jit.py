"""The sections about compiled code: rows, means and tables; no test says how fast or small anything is."""

from __future__ import annotations

from dataclasses import replace
from statistics import geometric_mean
from typing import Any

import pytest

from client.bench import jit, jit_tables, sizes
from client.bench.settings import Row, Settings
from client.bench.timing import Effort
from device.vm.interpreter import InterpreterEngine
from device.vm.switch import SwitchEngine

LEAST = Effort(warm_s=0.0, rounds=1, sample_s=0.0)
SMALL = Settings(
    effort=LEAST,
    engines={"switch": SwitchEngine(), "interpreter": InterpreterEngine()},
    kernels=("small", "fletcher16", "helper_calls"),
)
JIT_NAMES = {
    "kernel", "bytes", "arm_instructions", "native_arm_instructions", "instruction_ratio", "wall_ratio",
    "cycles", "native_cycles", "cycle_ratio", "code_bytes", "native_code_bytes", "ebpf_bytes",
    "compile_us_per_insn", "first_result_ms", "checks",
}  # fmt: skip
SIZE_NAMES = {
    "program", "text", "femto", "extended", "elf", "elf_stripped", "jit", "exact_code", "jit_ebpf_ratio",
    "published_jit",
}  # fmt: skip
"""Names that evaluation.md promises to scripts."""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return jit.measure(SMALL)


def test_rows_have_the_promised_names_and_the_mean_comes_last(rows: list[Row]) -> None:
    kernels = [row for row in rows if row["kernel"] != jit.GEOMEAN]
    names = [("fletcher16", 80 << shift) for shift in range(6)]
    names += [("helper_calls", 0), ("small", 4)]
    assert [(row["kernel"], row["bytes"], row["checks"]) for row in kernels] == [
        (*name, checks) for name in names for checks in (True, False)
    ]
    assert [(row["kernel"], row["checks"]) for row in rows[-2:]] == [("geomean", False), ("geomean", True)]
    assert all(row.keys() >= JIT_NAMES for row in kernels)
    assert all(
        value is None or isinstance(value, int | float | str) for row in rows for value in row.values()
    )


def test_ratios_are_of_the_figures_beside_them(rows: list[Row]) -> None:
    for row in rows[:-2]:
        assert row["instruction_ratio"] == row["arm_instructions"] / row["native_arm_instructions"]
        assert row["cycle_ratio"] == row["cycles"] / row["native_cycles"]
        assert row["cycles"] > row["arm_instructions"]
        assert row["wall_ratio"] > 0
        assert row["compiler"] in ("gcc", "clang")


def test_without_tests_code_is_shorter_and_executes_less(rows: list[Row]) -> None:
    for with_tests, without in zip(rows[:-2:2], rows[1:-2:2], strict=True):
        assert without["arm_instructions"] < with_tests["arm_instructions"]
        assert without["code_bytes"] < with_tests["code_bytes"]
        assert "interpreter_ratio" not in without


def row(kernel: str, ratio: float, **other: Any) -> Row:
    return {
        "kernel": kernel, "bytes": 0, "checks": True, "instructions": 5000, "helper_bound": False,
        "instruction_ratio": ratio, "wall_ratio": ratio, "cycle_ratio": ratio, **other,
    }  # fmt: skip


def test_the_mean_is_of_compute_kernels_and_lengths_count_as_one() -> None:
    measured = [
        row("sum", 1.0),
        row("sum", 4.0),
        row("sort", 8.0, interpreter_ratio=12.0),
        row("sort", 100.0, checks=False),
        row("store", 50.0, helper_bound=True),
        row("tiny", 70.0, instructions=10),
    ]
    mean = jit.means(measured, checks=True)
    assert mean["kernels"] == 2
    assert mean["instruction_ratio"] == pytest.approx(geometric_mean([2.0, 8.0]))
    assert mean["interpreter_ratio"] == pytest.approx(12.0)
    assert "switch_ratio" not in mean
    assert jit.means(measured[-2:], checks=True) == {}


def test_tables_show_every_row(rows: list[Row]) -> None:
    shown = list(jit_tables.jit(rows))
    assert sum(line.startswith("fletcher16") for line in shown) == 6 * 4
    assert sum(line.startswith("geomean") for line in shown) == 3
    assert not any("None" in line for line in shown)


def test_without_compute_kernels_there_is_no_mean() -> None:
    rows = jit.measure(replace(SMALL, kernels=("small",)))
    assert [row["kernel"] for row in rows] == ["small", "small"]
    assert list(jit_tables.jit(rows))


def test_sizes_have_the_promised_names_and_all_ten_programs() -> None:
    rows = sizes.measure(Settings(effort=LEAST))
    assert len(rows) == 10
    for row in rows:
        assert row.keys() >= SIZE_NAMES
        assert row["jit"] == row["code"] + row["constants"]
        assert row["jit_ebpf_ratio"] == row["code"] / row["ebpf_bytes"]
        assert row["ebpf_bytes"] < row["femto"] < row["extended"] < row["elf_stripped"] < row["elf"]
        assert row["native_os"] > 0
        assert row["exact_code"] > row["ebpf_bytes"], "one of Python's functions for each instruction"
    by_name = {row["program"]: row for row in rows}
    assert by_name["printf"]["text"] is None, "its literals need .rodata"
    assert by_name["bpf_fetch"]["text"] == by_name["bpf_fetch"]["ebpf_bytes"]
    shown = list(jit_tables.sizes(rows))
    assert sum(any(line.startswith(name) for name in by_name) for line in shown) == 10
