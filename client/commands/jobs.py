"""`jobs`, `kill`: long-running programs of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from client.commands.execute import debug_files
from client.commands.options import (
    device_options,
    framed,
    output_options,
    slot_option,
    timeout_option,
    with_devices,
)
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target


@click.command("jobs", epilog="Example: client jobs -d all\n\nclient jobs 3 --wait -d calm-otter")
@click.argument("number", type=click.IntRange(1, 999_999_999), required=False, metavar="[ID]")
@click.option("--wait", is_flag=True, help="Wait for the end of job ID; the exit code is 1 if it faulted.")
@device_options
@timeout_option
@output_options
@framed
def jobs_command(
    ui: Ui, number: int | None, wait: bool, devices: tuple[str, ...], server: str, timeout: float
) -> int:
    """List the jobs of devices, or show one with what it has printed."""
    if wait and number is None:
        raise click.UsageError("--wait waits for one job: say which")

    async def action(connection: Connection, base: str, targets: list[Target]) -> int:
        from client import jobs
        from client.execution import fault_answer
        from client.fleet import for_each
        from client.remote import RemoteDevice

        debug = debug_files(connection, base)

        async def one(target: Target) -> Any:
            device = RemoteDevice(connection, target)
            if number is None:
                return await jobs.listing(device)
            if not wait:
                return await device.job(number)
            return await jobs.judged(device, await jobs.wait(device, number, on_note=ui.note), debug)

        outcomes = await for_each(targets, one, limit=len(targets))
        render = jobs.listing_lines if number is None else jobs.job_lines
        return ui.finish(outcomes, render, fault_answer)

    return with_devices(ui, devices, server, timeout, action)


@click.command("kill", epilog="Example: client kill 3 -d calm-otter\n\nclient kill --slot 2 -d all")
@click.argument("numbers", nargs=-1, type=click.IntRange(1, 999_999_999), metavar="[ID...]")
@slot_option(None, text="All jobs of this slot.")
@click.option("--all", "every", is_flag=True, help="All jobs.")
@device_options
@timeout_option
@output_options
@framed
def kill_command(
    ui: Ui,
    numbers: tuple[int, ...],
    slot: int | None,
    every: bool,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Stop jobs; it returns when they have stopped. A job that has ended is forgotten."""
    if (bool(numbers), slot is not None, every).count(True) != 1:
        raise click.UsageError("say which: numbers of jobs, --slot N, or --all")

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client import jobs
        from client.fleet import for_each
        from client.remote import RemoteDevice

        async def one(target: Target) -> jobs.Killed:
            device = RemoteDevice(connection, target)
            return await (jobs.kill(device, numbers) if numbers else jobs.kill_matching(device, slot))

        return ui.finish(await for_each(targets, one), jobs.killed_lines)

    return with_devices(ui, devices, server, timeout, action)
