"""The terminal sessions of the pages, typed as they stand there; only ports are others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.integration.client_testbed import ROOT
from tests.transcripts import Command, commands, pattern, session

PAGES = ("README.md", "examples/weather_station/README.md", "docs/tutorial.md")


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.bind(("::", 0))
        port: int = opened.getsockname()[1]
        return port


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_happens(page: str, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pages build programs: no compiler, so they were NOT run")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    port = free_port()
    listed = commands((ROOT / page).read_text(encoding="utf-8"))
    assert len(listed) > 5
    replaced = {
        r"^fileserver\b": f"fileserver --port {port} --root served",
        r"coap://localhost\b(?!:)": f"coap://localhost:{port}",
    }
    variables = {"MICROBPF_SERVER": f"coap://localhost:{port}", "MICROBPF_PORT": "0"}
    with session(tmp_path, variables, replaced) as terminal:
        for command in listed:
            terminal.run(command)


PAGE = """
    $ not this
```console
$ one \\
    two
first
…
last
$ three &
```
```sh
$ nor this
```
```c four.c
int x;
```
"""


def test_commands_are_found() -> None:
    assert commands(PAGE) == [
        Command("one two", ("first", "…", "last"), 5),
        Command("three &", (), 9),
        Command("cat > four.c", (), 14, "int x;\n"),
    ]


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        (["a", "…", "b"], "a\nb\n", True),
        (["a", "…", "b"], "a\nx\ny\nb\n", True),
        (["a", "…", "b"], "a\nx\n", False),
        (["took … ms."], "took 1.5 ms.\n", True),
        (["took … ms."], "took 1.5 msx\n", False),
        ([], "", True),
        ([], "more\n", False),
    ],
)
def test_outputs_are_compared(shown: list[str], output: str, same: bool) -> None:
    assert (pattern(shown).fullmatch(output) is not None) == same
