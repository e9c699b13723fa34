"""`package`: a program from one layout into another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from client.commands.local import SOURCE, write
from client.commands.options import framed, output_options
from client.escape import escape
from client.results import Outcome
from client.settings import LAYOUTS, PROFILES
from client.text import hex_ids, size
from client.ui import Ui


@click.command(
    "package",
    epilog="Example: client package prog.o --layout femto --to prog.femto\n\n"
    "client package prog.femto --layout elf",
)
@click.argument("file", type=SOURCE)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True, help="Which one."
)
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the image.")
@click.option("--entry", metavar="NAME", help="Global function to start at.")
@click.option(
    "--helpers", metavar="IDS", help="Helpers that an extended header lists.  [default: the called]"
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="Virtual machine that will read it.  [default: ubpf; sming for its own header]",
)
@output_options
@framed
def package_command(
    ui: Ui,
    file: Path,
    layout: str,
    to: Path | None,
    entry: str | None,
    helpers: str | None,
    profile: str | None,
) -> int:
    """Write a program in a layout, and read any back.

    FILE is C, C++ or assembler text, an object, or an image in any layout. What the layout cannot carry is
    refused by name. Without --to the image lies beside FILE, named after the layout.
    """
    from client.arguments import helper_ids
    from client.image import load
    from client.source import build_object
    from device.errors import ConfigError
    from device.vm.layouts.convert import Wish, convert
    from device.vm.program import Layout

    target = to or file.with_suffix(f".{layout}")
    if target.exists() and target.samefile(file):
        raise ConfigError(
            f"{target} is FILE itself", code="file", where=str(target), hint="name another: --to"
        )
    content = build_object(file, on_step=ui.step, on_note=ui.note)
    converted = convert(content, Wish(Layout(layout), profile, entry, helper_ids(helpers)))
    for note in converted.notes:
        ui.note(f"note: {note}")
    program = load(converted.image)
    write(target, converted.image)
    result: dict[str, Any] = {
        "image": str(target),
        "layout": layout,
        "size": len(converted.image),
        "digest": program.digest.hex(),
        "tag": program.tag,
        "notes": list(converted.notes),
    }
    listed = ""
    if program.declared_helpers is not None:
        result["metadata_helpers"] = sorted(program.declared_helpers)
        listed = f", lists helpers {hex_ids(sorted(program.declared_helpers)) or 'none'}"
    line = f"{escape(target)}  {size(len(converted.image))}, layout {layout}, tag {program.tag}{listed}"
    return ui.finish([Outcome(None, result)], lambda _: [line])
