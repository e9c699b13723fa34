"""`client board` against real devices: seen once, seen live, and set."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client_testbed import OBJECTS, ROOT, LiveFleet
from tests.integration.test_client_verbs import started


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def test_what_a_program_shows_is_seen(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "show.o")
    live.results("exec")
    lines = live.client("board").stdout.splitlines()
    assert lines[0].startswith("○ LED")
    assert lines[1:4] == ["┌────────────────┐", "│23.4 C          │", "│53 %            │"]
    (entry,) = live.results("board")
    assert [row.rstrip() for row in entry["result"]["lcd"]["rows"]] == ["23.4 C", "53 %"]


def test_inputs_are_set_on_all_devices(live: LiveFleet) -> None:
    live.add("one", "two")
    entries = live.results("board", "set", "saul:1=250", "saul:0=1", "adc:2=400", "pin:C13=1", "-d", "all")
    for entry in entries:
        board = entry["result"]
        assert board["saul"][1]["values"] == [250]
        assert board["saul"][0]["values"] == [1]
        assert board["adc"]["2"] == 400
        assert any(pin["name"].endswith("C13") or pin["pin"] == 13 for pin in board["pins"])
    assert live.results("board", "set", "saul:1=", "-d", "one")[0]["result"]["saul"][1]["values"] == [234]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("set",), 2),
        (("get", "saul:1"), 2),
        (("set", "saul:1"), 2),
        (("--follow", "--once"), 2),
        (("--scenario", "/nowhere"), 2),
        (("set", "saul:99=1"), 1),
        (("set", "adc:9=1"), 1),
        (("set", "saul:5=sine:1,2,-3"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_cannot_be_set_is_said(live: LiveFleet, arguments: tuple[str, ...], code: int) -> None:
    result = live.add("otter").client("board", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")


def test_a_scenario_is_played(live: LiveFleet, tmp_path: Path) -> None:
    path = tmp_path / "day.txt"
    path.write_text("0 saul:1=180\n0.3 saul:1=190  # warmer\n")
    began = time.monotonic()
    (entry,) = live.add("otter").results("board", "--scenario", path)
    assert time.monotonic() - began > 0.3
    assert entry["result"]["saul"][1]["values"] == [190]


def test_live_into_a_pipe_until_interrupted(live: LiveFleet) -> None:
    live.add("otter")
    with started(live, "board", "-f", "-o", "json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        live.results("board", "set", "saul:1=-70")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert [entry["result"]["saul"][1]["values"] for entry in (first, second)] == [[234], [-70]]
    assert (process.returncode, err) == (130, "interrupted\n"), out


def test_a_terminal_gets_a_live_view_and_is_left_as_it_was(live: LiveFleet) -> None:
    live.add("otter")
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = {**os.environ, "MICROBPF_SERVER": live.server, "TERM": "xterm"}
    environment.pop("MICROBPF_DEVICE", None)
    command = [sys.executable, "-m", "client", "board"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=secondary, stderr=secondary) as process:
        os.close(secondary)
        try:
            assert "23.4 °C" in until(primary, "23.4 °C")
            live.results("board", "set", "saul:1=301")
            assert "30.1 °C" in until(primary, "30.1 °C")
            process.send_signal(signal.SIGINT)
            said = until(primary, "interrupted")
            assert process.wait(10) == 130
        finally:
            process.kill()
            os.close(primary)
    assert "\x1b[?25h" in said  # the cursor is shown again


def until(terminal: int, text: str) -> str:
    """What a terminal shows up to a text; fails when it ends before."""
    seen = b""
    end = time.monotonic() + 15
    while text.encode() not in seen and time.monotonic() < end:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    return seen.decode(errors="replace")
