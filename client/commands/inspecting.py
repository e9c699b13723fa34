"""`inspect`: any manifest made readable, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands.options import framed, output_options
from client.escape import escape
from client.results import Outcome
from client.ui import Ui

if TYPE_CHECKING:
    from client.inspection import Inspection, NamedKey


@click.command("inspect", epilog="Example: client inspect suit_manifest0.signed --keys trusted")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--keys",
    type=click.Path(exists=True, path_type=Path),
    help="Public key, or folder of them, that must have signed it.  [default: anybody may have]",
)
@click.option("--board", metavar="NAME", help="Board to judge it for.  [default: the one it is for]")
@output_options
@framed
def inspect_command(ui: Ui, file: Any, keys: Path | None, board: str | None) -> int:
    """Show what a signed manifest says, valid or not, and why devices would refuse it.

    FILE is an envelope of either format, - for standard input. The exit code is that of the first problem.
    """
    from client.inspection import MAX_SIZE, inspect, keys_of
    from device.errors import ConfigError

    content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        raise ConfigError(f"more than {MAX_SIZE} bytes are no envelope", code="file", where="FILE")
    known = _own() if keys is None else keys_of(keys)
    found = inspect(content, known, required=keys is not None, board=board)
    if not found.problems:
        return ui.finish([Outcome(None, found)], _lines)
    if not ui.json:
        for line in _lines(found):
            ui.data(line)
    for problem in found.problems:
        problem.extra["inspection"] = found.to_map()
    outcomes: list[Outcome[Any]] = [Outcome(None, error=problem) for problem in found.problems]
    return ui.finish(outcomes[:1] if ui.json else outcomes)


def _own() -> list[NamedKey]:
    """The operator's own public key, where there is one."""
    from client.inspection import keys_of
    from client.keys import key_path

    private = key_path(None)
    public = private.with_name(private.name + ".pub")
    return keys_of(public) if public.is_file() else []


def _lines(found: Inspection) -> Iterator[str]:
    yield from found.text
    for index, name in enumerate(found.signers):
        yield f"signature {index}: " + (f"by {escape(name)}" if name else "by no key at hand")
    if found.plan is not None:
        for operation in found.plan.operations:
            yield f"installs {operation.size} bytes into .ram.{operation.slot} from {escape(operation.uri)}"
