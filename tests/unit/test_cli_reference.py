"""The page of the command line is the one that the commands give, and misses no verb and no option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from client.cli import VERBS, cli
from client.exits import Exit
from client.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8") == reference()
    assert written, "run: python -m client.reference > docs/cli.md"


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_it(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    section = reference().split(f"## client {verb}\n")[1].split("\n## ")[0]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[-1] in section
    assert f"    client {verb}" in section


def test_every_exit_code_is_in_it() -> None:
    section = reference().split("## Exit codes")[1].split("\n## ")[0]
    assert [f"| {int(code)} | " in section for code in Exit] == [True] * len(Exit)
