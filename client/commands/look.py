"""`devices`, `ps`, `show`, `undeploy`, `store`: look at devices, and tidy them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from client.commands import loop
from client.commands.options import (
    connect,
    device_options,
    framed,
    output_options,
    server_option,
    slot_option,
    timeout_option,
    with_devices,
)
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target


@click.command("devices", epilog="Example: client devices --server coap://192.168.1.5")
@click.option("--no-check", is_flag=True, help="Do not ask the devices whether they are well.")
@server_option
@timeout_option
@output_options
@framed
def devices_command(ui: Ui, no_check: bool, server: str, timeout: float) -> int:
    """List the devices in the directory, and whether they answer."""
    from client.addresses import base_url
    from client.views import check_health, health_rows

    base = base_url(server)

    async def run() -> int:
        from client.directory import registered
        from client.fleet import named
        from client.results import Outcome

        async with connect(timeout) as connection:
            targets = named(await registered(connection, base))
            found = await check_health(connection, targets, check=not no_check)
        if not found:
            ui.note(f"no device is registered at {base}")
        outcomes = [Outcome(health.target.name, health) for health in found]
        return ui.table(outcomes, health_rows(found) if found else ())

    return loop.run(ui, run())


@click.command("ps", epilog="Example: client ps -d all")
@device_options
@timeout_option
@output_options
@framed
def ps_command(ui: Ui, devices: tuple[str, ...], server: str, timeout: float) -> int:
    """List the programs in the slots."""

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.fleet import for_each
        from client.remote import RemoteDevice
        from client.views import slots_lines

        outcomes = await for_each(targets, lambda target: RemoteDevice(connection, target).slots())
        return ui.finish(outcomes, slots_lines)

    return with_devices(ui, devices, server, timeout, action)


@click.command(
    "show",
    epilog="Example: client show --slot 0 -d calm-otter\n\nclient show --slot 0 --hex 0x40 64",
)
@slot_option(None, text="Show this slot, not the device.")
@click.option(
    "--hex",
    "span",
    nargs=2,
    metavar="OFFSET LENGTH",
    help="Show bytes of the image in the slot.",
)
@device_options
@timeout_option
@output_options
@framed
def show_command(
    ui: Ui,
    slot: int | None,
    span: tuple[str, str] | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    """Show a device, or one of its slots."""
    if span is not None:
        return _show_bytes(ui, slot, span, devices, server, timeout)

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.fleet import for_each
        from client.remote import RemoteDevice
        from client.views import device_lines, slot_lines

        async def one(target: Target) -> Any:
            device = RemoteDevice(connection, target)
            return await (device.info() if slot is None else device.slot(slot))

        return ui.finish(await for_each(targets, one), device_lines if slot is None else slot_lines)

    return with_devices(ui, devices, server, timeout, action)


def _show_bytes(
    ui: Ui,
    slot: int | None,
    span: tuple[str, str],
    devices: tuple[str, ...],
    server: str,
    timeout: float,
) -> int:
    from client.arguments import count

    if slot is None:
        raise click.UsageError("--hex shows bytes of a slot: say which with --slot")
    offset, length = (count(text, "--hex") for text in span)

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.fleet import for_each
        from client.remote import RemoteDevice
        from client.views import content_lines

        found = await for_each(
            targets, lambda target: RemoteDevice(connection, target).image(slot, offset, length)
        )
        return ui.finish(found, content_lines)

    return with_devices(ui, devices, server, timeout, action)


@click.command("undeploy", epilog="Example: client undeploy --slot 0 -d calm-otter")
@slot_option(required=True, text="Slot to empty.")
@device_options
@timeout_option
@output_options
@framed
def undeploy_command(ui: Ui, slot: int, devices: tuple[str, ...], server: str, timeout: float) -> int:
    """Remove a program from a slot, with its local store."""

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.fleet import for_each
        from client.remote import RemoteDevice

        async def one(target: Target) -> dict[str, Any]:
            await RemoteDevice(connection, target).undeploy(slot)
            return {"slot": slot, "state": "free"}

        return ui.finish(await for_each(targets, one), lambda _: [f"slot {slot} is free"])

    return with_devices(ui, devices, server, timeout, action)


@click.command(
    "store",
    epilog="Example: client store set 1=1234 2= -d calm-otter    (2= deletes; --slot N: its local store)",
)
@click.argument("change", nargs=-1, metavar="[set KEY=VALUE...]")
@slot_option(None, text="The slot's local store, not the global one.")
@device_options
@timeout_option
@output_options
@framed
def store_command(
    ui: Ui, change: tuple[str, ...], slot: int | None, devices: tuple[str, ...], server: str, timeout: float
) -> int:
    """Show or change a key-value store: the device's global one, or a slot's."""
    from client.arguments import store_changes

    if change and change[0] != "set":
        raise click.UsageError(f"{change[0]!r} is no action: say `store set KEY=VALUE`, or `store` alone")
    if len(change) == 1:
        raise click.UsageError("say what to set: KEY=VALUE, or KEY= to delete")
    changes = store_changes(change[1:])

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.fleet import for_each
        from client.remote import RemoteDevice
        from client.views import store_lines

        async def one(target: Target) -> Any:
            device = RemoteDevice(connection, target)
            if changes:
                await device.set_store(changes, slot)
            return await device.store(slot)

        return ui.finish(await for_each(targets, one), store_lines)

    return with_devices(ui, devices, server, timeout, action)
