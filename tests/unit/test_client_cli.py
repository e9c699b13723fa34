"""The command line itself: help, usage errors, the frame around every verb."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from client.cli import VERBS, cli
from client.commands.frame import run_framed
from client.settings import INTERRUPTED
from client.ui import Ui
from device.engines import ENGINES
from device.errors import ConfigError, TransportError

HEAVY = ("aiocoap", "asyncio", "cbor2", "cryptography", "elftools", "rich", "device.vm", "device.suit")


def client(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), env={"MICROBPF_DEVICE": None, **(env or {})})


def test_help_lists_every_verb() -> None:
    shown = client("--help").stdout
    assert [verb for verb in VERBS if f"  {verb} " not in shown] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_the_common_options(verb: str) -> None:
    shown = client(verb, "--help").stdout
    assert f"Example: client {verb}" in shown
    for option in ("--output [table|json]", "--quiet", "--debug"):
        assert option in shown


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_starting_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = f"""
import sys
from client.cli import cli
try:
    cli({list(arguments)!r})
except SystemExit:
    pass
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_the_engines_offered_are_those_that_there_are(verb: str) -> None:
    shown = client(verb, "--help").stdout
    assert f"--engine [{'|'.join(['auto', *ENGINES])}]" in shown
    refused = client(verb, "--engine", "steam")
    assert (refused.exit_code, "'steam' is not one of 'auto'" in refused.stderr) == (2, True)


def test_every_engine_that_is_offered_runs(tmp_path: Path) -> None:
    source = tmp_path / "seven.s"
    source.write_text("mov r0, 7\nexit\n")
    for name in ("auto", *ENGINES):
        done = client("run", str(source), "--engine", name, "-o", "json")
        result = json.loads(done.stdout)["results"][0]["result"]
        assert result["r0_signed"] == 7
        assert result["engine"] == name or (name == "auto" and result["engine"] in ENGINES)


USAGE: list[tuple[str, tuple[str, ...]]] = [
    ("no such verb", ("fly",)),
    ("no such option", ("ps", "--fly")),
    ("no file", ("deploy", "/nowhere/prog.o")),
    ("no slot", ("undeploy",)),
    ("slot that is none", ("exec", "--slot", "-1")),
    ("output that is none", ("ps", "-o", "xml")),
    ("store without change", ("store", "set")),
    ("store with another word", ("store", "get", "1")),
    ("store with nonsense", ("store", "set", "a=b", "-d", "h:1")),
    ("context that is no hex", ("exec", "--context", "xy", "-d", "h:1")),
    ("server that is none", ("devices", "--server", "http://x")),
    ("run without a file", ("run",)),
    ("run with both", ("run", "--batch", "-", __file__)),
    ("batch of nothing", ("run", "--batch", "/nowhere")),
    ("sequence number that is none", ("deploy", __file__, "--seq", "0")),
    ("publish for nobody", ("publish", __file__)),
    ("board and devices", ("publish", __file__, "--board", "native", "-d", "h:1", "--seq", "1")),
]


@pytest.mark.parametrize("arguments", [row[1] for row in USAGE], ids=[row[0] for row in USAGE])
def test_wrong_usage_is_code_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    result = client(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert result.stderr


def framed(capsys: pytest.CaptureFixture[str], error: BaseException, **options: Any) -> tuple[int, str, str]:
    def command() -> int:
        raise error

    ui = Ui(options.pop("output", "table"), environment={"NO_COLOR": "1"}, **options)
    code = run_framed(ui, command)
    out, err = capsys.readouterr()
    return code, out, err


def test_an_error_of_ours_is_shown_and_coded(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = framed(capsys, TransportError("nobody there", hint="start it"))
    assert (code, out) == (3, "")
    assert err == "error: Transport failed: nobody there [unreachable]\n  hint: start it\n"


def test_an_error_in_a_task_group_is_the_same_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = framed(capsys, ExceptionGroup("tasks", [ConfigError("no key")]))
    assert (code, "no key" in err) == (2, True)


def test_an_unexpected_error_is_one_line_and_debug_shows_more(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = framed(capsys, RuntimeError("oh no"))
    assert code == 1
    assert "Traceback" not in err
    assert "RuntimeError: oh no" in err
    _, _, err = framed(capsys, RuntimeError("oh no"), debugging=True)
    assert "Traceback" in err


def test_errors_are_json_where_json_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = framed(capsys, ConfigError("no key", code="no-key"), output="json")
    shown = json.loads(out)
    assert (code, err) == (2, "")
    assert shown["ok"] is False
    assert shown["results"][0]["error"]["code"] == "no-key"
    assert set(shown["results"][0]["error"]) == {"code", "where", "hint", "title", "detail"}


def test_an_interruption_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = framed(capsys, KeyboardInterrupt())
    assert (code, out, err) == (INTERRUPTED, "", "interrupted\n")


def test_a_prompt_that_is_interrupted_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    assert framed(capsys, click.Abort()) == (INTERRUPTED, "", "interrupted\n")


def test_an_interruption_while_a_verb_is_imported_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("client.cli.import_module", interrupted)
    result = client("ps")
    assert (result.exit_code, result.stdout, result.stderr) == (INTERRUPTED, "", "interrupted\n")


HELLO = str(Path(__file__).parents[2] / "examples" / "objects" / "hello.o")
FULL: list[tuple[str, tuple[str, ...]]] = [
    ("text", ("verify", HELLO)),
    ("JSON", ("verify", HELLO, "-o", "json")),
    ("an error in JSON", ("ps", "-d", "h:0", "-o", "json")),
    ("answers", ("run", "--batch", __file__)),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
@pytest.mark.parametrize("arguments", [row[1] for row in FULL], ids=[row[0] for row in FULL])
def test_output_that_cannot_be_written_is_named(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "client", *arguments, "-q"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "Output failed: No space left on device" in done.stderr


def test_quiet_keeps_data_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    ui = Ui("table", quiet=True, environment={})
    ui.note("a note")
    ui.data("data")
    assert capsys.readouterr() == ("data\n", "")


def test_a_missing_key_is_named_with_the_way_to_one(tmp_path: Path) -> None:
    program = tmp_path / "prog.o"
    program.write_bytes(b"\x7fELF")
    result = client(
        "deploy", str(program), "-d", "localhost:9", env={"MICROBPF_KEY": str(tmp_path / "no.pem")}
    )
    assert result.exit_code == 2
    assert "client keygen" in result.stderr
    assert not (tmp_path / "no.pem").exists()


@pytest.mark.parametrize(("timing", "sent"), [("lan", 2), ("rfc7252", 1)])
def test_timing_says_when_a_request_is_sent_again(timing: str, sent: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(0.05)
        server = f"coap://127.0.0.1:{peer.getsockname()[1]}"
        arguments = ["devices", "--server", server, "--timeout", "0.8", "--timing", timing]
        assert client(*arguments).exit_code == 3
        count = 0
        with suppress(TimeoutError):
            while peer.recv(2048):
                count += 1
    assert count == sent
