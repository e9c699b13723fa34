"""Pages whose terminal sessions are run: what they show is what happens.

A block fenced as `console` has commands behind `$ ` (a backslash at the end goes on) and below each what it
prints. `…` stands for anything in a line, a line of its own for any lines. A command that ends in ` &` is a
server: it goes on until the page ends, and what is shown below it is waited for. A block fenced as `c NAME`
is saved as that file.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

PROMPT: Final = "$ "
ANYTHING: Final = "…"
PATIENCE_S: Final = 60.0
_FILE: Final = re.compile(r"```c ([a-z_]+\.c)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it is typed, what the page shows below it, its line in the page, and what it reads."""

    text: str
    shown: tuple[str, ...]
    line: int
    given: str = ""


def commands(page: str) -> list[Command]:
    """The commands of a page, in order."""
    found: list[Command] = []
    inside = saving = False
    typing: str | None = None
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
            if file := _FILE.fullmatch(line):
                found.append(Command(f"cat > {file[1]}", (), number))
            saving = file is not None
        elif saving:
            found[-1] = replace(found[-1], given=f"{found[-1].given}{line}\n")
        elif inside and typing is not None:
            typing = _typed(found, typing + line.strip(), number)
        elif inside and line.startswith(PROMPT):
            typing = _typed(found, line.removeprefix(PROMPT), number)
        elif inside and found:
            found[-1] = replace(found[-1], shown=(*found[-1].shown, line))
    return found


def _typed(found: list[Command], text: str, number: int) -> str | None:
    if text.endswith("\\"):
        return text.removesuffix("\\")
    found.append(Command(text, (), number))
    return None


def pattern(shown: Sequence[str]) -> re.Pattern[str]:
    """What output has to look like."""
    parts = [
        r"(?:.*\n)*?" if line.strip() == ANYTHING else ".*".join(map(re.escape, line.split(ANYTHING))) + r"\n"
        for line in shown
    ]
    return re.compile("".join(parts))


@dataclass
class Session:
    """A terminal in a folder; `replaced` are words of the page that are others in a test, ports above all."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    servers: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def run(self, command: Command) -> None:
        """Type one command. Fails when what happens is not what is shown."""
        text = command.text
        for there, here in self.replaced.items():
            text = re.sub(there, here, text)
        if text.endswith(" &"):
            self._serve(text.removesuffix(" &"), command)
            return
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self._environment(),
            input=command.given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert pattern(command.shown).fullmatch(done.stdout), _difference(command, done.stdout)

    def _serve(self, text: str, command: Command) -> None:
        log = self.folder / f"server{len(self.servers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.servers.append((process, log))
        expected, end = pattern(("…", *command.shown)), time.monotonic() + PATIENCE_S
        while not expected.match(log.read_text()):
            assert process.poll() is None, _difference(command, log.read_text())
            assert time.monotonic() < end, _difference(command, log.read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """End the servers."""
        for process, _ in reversed(self.servers):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self) -> dict[str, str]:
        scripts = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MICROBPF_")}
        path = os.pathsep.join([*scripts, kept.get("PATH", "")])
        return {**kept, "PATH": path, "HOME": str(self.folder), "COLUMNS": "100", **self.variables}


@contextmanager
def session(folder: Path, variables: Mapping[str, str], replaced: Mapping[str, str]) -> Iterator[Session]:
    """A terminal whose servers end with it."""
    made = Session(folder, variables, replaced)
    try:
        yield made
    finally:
        made.stop()


def _difference(command: Command, output: str) -> str:
    shown = "\n".join(command.shown)
    return f"line {command.line}: {command.text}\n--- shown\n{shown}\n--- happens\n{output}"
