"""The evaluation's own arithmetic, its rows and tables, and the verb; no test says how fast anything is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from client.bench import engines, kernels, machine, regions, sections, tables
from client.bench.running import WrongResultError, call, checked
from client.bench.settings import Row, Settings, eager, fresh
from client.bench.timing import QUICK, Effort, Spread, side_by_side
from client.cli import cli
from client.commands.bench import SECTIONS
from device.engines import ENGINES
from device.errors import ConfigError
from device.vm.memory import MAX_EXTRA_REGIONS
from device.vm.program import Outcome, Program, Run
from device.vm.switch import SwitchEngine

LEAST = Effort(warm_s=0.0, rounds=1, sample_s=0.0)
SMALL = Settings(effort=LEAST, kernels=("small", "fletcher16"))

ENGINE_NAMES = {
    "kernel", "bytes", "engine", "instructions",
    "seconds", "seconds_min", "insn_per_s", "prepare_us_per_insn",
}  # fmt: skip
REGION_NAMES = {"regions", "checked", "seconds"}
"""Names that evaluation.md promises to scripts."""


def test_rounds_take_turns_and_samples_have_the_length_asked_for() -> None:
    order: list[str] = []

    def subject(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    effort = Effort(warm_s=0.0, rounds=2, sample_s=1.0)
    spreads = side_by_side({"a": lambda: subject("a", 0.5), "b": lambda: subject("b", 2.0)}, effort)
    assert order == ["a", "b", *["a", "a", "b"] * 2]
    assert spreads == {"a": Spread((0.5, 0.5)), "b": Spread((2.0, 2.0))}


def test_a_spread_is_its_median_and_ratios_are_taken_within_rounds() -> None:
    slow, fast = Spread((10.0, 40.0, 20.0)), Spread((1.0, 8.0, 2.0))
    assert (slow.seconds, slow.fastest, slow.slowest) == (20.0, 10.0, 40.0)
    assert fast.times_as_fast_as(slow) == 10.0


def test_warming_up_takes_its_time() -> None:
    calls: list[float] = []

    def subject() -> float:
        calls.append(1.0)
        return 1.0

    side_by_side({"a": subject}, replace(LEAST, warm_s=0.01))
    assert len(calls) > 10


@pytest.fixture(scope="module")
def engine_rows() -> list[Row]:
    return engines.measure(SMALL)


def test_rows_of_engines_have_the_promised_names(engine_rows: list[Row]) -> None:
    assert [(row["kernel"], row["bytes"], row["engine"]) for row in engine_rows] == [
        (kernel, size, engine)
        for kernel, size in [*(("fletcher16", 80 << shift) for shift in range(6)), ("small", 4)]
        for engine in (*ENGINES, "native-O2", "native-Os")
    ]
    for row in engine_rows:
        assert row.keys() >= ENGINE_NAMES
        assert row["compiler"] in (("gcc", "clang") if row["engine"].startswith("native") else (None,))
        assert all(isinstance(row[name], int | float | str) for name in row.keys() - {"compiler"}), "flat"
        assert row["insn_per_s"] == row["instructions"] / row["seconds"]
        assert 0 < row["seconds_min"] <= row["seconds"] <= row["seconds_max"]
        assert row["prepare_us_per_insn"] >= 0
        assert row["first_call_seconds"] > 0
    assert {row["ratio"] for row in engine_rows if row["engine"] == "switch"} == {1.0}


def test_columns_come_from_the_engines_there_are(engine_rows: list[Row]) -> None:
    shown = list(tables.engines(engine_rows))
    for name in ENGINES:
        assert f"{name.upper()} M/s" in shown[0]
    alone = list(tables.engines([row for row in engine_rows if row["engine"] == "switch"]))
    assert "INTERPRETER" not in alone[0]
    assert sum("fletcher16" in line for line in alone) == 6 + 6, "speed, and what comes before it"


def row(engine: str, kernel: str, ratio: float, **other: Any) -> Row:
    return {
        "kernel": kernel, "bytes": 0, "engine": engine, "instructions": 5000, "seconds": 1.0,
        "seconds_min": 0.9, "seconds_max": 1.2, "insn_per_s": 5e6, "ratio": ratio, "helper_bound": False,
        "prepare_us_per_insn": 1.0, "first_call_seconds": 1.0, **other,
    }  # fmt: skip


def test_the_summary_leaves_helpers_and_tiny_programs_apart() -> None:
    rows = [
        row("fast", "sum", 4.0),
        row("fast", "sort", 9.0),
        row("fast", "store", 1.5, helper_bound=True),
        row("fast", "tiny", 100.0, instructions=10),
    ]
    shown = list(tables.engines([*(row("switch", r["kernel"], 1.0) for r in rows), *rows]))
    summary, bound = (line for line in shown if line.startswith("fast"))
    assert summary.startswith("fast: 6.0 times as fast as switch in the geometric mean of 2 compute kernels")
    assert summary.endswith("4.0 times at least (sum 0)")
    assert bound == "fast, bound by helpers: 1.5 (store)"


def test_regions_are_measured_from_one_to_all() -> None:
    settings = Settings(effort=LEAST, engines={"switch": SwitchEngine()})
    rows = regions.measure(settings)
    assert {row["regions"] for row in rows} == set(regions.COUNTS)
    assert max(regions.COUNTS) == MAX_EXTRA_REGIONS
    assert all(row.keys() >= REGION_NAMES and row["checked"] is True for row in rows)
    assert all(row["engine"] == "switch" for row in rows)
    first, *_ = tables.regions(rows)
    assert first.split() == ["ENGINE", "PLACE", "1", "2", "4", "8", "12", "16", "16", "/", "1"]


def test_only_compiled_code_is_also_measured_without_tests() -> None:
    names = ("interpreter", "jit")
    rows = regions.measure(Settings(effort=LEAST, engines={name: ENGINES[name] for name in names}))
    measured = {(row["engine"], row["checked"]) for row in rows}
    assert measured == {("interpreter", True), ("jit", True), ("jit", False)}
    assert any(line.startswith("jit, unchecked") for line in tables.regions(rows))


class Wrong:
    name = "wrong"

    def run(self, program: Program, run: Run) -> Outcome:
        return Outcome(1, None, 1)


def test_a_wrong_result_ends_the_benchmark() -> None:
    kernel = kernels.load()[0]
    with pytest.raises(WrongResultError, match="arith64 over 0 bytes on wrong: returned 1, not"):
        checked(Wrong(), kernel)
    with pytest.raises(WrongResultError, match="OUT_OF_INSTRUCTIONS"):
        checked(Short(), kernel)


class Short:
    name = "short"

    def run(self, program: Program, run: Run) -> Outcome:
        run.budget = 3
        return SwitchEngine().run(program, run)


class Lazy:
    name = "lazy"

    def __init__(self, *, hot_after: int = 5, background: bool = True) -> None:
        self.when = (hot_after, background)

    def run(self, program: Program, run: Run) -> Outcome:
        raise NotImplementedError


def test_engines_are_made_anew_and_prepare_at_once_where_they_can() -> None:
    lazy = Lazy()
    new, forced = fresh(lazy), eager(lazy)
    assert isinstance(new, Lazy)
    assert isinstance(forced, Lazy)
    assert new is not lazy
    assert (new.when, forced.when) == ((5, True), (0, False))
    assert isinstance(eager(SwitchEngine()), SwitchEngine)


def test_calls_begin_from_fresh_memory() -> None:
    """The sort finds its numbers unsorted each time."""
    kernel = next(kernel for kernel in kernels.load() if kernel.name == "sort")
    engine = SwitchEngine()
    one, two = (call(engine, kernel).outcome for _ in range(2))
    assert one == two


def test_results_are_one_object_with_meta_and_sections() -> None:
    seen: list[str] = []
    results = sections.run(
        ["engines"], replace(SMALL, kernels=("small",)), lambda name, _section, _rows: seen.append(name)
    )
    shown = json.loads(json.dumps(results.to_map()))
    assert seen == ["engines"] == list(shown["sections"])
    assert shown["meta"].keys() >= {"version", "python", "processor", "cores", "time", "rounds"}


def test_the_machine_is_described(tmp_path: Path) -> None:
    source = tmp_path / "cpuinfo"
    source.write_text("processor : 0\nmodel name\t: Some CPU @ 1 GHz\nmodel name\t: Some CPU @ 1 GHz\n")
    assert machine.processor(source) == "Some CPU @ 1 GHz"
    assert machine.processor(tmp_path / "none")
    facts = machine.facts(QUICK, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert (facts["time"], facts["rounds"]) == ("2026-01-02T00:00:00+00:00", QUICK.rounds)


def test_the_verb_knows_all_sections() -> None:
    assert list(SECTIONS) == list(sections.SECTIONS)


@pytest.fixture
def least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.bench.timing.QUICK", LEAST)


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["bench", "engines", "--quick", "--kernel", "small", *arguments])


@pytest.mark.usefixtures("least")
def test_the_verb_shows_tables_and_writes_results(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    result = bench("--to", str(target))
    assert result.exit_code == 0
    assert "engines: speed of the engines" in result.stdout
    assert f"written to {target}" in result.stderr
    assert {row["kernel"] for row in json.loads(target.read_text())["sections"]["engines"]} == {"small"}


@pytest.mark.usefixtures("least")
def test_json_goes_to_stdout_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = json.loads(bench("-o", "json").stdout)
    assert shown.keys() == {"meta", "sections"}
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_that_is_none_is_named() -> None:
    result = CliRunner().invoke(cli, ["bench", "engines", "--kernel", "fly"])
    assert result.exit_code == 2
    assert "fly" in result.stderr
    with pytest.raises(ConfigError, match="fly"):
        engines.measure(replace(SMALL, kernels=("fly",)))
