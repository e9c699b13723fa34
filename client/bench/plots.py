"""Plots of the results, as PNG and SVG; needs matplotlib, which the extra `plots` brings.

Only what was measured is drawn: a section that did not run has no plot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from client.bench.jit import GEOMEAN
from client.bench.settings import Row
from device.errors import ConfigError

HINT: Final = "pip install 'micro-bpf-fleet[plots]'"
FORMATS: Final = ("png", "svg")

_GOAL: Final = 1.25
_DPI: Final = 120
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.alpha": 0.4,
    "svg.hashsalt": "micro-bpf-fleet",  # identical results give identical files
    "figure.constrained_layout.use": True,
}
Draw = Callable[[Any, Sequence[Row]], None]
"""Draws rows of a section on matplotlib's axes."""


def available() -> bool:
    """Whether plots can be drawn here."""
    return find_spec("matplotlib") is not None


def write(sections: Mapping[str, Sequence[Row]], folder: Path) -> list[Path]:
    """Draw what there is into a folder; the files. Raises ConfigError without matplotlib, or a folder."""
    if not available():
        raise ConfigError("plots need matplotlib", code="plots", hint=HINT)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    written: list[Path] = []
    with rc_context(_STYLE):
        for name, (section, shown, draw) in PLOTS.items():
            rows = [row for row in sections.get(section, ()) if shown(row)]
            if rows:
                figure = Figure(figsize=(9, 4.5))
                draw(figure.subplots(), rows)
                written += _save(figure, folder / name)
    return written


def _save(figure: Any, stem: Path) -> list[Path]:
    files = [stem.with_suffix(f".{kind}") for kind in FORMATS]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for file in files:
            metadata = {"Date": None} if file.suffix == ".svg" else {"Software": None}
            figure.savefig(file, dpi=_DPI, metadata=metadata)
    except OSError as error:
        raise ConfigError(f"cannot write {stem}: {error.strerror}", code="file", where=str(stem)) from error
    return files


def _bars(axes: Any, labels: Sequence[str], groups: Mapping[str, Sequence[float | None]]) -> None:
    """Bars side by side for each label; what is None is left out."""
    width = 0.8 / len(groups)
    for index, (name, values) in enumerate(groups.items()):
        places = [place + (index - (len(groups) - 1) / 2) * width for place in range(len(labels))]
        known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        axes.bar([place for place, _ in known], [value for _, value in known], width, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.legend()


def _label(row: Row) -> str:
    return f"{row['kernel']} {row['bytes']}" if row["bytes"] else str(row["kernel"])


def _ratios(axes: Any, rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row["checks"]]
    titles = {"instruction_ratio": "instructions", "wall_ratio": "time", "cycle_ratio": "modelled cycles"}
    groups = {title: [row[name] for row in shown] for name, title in titles.items()}
    _bars(axes, [_label(row) for row in shown], groups)
    axes.axhline(1, color="black", linewidth=1)
    axes.axhline(_GOAL, color="black", linewidth=1, linestyle="--")
    axes.set_ylabel("compiled eBPF / native C at -O2")
    axes.set_title(f"Compiled code, checked, beside native code (dashed: {_GOAL})")


def _checks(axes: Any, rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row["kernel"] != GEOMEAN]
    labels = [_label(row) for row in shown if row["checks"]]
    groups = {
        title: [row["arm_instructions"] / row["instructions"] for row in shown if row["checks"] == checks]
        for checks, title in ((True, "checked"), (False, "without tests"))
    }
    groups["native C at -O2"] = [
        row["native_arm_instructions"] / row["instructions"] for row in shown if row["checks"]
    ]
    _bars(axes, labels, groups)
    axes.set_ylabel("Arm instructions for an eBPF instruction")
    axes.set_title("What is executed for an eBPF instruction")


def _fletcher(axes: Any, rows: Sequence[Row]) -> None:
    sizes = [row["bytes"] for row in rows]
    lines = {
        "native_seconds": "native C at -O2",
        "seconds": "compiled",
        "call_seconds": "compiled, whole call",
        "interpreter_seconds": "interpreter, whole call",
    }
    for name, title in lines.items():
        known = [(size, row[name] * 1e6) for size, row in zip(sizes, rows, strict=True) if row.get(name)]
        axes.plot([size for size, _ in known], [value for _, value in known], marker="o", label=title)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("bytes")
    axes.set_ylabel("µs")
    axes.set_title("Fletcher-16, all on one machine")
    axes.legend()


def _sizes(axes: Any, rows: Sequence[Row]) -> None:
    titles = {
        "ebpf_bytes": "eBPF text",
        "femto": "Femto-Container",
        "jit": "compiled",
        "published_jit": "compiled, published",
        "native_os": "native C at -Os",
    }
    _bars(
        axes,
        [row["program"] for row in rows],
        {title: [row[name] for row in rows] for name, title in titles.items()},
    )
    axes.set_ylabel("bytes")
    axes.set_title("Size of the published programs")


def _engines(axes: Any, rows: Sequence[Row]) -> None:
    labels = list(dict.fromkeys(_label(row) for row in rows))
    names = list(dict.fromkeys(row["engine"] for row in rows))
    speed = {(row["engine"], _label(row)): row["insn_per_s"] / 1e6 for row in rows}
    _bars(axes, labels, {name: [speed.get((name, label)) for label in labels] for name in names})
    axes.set_yscale("log")
    axes.set_ylabel("million eBPF instructions / s")
    axes.set_title("Speed of the engines, whole calls")


def _regions(axes: Any, rows: Sequence[Row]) -> None:
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["engine"], row["place"], row["checked"]), []).append(row)
    for (engine, place, checked), each in groups.items():
        spent = [row["seconds"] / row["accesses"] * 1e9 for row in each]
        axes.plot(
            [row["regions"] for row in each],
            spent,
            marker="o",
            label=f"{engine}{'' if checked else ', unchecked'}, {place}",
        )
    axes.set_yscale("log")
    axes.set_xlabel("extra regions")
    axes.set_ylabel("ns for an access and its share of the loop")
    axes.set_title("Cost of the number of regions")
    axes.legend()


def _any(_row: Row) -> bool:
    return True


def _checked_fletcher(row: Row) -> bool:
    return bool(row["kernel"] == "fletcher16" and row["checks"])


PLOTS: Final[Mapping[str, tuple[str, Callable[[Row], bool], Draw]]] = {
    "engines": ("engines", _any, _engines),
    "jit_ratios": ("jit", _any, _ratios),
    "jit_checks": ("jit", _any, _checks),
    "fletcher16": ("jit", _checked_fletcher, _fletcher),
    "sizes": ("sizes", _any, _sizes),
    "regions": ("regions", _any, _regions),
}
"""By the name of the file: the section and which of its rows it shows, and how. Nothing is drawn of none."""
