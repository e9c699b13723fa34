"""`bench`: the evaluation (evaluation.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands.local import write
from client.commands.options import framed, output_options
from client.escape import escape
from client.ui import Ui

if TYPE_CHECKING:
    from client.bench.sections import Results, Section
    from client.bench.settings import Row

SECTIONS = ("engines", "jit", "sizes", "regions")


@click.command("bench", epilog="Example: client bench engines --quick")
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS), metavar="[SECTION]...")
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds: seconds instead of minutes.")
@click.option("--kernel", "kernels", multiple=True, metavar="NAME", help="Only this kernel; repeatable.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the results as JSON.  [default: results.json, with -o json nowhere]",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for plots, PNG and SVG; needs matplotlib.  [default: plots, beside the results]",
)
@output_options
@framed
def bench_command(
    ui: Ui,
    sections: tuple[str, ...],
    quick: bool,
    kernels: tuple[str, ...],
    to: Path | None,
    plots: Path | None,
) -> int:
    """Measure on this machine: engines, jit, sizes, regions; all sections unless some are named.

    What is compared is measured in one run, side by side: medians of several rounds, with their spread.
    """
    from client.bench.sections import run
    from client.bench.settings import Settings
    from client.bench.timing import FULL, QUICK
    from client.results import dump_json

    with ui.progress("bench") as progress:
        settings = Settings(effort=QUICK if quick else FULL, kernels=kernels, progress=progress)
        results = run(sections or SECTIONS, settings, lambda *done: _show(ui, *done))
    written = dump_json(results.to_map())
    if ui.json:
        ui.data(written)
    else:
        ui.note(_measured_on(results.meta))
    target = to or (None if ui.json else Path("results.json"))
    if target is not None:
        write(target, written.encode() + b"\n")
        ui.note(f"written to {escape(target)}")
    _plot(ui, results, plots, target)
    return 0


def _plot(ui: Ui, results: Results, folder: Path | None, target: Path | None) -> None:
    """Draw into `folder`; without one beside the results, if that can be done."""
    from client.bench import plots

    if folder is None:
        if target is None:
            return
        if not plots.available():
            ui.note(f"no plots: they need matplotlib, {plots.HINT}")
            return
        folder = target.parent / "plots"
    files = plots.write(results.sections, folder)
    ui.note(f"{len(files)} plots in {escape(folder)}")


def _show(ui: Ui, name: str, section: Section, rows: list[Row]) -> None:
    """A section's table, as soon as it is there."""
    if ui.json:
        return
    ui.data(click.style(f"{name}: {section.title}", bold=True))
    for line in section.render(rows):
        ui.data(line)
    ui.data("")


def _measured_on(meta: Mapping[str, Any]) -> str:
    return (
        f"on {meta['processor']}, {meta['cores']} cores, load {meta['load']}, {meta['python']}; "
        f"medians of {meta['rounds']} rounds"
    )
