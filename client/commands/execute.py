"""`exec`: run what a slot holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from client.commands.options import (
    device_options,
    framed,
    output_options,
    slot_option,
    timing_option,
    with_devices,
)
from client.commands.requests import exec_options, request_of
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target


@click.command("exec", epilog="Example: client exec --slot 0 -d calm-otter --context 0800000000000000")
@slot_option(text="RAM slot to run.")
@exec_options
@timing_option
@device_options
@output_options
@framed
def exec_command(ui: Ui, slot: int, devices: tuple[str, ...], server: str, **run: Any) -> int:
    """Run the program of a slot and print its result.

    A fault shows function, source line and address; the exit code is then 1.
    """
    request = request_of(**run)

    async def action(connection: Connection, base: str, targets: list[Target]) -> int:
        from client.debuginfo import DebugFiles
        from client.execution import answer_lines, execute, fault_answer
        from client.fleet import for_each
        from client.keys import cache_home
        from client.remote import RemoteDevice

        debug = DebugFiles(cache_home(os.environ) / "debug", connection, base)
        outcomes = await for_each(
            targets, lambda target: execute(RemoteDevice(connection, target), slot, request, debug)
        )
        return ui.finish(outcomes, answer_lines, fault_answer)

    return with_devices(ui, devices, server, run["timeout"], action)
