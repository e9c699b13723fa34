"""`demo`: the whole testbed on this machine, narrated."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from time import perf_counter
from typing import Final

import click

from client.commands import loop
from client.commands.options import framed, output_options
from client.results import Outcome
from client.text import duration
from client.ui import Ui

TERMINATED: Final = 143

NEXT: Final = """\
Try it yourself, with each line in a terminal of its own:

  client keygen                       make a key pair
  fileserver                          serve files, and the directory of devices
  device --server coap://localhost    a device; give it the public key with --keys DIR
  client deploy --slot 0 prog.c       build, sign, publish, install
  client exec --slot 0                run it"""


@click.command("demo", epilog="Example: client demo")
@output_options
@framed
def demo_command(ui: Ui) -> int:
    """Start a testbed on this machine and show what it does.

    A file server and three devices; two programs deployed and run; a forged update refused; a fault that a
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
        say(NEXT)
        return 0
    return ui.finish(outcomes)
