"""The console scripts before and after their own code: no traceback, whatever comes in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("client", "device", "fileserver")

# The program is told of the interruption while its own module is being imported.
INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from {program}.__main__ import main
main()
print("it went on")
"""


@contextmanager
def interruptible() -> Iterator[None]:
    """Children get SIGINT as a terminal's have it, also when the tests themselves are to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["click", "{program}.cli"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_during_imports_is_no_traceback(program: str, module: str) -> None:
    code = INTERRUPTED.format(program=program, module=module.format(program=program))
    with interruptible():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20
        )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_is_to_ignore_ctrl_c_does(program: str) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTED.format(
        program=program, module=f"{program}.cli"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
@pytest.mark.parametrize(
    "command",
    [
        "client --help",
        "client ps --help",
        "client --version",
        "device --help",
        "device --limit help",
        "fileserver --help",
    ],
)
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_help_that_cannot_be_written_is_an_error(command: str, buffered: bool) -> None:
    program, *arguments = command.split()
    environment = {**os.environ, **({} if buffered else {"PYTHONUNBUFFERED": "1"})}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=20, env=environment,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: Output failed: No space left on device\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_has_read_enough_of_the_help_sees_no_error(program: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", program, "--help"],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=20,
    )  # fmt: skip
    os.close(writing)
    assert done.stderr == ""
