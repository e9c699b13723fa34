"""`demo`: the whole testbed on this machine, narrated."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from time import perf_counter
from typing import Final

import click

from client.commands import loop
from client.commands.options import framed, output_options
from client.results import Outcome
from client.settings import DEFAULT_SERVER
from client.text import duration
from client.ui import Ui

TERMINATED: Final = 143
EXAMPLE: Final = "examples/first_steps/hello.c"


@click.command("demo", epilog="Example: client demo")
@output_options
@framed
def demo_command(ui: Ui) -> int:
    """Start a testbed on this machine and show what it does.

    A file server and three devices; two programs deployed and run; forged updates refused; a fault that a
    device survives. Nothing is left behind. Needs no compiler.
    """
    return loop.run(ui, _play(ui))


async def _play(ui: Ui) -> int:
    """Play, and tidy up also when SIGTERM comes: it would end this process at once, and leave the rest."""
    main = asyncio.current_task()
    terminated = asyncio.Event()

    def terminate() -> None:
        terminated.set()
        if main is not None:
            main.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await _show(ui)
    except asyncio.CancelledError:
        if terminated.is_set():
            return TERMINATED
        raise


async def _show(ui: Ui) -> int:
    from client.demo import play

    start = perf_counter()
    outcomes: list[Outcome[object]] = []
    # The narration is the data here; in JSON it goes to stderr.
    say = ui.note if ui.json else ui.data
    async with aclosing(play(announce=lambda text: say(click.style(f"\n{text}", bold=True)))) as scenes:
        async for scene in scenes:
            outcomes.append(Outcome(None, scene))
            for line in scene.lines:
                say(f"  {line}")
    say(f"\nDone in {duration(perf_counter() - start)}: all processes ended, nothing is left behind.\n")
    if not ui.json:
        for line in next_steps(os.environ):
            say(line)
        return 0
    return ui.finish(outcomes)


def next_steps(environment: Mapping[str, str]) -> Iterator[str]:
    """What to type for a fleet of one's own, as it works where the demonstration was started."""
    from client.keys import key_path

    client, server, device = (spelled(program) for program in ("client", "fileserver", "device"))
    public = f"{key_path(None, environment)}.pub"
    source = EXAMPLE if Path(EXAMPLE).is_file() else "prog.c"
    yield "Try it yourself, the file server and the device each in a terminal of its own:"
    yield ""
    commands = (
        (f"{client} keygen", "make a key pair"),
        (f"mkdir -p trusted && cp {shlex.quote(public)} trusted/", "its public half is what devices get"),
        (server, "serve files, and the directory of devices"),
        (f"{device} --server {DEFAULT_SERVER} --keys trusted", "a device"),
        (f"{client} deploy --slot 0 {source}", "build, sign, publish, install"),
        (f"{client} exec --slot 0", "run it"),
    )
    for command, about in commands:
        yield f"  # {about}"
        yield f"  {command}"


def spelled(program: str) -> str:
    """How a program of ours is called here: by its name if the shell finds it, else by its path."""
    script = Path(sysconfig.get_path("scripts"), program)
    found = shutil.which(program)
    if found is not None and script.exists() and Path(found).samefile(script):
        return program
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
