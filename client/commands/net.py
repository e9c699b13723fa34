"""`net`: a bad link in front of a device or a file server."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from client.commands import loop
from client.commands.options import framed, output_options
from client.results import Outcome
from client.ui import Ui

PERCENT: Final = click.FloatRange(0, 100)


@click.command("net", epilog="Example: client net localhost:5710 --loss 20 --delay 50 --listen 5800")
@click.argument("peer", metavar="HOST:PORT")
@click.option("--loss", type=PERCENT, default=0.0, metavar="PERCENT", help="Datagrams that are lost.")
@click.option("--duplicate", type=PERCENT, default=0.0, metavar="PERCENT", help="Datagrams that come twice.")
@click.option(
    "--delay",
    type=click.FloatRange(0, 60_000),
    default=0.0,
    metavar="MS",
    help="How late a datagram comes at most; later ones overtake it.",
)
@click.option(
    "--listen",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Where to send to instead, on loopback.  [default: any free port]",
)
@click.option("--seed", default="1", help="Which datagrams: the same seed, the same ones.")
@output_options
@framed
def net_command(
    ui: Ui, peer: str, loss: float, duplicate: float, delay: float, listen: int, seed: str
) -> int:
    """Be a link in front of a device or a file server that loses, doubles and delays, until interrupted."""
    from client.net import Count, Link, Weather, link

    weather = Weather(loss / 100, duplicate / 100, delay / 1000)

    def show(what: dict[str, Any], text: str) -> None:
        ui.stream(Outcome(peer, what), lambda _: [text])

    def ended(made: Link) -> None:
        count: Count = made.count
        ui.note(f"{count.passed} datagrams passed, {count.lost} lost, {count.duplicated} came twice")

    async def run() -> int:
        async with link(peer, weather, seed, port=listen) as made:
            show({"url": made.url}, f"net ready: {made.url} leads to {peer}")
            try:
                await asyncio.Event().wait()
            finally:
                ended(made)
        return 0

    return loop.run(ui, run())
