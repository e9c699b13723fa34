"""`logs`: what devices have to say, once or live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from client.commands.options import device_options, framed, output_options, timeout_option, with_devices
from client.escape import escape
from client.results import Outcome, worst
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target
    from client.logs import Entry

_COLORS = {"error": "red", "warning": "yellow", "debug": "bright_black"}


@click.command("logs", epilog="Example: client logs -f -d all")
@click.option("-f", "--follow", is_flag=True, help="Go on, live, until interrupted.")
@click.option(
    "--since", type=click.IntRange(0), default=0, metavar="N", help="Begin at line N.  [default: the oldest]"
)
@device_options
@timeout_option
@output_options
@framed
def logs_command(
    ui: Ui, follow: bool, since: int, devices: tuple[str, ...], server: str, timeout: float
) -> int:
    """Show the logs of devices; live with -f, by Observe."""

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client import logs
        from client.fleet import for_each
        from client.remote import RemoteDevice

        width = max(len(escape(target.name)) for target in targets) if len(targets) > 1 else 0

        async def one(target: Target) -> None:
            def show(entry: Entry) -> None:
                _show(ui, target.name, entry, width)

            device = RemoteDevice(connection, target)
            if follow:
                await logs.follow(device, show, since=since, on_note=ui.note)
            else:
                show(await logs.read(device, since))

        def ended(_target: Target, outcome: Outcome[None]) -> None:
            # At once: with -f the others go on until somebody interrupts them.
            if not outcome.ok:
                ui.stream(outcome, lambda _: ())

        outcomes = await for_each(targets, one, on_done=ended, limit=len(targets))
        return int(worst(outcomes))

    return with_devices(ui, devices, server, timeout, action)


def _show(ui: Ui, device: str, entry: Entry, width: int) -> None:
    if entry.missed:
        ui.note(f"{escape(device)}: {entry.missed} lines are gone: the device keeps the last ones only")
    for line in entry.lines:
        ui.stream(Outcome(device, line), lambda line: _line(device, line, width))


def _line(device: str, line: Any, width: int) -> Iterator[str]:
    head = f"{escape(device):<{width}}  " if width else ""
    level = click.style(f"{escape(line.level):<7}", fg=_COLORS.get(line.level))
    yield f"{head}{line.ms / 1000:>10.3f}  {level}  {escape(line.source):<9}  {escape(line.text)}"
