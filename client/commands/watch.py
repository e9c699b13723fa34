"""`watch`: rebuild and redeploy whenever a program is saved."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from client.commands import loop
from client.commands.deploy import deploy_once, deployed_lines
from client.commands.granting import TermsGiven
from client.commands.keys import key_options, signer_of
from client.commands.options import device_options, framed, output_options, timeout_option
from client.commands.signing import IMAGE, also_of, release_options, sequence_of
from client.escape import escape
from client.results import Outcome
from client.source import build_object
from client.steps import Step, recorder
from client.text import duration
from client.ui import Ui
from device.errors import MicroBpfError

if TYPE_CHECKING:
    from client.deploy import Deployed
    from client.keys import Signer
    from client.pipeline import Deployment


@click.command("watch", epilog="Example: client watch --slot 0 prog.c -d calm-otter")
@click.argument("file", type=IMAGE)
@release_options
@click.option(
    "--stop/--no-stop",
    default=True,
    show_default=True,
    help="End jobs that hold the slot before each update.",
)
@key_options
@device_options
@timeout_option
@output_options
@framed
def watch_command(
    ui: Ui,
    file: Path,
    slot: int,
    seq: str | None,
    fetch_base: str | None,
    layout: str | None,
    stop: bool,
    also: tuple[str, ...],
    terms: TermsGiven,
    keys: tuple[str, ...],
    pass_file: Path | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Deploy a program now, and again on each save, until interrupted.

    The files that it includes by names in quotes are watched too. A build that fails and a device that does
    not answer are said, and waited out until the next save.
    """
    from client.addresses import base_url
    from client.keys import cache_home
    from client.pipeline import Deployment

    if seq not in (None, "clock"):
        raise click.UsageError("each save needs a number of its own: leave --seq out, or say clock")
    what = Deployment(
        file,
        devices,
        slot=slot,
        fetch_base=None if fetch_base is None else base_url(fetch_base),
        layout=layout,
        cache=cache_home(os.environ) / "debug",
        terms=terms.read(),
        also=also_of(also, slot),
        stop=stop,
    )
    signer = signer_of(ui, keys, pass_file)
    return loop.run(ui, _watch(ui, what, seq, signer, base_url(server), timeout))


async def _watch(
    ui: Ui, what: Deployment, seq: str | None, signer: Signer, server: str, timeout: float
) -> int:
    from client.watching import saves

    async with aclosing(saves(what.file)) as rounds:
        async for _ in rounds:
            await _round(ui, what, seq, signer, server, timeout)
            ui.note(f"waiting for {what.file.name} to be saved, Ctrl-C ends")
    return 0


async def _round(
    ui: Ui, what: Deployment, seq: str | None, signer: Signer, server: str, timeout: float
) -> None:
    start = perf_counter()
    steps: list[Step] = []
    numbered = replace(what, sequence_number=sequence_of(seq))
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(build_object, what.file, on_step=recorder(steps, ui.step), on_note=ui.note)
        outcomes: list[Outcome[Any]]
        try:
            outcomes = list(await deploy_once(ui, numbered, signer, server, timeout, building, steps))
        except MicroBpfError as error:
            outcomes = [Outcome(None, error=error)]
        except asyncio.CancelledError:
            building.cancel()
            raise
    for outcome in outcomes:
        head = f"{escape(outcome.device)}: " if len(outcomes) > 1 else ""
        ui.stream(outcome, partial(_lines, head))
    done = sum(outcome.ok for outcome in outcomes)
    ui.note(f"{done} of {len(outcomes)} updated in {duration(perf_counter() - start)}")


def _lines(head: str, deployed: Deployed) -> list[str]:
    return [head + line for line in deployed_lines(deployed)]
