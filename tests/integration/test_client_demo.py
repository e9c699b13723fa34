"""`client demo`: it shows what it says, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.commands.demo import next_steps
from client.testbed import Testbed
from device.errors import TransportError
from tests.integration.client_testbed import ROOT

LONGEST_S = 15
PROGRAMS = ("client", "device", "fileserver")
SCENES = ["testbed", "deploy", "deploy", "forgery", "attacks", "fault"]


def demo(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo as a process, with its temporary directory below `tmp_path`."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "client", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes(tmp_path: Path) -> list[str]:
    """The command lines of all processes that name a path below `tmp_path`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in line:
            found.append(line)
    return found


def nothing_left(tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


def eventually(holds: Callable[[], bool], within_s: float = 8) -> bool:
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def until(process: subprocess.Popen[str], text: str) -> Iterator[str]:
    """The lines up to the one with `text` in it."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if text in line:
            return


def test_it_shows_what_it_says_and_leaves_nothing(tmp_path: Path) -> None:
    start = time.monotonic()
    with demo(tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - start < LONGEST_S
    for shown in (
        "calm-otter",
        "printed 'Hello from eBPF'",
        "returned 829540382",
        "refused it: BAD_SIGNATURE",
        "UNKNOWN_COMPONENT",
        "not one sequence number has changed",
        "ILLEGAL_MEM",
        "wild_pointer.c:16",
        "nothing is left behind",
        "client keygen",
    ):
        assert shown in out, shown
    nothing_left(tmp_path)


def test_the_same_for_a_script(tmp_path: Path) -> None:
    with demo(tmp_path, "-o", "json", "-q") as process:
        out, err = process.communicate(timeout=60)
    answer = json.loads(out)
    assert (process.returncode, err, answer["ok"]) == (0, "", True)
    assert [entry["result"]["scene"] for entry in answer["results"]] == SCENES
    forgery, attacks, fault = (entry["result"] for entry in answer["results"][-3:])
    assert all(attack["held"] for attack in attacks["attacks"])
    assert (forgery["refused"], fault["fault"], fault["alive"]) == ("BAD_SIGNATURE", "ILLEGAL_MEM", True)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize("moment", ["Starting", "Deploying hello.o"])
def test_an_interruption_stops_all_of_it(
    tmp_path: Path, number: signal.Signals, code: int, moment: str
) -> None:
    with demo(tmp_path) as process:
        list(until(process, moment))
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in out + err
    nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent is gone")
def test_being_killed_takes_the_testbed_along(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        list(until(process, "A key pair"))
        assert len(processes(tmp_path)) == 4
        process.kill()
        process.communicate(timeout=20)
    assert eventually(lambda: processes(tmp_path) == [])


async def test_a_device_that_does_not_start_is_named_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(TransportError) as failed:
        async with Testbed(["fine", "not a name"]):
            pytest.fail("it started")
    assert "not a name" in failed.value.hint
    nothing_left(tmp_path)


async def test_settings_for_the_operators_own_devices_are_not_the_testbeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = tmp_path / "state"
    for name, value in {"STATE": str(state), "ADVERTISE": "coap://nowhere", "NAME": "mine"}.items():
        monkeypatch.setenv(f"MICROBPF_{name}", value)
    async with Testbed(["otter"]) as testbed:
        assert [target.name for target in testbed.targets] == ["otter"]
        assert "nowhere" not in testbed.targets[0].base
    nothing_left(tmp_path)


@pytest.mark.parametrize("on_path", [True, False], ids=["on the path", "not on the path"])
def test_what_to_type_next_works_where_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    monkeypatch.chdir(ROOT)
    folders = [sysconfig.get_path("scripts")] if on_path else []
    monkeypatch.setenv("PATH", os.pathsep.join([*folders, "/usr/bin", "/bin"]))
    monkeypatch.setenv("MICROBPF_KEY", str(tmp_path / "own key.pem"))
    monkeypatch.setenv("HOME", str(tmp_path))
    keygen, trust, server, device, deploy, run = (
        line.strip() for line in next_steps(os.environ) if line.startswith("  ") and "#" not in line
    )
    for command in (server, device, deploy, run):
        assert (command.split()[0] in PROGRAMS) is on_path
        shown = subprocess.run(f"{command} --help", shell=True, capture_output=True, text=True, check=True)
        assert "Usage:" in shown.stdout
    assert Path(shlex.split(deploy)[-1]).is_file()
    monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + sysconfig.get_path("scripts"))
    program = shlex.split(keygen)[0]
    command = f"{ROOT / program if '/' in program else program} keygen && {trust}"
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert [path.name for path in (tmp_path / "trusted").iterdir()] == ["own key.pem.pub"]
