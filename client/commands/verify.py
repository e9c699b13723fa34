"""`verify`: what a device would say of a program, and on which other machines it would misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands.local import SOURCE, builds
from client.commands.options import framed, layout_option, output_options
from client.escape import escape
from client.results import Outcome
from client.text import block, finding_lines, size, table
from client.ui import Ui

if TYPE_CHECKING:
    from client.judge import Judgement


@click.command("verify", epilog="Example: client verify prog.o --profile femto,sming --helpers 0x01,0x13")
@click.argument("file", type=SOURCE)
@layout_option
@click.option(
    "--profile",
    "profiles",
    metavar="NAMES",
    multiple=True,
    help="Say what would go wrong on ubpf, femto, sming or riot2020; several with commas, or repeated.",
)
@click.option("--helpers", metavar="IDS", help="Helpers that the program may call, such as 0x01,0x13.")
@output_options
@framed
def verify_command(
    ui: Ui, file: Path, layout: str | None, profiles: tuple[str, ...], helpers: str | None
) -> int:
    """Judge a program as a device would: all findings, and what is known of it."""
    from client.arguments import helper_ids
    from client.judge import judge

    names = [name for text in profiles for name in text.replace(",", " ").split()]
    judgement = judge(file, layout, allowed=helper_ids(helpers), profiles=names, on_step=builds(ui))
    refusal = judgement.refusal
    outcome: Outcome[Any] = Outcome(None, error=refusal) if refusal else Outcome(None, judgement)
    code = ui.finish([outcome], _lines)
    if refusal is not None and not ui.json:
        for line in finding_lines([remark.to_map() for remark in judgement.remarks]):
            ui.data(line)
    return code


def _lines(judgement: Judgement) -> Iterator[str]:
    from client.image import layout_name
    from client.judge import facts_of_loops, places_of_helpers

    report, packaged = judgement.report, judgement.packaged
    under = f" under {', '.join(judgement.profiles)}" if judgement.profiles else ""
    yield f"accepted{under}: {escape(packaged.name)}"
    yield from block(
        {
            "image": f"{size(len(packaged.image))}, layout {layout_name(report.layout)}, tag {report.tag}",
            "text": f"{report.insns} instructions in {report.slots} slots, entry at #{report.entry}",
            "sections": f"rodata {report.rodata} B, data {report.data} B, bss {report.bss} B",
            "stack": "not known" if report.stack_depth is None else size(report.stack_depth),
            "loops": facts_of_loops(report),
            "bound": _bound(judgement),
        }
    )
    functions = [
        (function.start, function.name or "(no name)", function.frame, " ".join(map(str, function.callees)))
        for function in report.functions
    ]
    yield from table(("SLOT", "FUNCTION", "FRAME", "CALLS"), functions)
    helpers = places_of_helpers(judgement)
    if helpers:
        yield from table(("HELPER", "NAME", "CALLED"), helpers)
    yield from finding_lines([finding.to_map() for finding in report.findings])
    yield from finding_lines([remark.to_map() for remark in judgement.remarks])


def _bound(judgement: Judgement) -> str:
    report = judgement.report
    if report.bound is not None:
        return f"{report.bound} instructions"
    return "none, it loops" if report.loops else "none, it calls itself"
