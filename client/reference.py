"""The page of all verbs and options, from the commands themselves.

python -m client.reference > docs/cli.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from client.cli import VERBS, cli
from client.exits import Exit
from client.settings import INTERRUPTED

_HEAD = """# Command line

Written from the commands by `python -m client.reference > docs/cli.md`; a test compares.
`client VERB --help` says the same in the terminal."""

_EXITS = {
    Exit.DONE: "done",
    Exit.REFUSED: "a program faulted, or a device refused",
    Exit.USAGE: "wrong usage",
    Exit.UNREACHABLE: "somebody did not answer",
    Exit.SECURITY: "refused by security policy",
}


def reference() -> str:
    """The page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (_HEAD, "", "## Verbs", "")
    yield from _table(
        ("verb", "does"), ((f"[`{name}`](#client-{name})", text) for name, (_, text) in VERBS.items())
    )
    yield from ("", "## Exit codes", "", "For several devices the highest.", "")
    codes = [(str(int(code)), text) for code, text in _EXITS.items()]
    yield from _table(("code", "meaning"), [*codes, (str(INTERRUPTED), "interrupted by Ctrl-C")])
    root = click.Context(cli, info_name="client", **cli.context_settings)
    for name in VERBS:
        command = cli.get_command(root, name)
        assert command is not None  # noqa: S101  # the table of verbs names commands only
        yield from _verb(click.Context(command, info_name=name, parent=root), command)


def _verb(context: click.Context, command: click.Command) -> Iterator[str]:
    yield from ("", f"## client {command.name}", "")
    yield from inspect.cleandoc(command.help or "").splitlines()
    yield from ("", f"    {context.command_path} {' '.join(command.collect_usage_pieces(context))}", "")
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    yield from _table(
        ("option", "does"), ((f"`{record[0]}`", record[1]) for record in records if record and record[1])
    )
    examples = [line for line in (command.epilog or "").splitlines() if line]
    yield from ("", *(f"    {line.removeprefix('Example: ')}" for line in examples))


def _table(header: tuple[str, str], rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "| --- | --- |"
    for row in rows:
        yield "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference())
