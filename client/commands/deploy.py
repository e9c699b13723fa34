"""`deploy`: from a source, or an object, to running slots."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from client.commands import loop
from client.commands.granting import TermsGiven
from client.commands.keys import key_options, signer_of
from client.commands.options import connect, device_options, framed, output_options, timeout_option
from client.commands.signing import IMAGE, also_of, release_options, sequence_of
from client.escape import escape
from client.source import build_object
from client.steps import Step, recorder, timed
from client.text import duration, size, table
from client.ui import Ui

if TYPE_CHECKING:
    from client.deploy import Deployed
    from client.directory import Target
    from client.keys import Signer
    from client.pipeline import Deployment
    from client.results import Outcome


@click.command("deploy", epilog="Example: client deploy --slot 0 prog.c -d calm-otter -d quiet-heron")
@click.argument("file", type=IMAGE)
@release_options
@click.option(
    "--board",
    metavar="NAME",
    help="Board it is for: devices that are another one are refused.  [default: each device's own]",
)
@click.option("--no-alias", is_flag=True, help="Leave suit_manifest<slot>.signed as it is.")
@click.option("--stop", is_flag=True, help="End jobs that hold the slot.")
@click.option(
    "--wait",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an update may take, waiting for a busy device included.",
)
@key_options
@device_options
@timeout_option
@output_options
@framed
def deploy_command(
    ui: Ui,
    file: Path,
    slot: int,
    seq: str | None,
    fetch_base: str | None,
    layout: str | None,
    board: str | None,
    no_alias: bool,
    stop: bool,
    wait: float,
    also: tuple[str, ...],
    terms: TermsGiven,
    keys: tuple[str, ...],
    pass_file: Path | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Build, verify, sign, publish and install a program, and see that it is in the slot.

    FILE is C, C++ or assembler text, an object, or a raw image. It has succeeded only when the slot shows
    the digest and the sequence number that were signed.
    """
    start = perf_counter()
    # The compiler is a process of its own: it runs while this one imports what it needs.
    with ThreadPoolExecutor(1) as pool:
        steps: list[Step] = []
        told = recorder(steps, ui.step)
        building = pool.submit(build_object, file, on_step=told, on_note=ui.note)
        with timed(told, "start") as step:
            from client.addresses import base_url
            from client.keys import cache_home
            from client.pipeline import Deployment

            step.detail = "imports, beside the compiler"

        what = Deployment(
            file,
            devices,
            slot=slot,
            sequence_number=sequence_of(seq),
            fetch_base=None if fetch_base is None else base_url(fetch_base),
            board=board,
            layout=layout,
            alias=not no_alias,
            deadline_s=wait,
            cache=cache_home(os.environ) / "debug",
            terms=terms.read(),
            also=also_of(also, slot),
            stop=stop,
        )
        signer = signer_of(ui, keys, pass_file)
        outcomes = loop.run(ui, deploy_once(ui, what, signer, base_url(server), timeout, building, steps))
    done = sum(outcome.ok for outcome in outcomes)
    ui.note(f"{done} of {len(outcomes)} updated in {duration(perf_counter() - start)}")
    if ui.several:
        return ui.table(outcomes, _table(outcomes))
    return ui.finish(outcomes, deployed_lines)


async def deploy_once(
    ui: Ui,
    what: Deployment,
    signer: Signer,
    server: str,
    timeout: float,
    building: Future[bytes],
    earlier: Sequence[Step],
) -> list[Outcome[Deployed]]:
    """One deploy, from a build under way to the slots, told to `ui`. Raises what deploy_file does."""
    from client.pipeline import Watcher, deploy_file
    from client.release import Publisher

    async with connect(timeout) as connection:
        with ui.progress("updating") as progress:

            def on_targets(targets: Sequence[Target]) -> None:
                ui.expect(len(targets))
                progress.start(len(targets))

            publisher = Publisher(connection, server, signer, ui.step, ui.note)

            def on_done(outcome: Outcome[Deployed]) -> None:
                progress.advance()
                if ui.several and outcome.result is not None:
                    ui.note(f"{escape(outcome.device)}: {deployed_lines(outcome.result)[0]}")
                elif ui.several and outcome.error is not None:
                    ui.note(f"{escape(outcome.device)}: {escape(outcome.error.code)}")

            watcher = Watcher(on_targets, on_done)
            built = asyncio.wrap_future(building)
            return await deploy_file(publisher, what, built=built, earlier=earlier, watcher=watcher)


def deployed_lines(deployed: Deployed) -> list[str]:
    """What the slots hold now, for people."""
    release = deployed.release
    return [
        f"slot {release.slot} holds {release.tag}, "
        + "".join(f"slot {one.slot} {one.digest.hex()[:8]}, " for one in release.also)
        + f"sequence number {release.sequence_number}"
        f"  ({size(len(release.image))} in {duration(deployed.seconds)})",
    ]


def _table(outcomes: Sequence[Outcome[Deployed]]) -> list[str]:
    good = [outcome for outcome in outcomes if outcome.ok]
    rows = [
        (
            outcome.device,
            outcome.value.release.slot,
            outcome.value.release.tag,
            outcome.value.release.sequence_number,
            size(len(outcome.value.release.image)),
            duration(outcome.value.seconds),
        )
        for outcome in good
    ]
    return table(("DEVICE", "SLOT", "TAG", "SEQ", "SIZE", "TIME"), rows) if rows else []
