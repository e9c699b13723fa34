"""`board`: what a person would see on the desk, live, and what the sensors are to feel."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands.options import device_options, framed, output_options, timeout_option, with_devices
from client.escape import escape
from client.results import Outcome, worst
from client.ui import Ui

if TYPE_CHECKING:
    from client.board import Change, Event
    from client.connection import Connection
    from client.directory import Target
    from client.remote import RemoteDevice
    from device.api import BoardInfo


@click.command(
    "board",
    epilog="Example: client board -f -d calm-otter\n\n"
    "client board set saul:1=sine:234,20,60 adc:2=400    (a temperature that moves, the key UP)",
)
@click.argument("change", nargs=-1, metavar="[set INPUT=SIGNAL...]")
@click.option("-f", "--follow", is_flag=True, help="Go on, live, until interrupted.  [default on a terminal]")
@click.option("--once", is_flag=True, help="Show it once, on a terminal too.")
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Play lines `SECONDS INPUT=SIGNAL`, in real time.",
)
@device_options
@timeout_option
@output_options
@framed
def board_command(
    ui: Ui,
    change: tuple[str, ...],
    follow: bool,
    once: bool,
    scenario: Path | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Show LEDs, display and readings of a board; set what its sensors feel.

    Inputs are saul:N, adc:N and pin:C13, signals those of `device --signal`: a number, sine:, walk:, csv:
    or fail; `saul:1=` is the board's own signal again.
    """
    from client.board import change_of
    from client.board import scenario as events_of

    if change and change[0] != "set":
        raise click.UsageError(f"{change[0]!r} is no action: say `board set INPUT=SIGNAL`, or `board` alone")
    if len(change) == 1:
        raise click.UsageError("say what to set: INPUT=SIGNAL, such as saul:1=250")
    if follow and once:
        raise click.UsageError("--follow or --once, not both")
    changes = [change_of(text) for text in change[1:]]
    events = events_of(scenario) if scenario else []
    shown_live = not once and not changes and scenario is None and not ui.json and sys.stdout.isatty()
    live = follow or shown_live

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        if live:
            return await _live(ui, connection, targets, changes, events)
        return await _once(ui, connection, targets, changes, events)

    return with_devices(ui, devices, server, timeout, action)


async def _once(
    ui: Ui, connection: Connection, targets: list[Target], changes: Iterable[Change], events: list[Event]
) -> int:
    from client import board
    from client.fleet import for_each
    from client.remote import RemoteDevice

    async def one(target: Target) -> BoardInfo:
        device = RemoteDevice(connection, target)
        await board.apply(device, changes)
        await board.play(device, events)
        return await board.read(device)

    return ui.finish(await for_each(targets, one, limit=len(targets)), board.board_lines)


async def _live(
    ui: Ui, connection: Connection, targets: list[Target], changes: Iterable[Change], events: list[Event]
) -> int:
    from client import board
    from client.fleet import for_each
    from client.remote import RemoteDevice

    with _Screen(ui, len(targets) > 1) as screen:

        async def one(target: Target) -> None:
            device = RemoteDevice(connection, target)
            await board.apply(device, changes)
            await _beside(board.play(device, events), _watch(ui, screen, device))

        def ended(_target: Target, outcome: Outcome[None]) -> None:
            if not outcome.ok:
                ui.stream(outcome, lambda _: ())

        return int(worst(await for_each(targets, one, on_done=ended, limit=len(targets))))


async def _watch(ui: Ui, screen: _Screen, device: RemoteDevice) -> None:
    from client import board

    async with aclosing(board.follow(device, on_note=ui.note)) as boards:
        async for seen in boards:
            screen.show(device.target.name, seen)


async def _beside(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
    """Both; an error of one ends the other, and comes out as it is."""
    from client.commands.frame import innermost

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first)
            tasks.create_task(second)
    except BaseExceptionGroup as group:
        raise innermost(group) from None


class _Screen:
    """Boards below each other: repainted in place on a terminal, one after the other into anything else."""

    def __init__(self, ui: Ui, several: bool) -> None:
        self._ui = ui
        self._several = several
        self._boards: dict[str, list[str]] = {}
        self._live: Any = None

    def __enter__(self) -> _Screen:
        if sys.stdout.isatty() and not self._ui.json:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, device: str, seen: BoardInfo) -> None:
        """A board that looks different now."""
        if self._live is None:
            self._ui.stream(Outcome(device, seen), lambda board: [*self._lines(device, board), ""])
            return
        from rich.text import Text

        self._boards[device] = self._lines(device, seen)
        lines = [line for board in self._boards.values() for line in board]
        self._live.update(Text("\n".join(lines), no_wrap=True), refresh=True)

    def _lines(self, device: str, seen: BoardInfo) -> list[str]:
        from client.board import board_lines

        return [*([escape(device)] if self._several else []), *board_lines(seen)]
