"""`hook`: have programs run by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from client.commands.options import (
    device_options,
    framed,
    output_options,
    slot_option,
    timeout_option,
    with_devices,
)
from client.commands.requests import BEST, EngineType
from client.ui import Render, Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target
    from client.remote import RemoteDevice
    from device.api import HookRequest

POLICIES: Final = ("continue", "abort-on-negative", "abort-on-positive", "single")


@click.command(
    "hook",
    epilog="Example: client hook add --slot 3 --path /app/temperature\n\n"
    "client hook add --slot 0 --every 500\n\nclient hook remove 2",
)
@click.argument("words", nargs=-1, metavar="[add | remove ID...]")
@slot_option(None, text="With add: the slot whose program runs.")
@click.option("--every", type=click.IntRange(10), metavar="MS", help="With add: at an interval.")
@click.option("--saul", metavar="N|any", help="With add: when a reading of the board changes.")
@click.option("--path", metavar="PATH", help="With add: on requests for a path below /app/.")
@click.option("--packet", is_flag=True, help="With add: on every incoming request.")
@click.option("--replace", is_flag=True, help="With add: in the place of one that is there already.")
@click.option(
    "--policy", type=click.Choice(POLICIES), default=POLICIES[0], help="Which result ends the chain."
)
@click.option("--engine", type=EngineType(), default=BEST, help="What runs it.")
@device_options
@timeout_option
@output_options
@framed
def hook_command(
    ui: Ui,
    words: tuple[str, ...],
    replace: bool,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
    **given: Any,
) -> int:
    """List what makes programs run by themselves; add a hook, or remove one."""
    from client import hooks

    def each(one: Callable[[RemoteDevice], Awaitable[Any]], render: Render) -> int:
        async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
            from client.fleet import for_each
            from client.remote import RemoteDevice

            return ui.finish(
                await for_each(targets, lambda target: one(RemoteDevice(connection, target))), render
            )

        return with_devices(ui, devices, server, timeout, action)

    if replace and words != ("add",):
        raise click.UsageError("--replace goes with `hook add`")
    if not words:
        return each(hooks.listing, hooks.hook_lines)
    if words == ("add",):
        request = _request(**given)
        return each(
            lambda device: (hooks.put if replace else hooks.add)(device, request),
            lambda made: [f"hook {made.id} runs slot {made.slot}: {hooks.trigger(made)}"],
        )
    if words[0] != "remove" or len(words) == 1 or not all(word.isdecimal() for word in words[1:]):
        raise click.UsageError("say `hook`, `hook add --slot N …`, or `hook remove ID`")
    numbers = [int(word) for word in words[1:]]
    return each(
        lambda device: hooks.remove(device, numbers), lambda _: [f"hook {n} is gone" for n in numbers]
    )


def _request(
    *,
    slot: int | None,
    every: int | None,
    saul: str | None,
    path: str | None,
    packet: bool,
    policy: Any,
    engine: Any,
) -> HookRequest:
    """The hook that the options say. Raises ConfigError for arguments that are none."""
    from client.arguments import number
    from device.api import HookRequest
    from device.errors import ConfigError, MalformedRequest

    if slot is None or (every is not None, saul is not None, path is not None, packet).count(True) != 1:
        raise click.UsageError("a hook needs --slot, and one of --every, --saul, --path and --packet")
    fields: dict[str, Any] = {"trigger": "packet"}
    if every is not None:
        fields = {"trigger": "interval", "period_ms": every}
    elif saul is not None:
        fields = {"trigger": "saul", "index": None if saul == "any" else number(saul, "--saul")}
    elif path is not None:
        fields = {"trigger": "path", "path": path}
    try:
        return HookRequest(slot, policy=policy, engine=engine, **fields)
    except MalformedRequest as error:
        raise ConfigError(error.detail, code="argument", where=error.where, hint=error.hint) from error
