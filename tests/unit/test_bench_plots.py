"""Plots of results: what is drawn, where, and what is said where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from client.bench import jit, plots, sizes
from client.bench.settings import Row, Settings
from client.bench.timing import Effort
from client.cli import cli
from device.errors import ConfigError
from device.vm.switch import SwitchEngine

LEAST = Effort(warm_s=0.0, rounds=1, sample_s=0.0)
drawn = pytest.mark.skipif(not plots.available(), reason="needs matplotlib")


@pytest.fixture(scope="module")
def results() -> dict[str, list[Row]]:
    settings = Settings(effort=LEAST, engines={"switch": SwitchEngine()}, kernels=("fletcher16", "small"))
    return {"jit": jit.measure(settings), "sizes": sizes.measure(settings), "regions": []}


@drawn
def test_each_plot_is_there_in_each_format(results: dict[str, list[Row]], tmp_path: Path) -> None:
    written = plots.write(results, tmp_path / "new" / "folder")
    names = ["jit_ratios", "jit_checks", "fletcher16", "sizes"]
    assert [file.name for file in written] == [f"{name}.{kind}" for name in names for kind in plots.FORMATS]
    for file in written:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml")


@drawn
def test_what_has_no_rows_is_not_drawn(results: dict[str, list[Row]], tmp_path: Path) -> None:
    others = [row for row in results["jit"] if row["kernel"] != "fletcher16"]
    written = plots.write({"jit": others}, tmp_path)
    assert {file.stem for file in written} == {"jit_ratios", "jit_checks"}


@drawn
def test_the_same_results_give_the_same_files(results: dict[str, list[Row]], tmp_path: Path) -> None:
    one, two = (plots.write({"sizes": results["sizes"]}, tmp_path / name) for name in "ab")
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@drawn
def test_results_that_went_through_json_are_drawn_too(results: dict[str, list[Row]], tmp_path: Path) -> None:
    assert len(plots.write(json.loads(json.dumps(results)), tmp_path)) == 8


@drawn
def test_engines_and_regions_are_drawn(tmp_path: Path) -> None:
    engine = {"kernel": "sort", "bytes": 8, "insn_per_s": 1e6}
    region = {"place": "last", "checked": True, "seconds": 1e-3, "accesses": 100}
    sections: dict[str, list[Row]] = {
        "engines": [{**engine, "engine": name} for name in ("switch", "jit")],
        "regions": [{**region, "engine": "switch", "regions": count} for count in (1, 16)],
    }
    assert {file.stem for file in plots.write(sections, tmp_path)} == {"engines", "regions"}


@drawn
def test_a_folder_that_cannot_be_is_named(results: dict[str, list[Row]], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot write"):
        plots.write(results, tmp_path / "file")


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["bench", "sizes", "--quick", *arguments])


@drawn
def test_the_verb_draws_beside_the_results_or_where_it_is_told(tmp_path: Path) -> None:
    target = str(tmp_path / "results.json")
    result = bench("--to", target)
    assert (result.exit_code, f"2 plots in {tmp_path / 'plots'}" in result.stderr) == (0, True)
    bench("--to", target, "--plots", str(tmp_path / "elsewhere"))
    for folder in ("plots", "elsewhere"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["sizes.png", "sizes.svg"]


def test_without_matplotlib_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.bench.plots.available", lambda: False)
    result = bench("--to", str(tmp_path / "results.json"))
    assert result.exit_code == 0
    assert f"no plots: they need matplotlib, {plots.HINT}" in result.stderr
    refused = bench("--to", str(tmp_path / "results.json"), "--plots", str(tmp_path))
    assert refused.exit_code == 2
    assert "plots need matplotlib" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_json_alone_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench("-o", "json").exit_code == 0
    assert list(tmp_path.iterdir()) == []
