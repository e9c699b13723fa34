"""Options that several verbs share, and the frame that every verb runs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from client.commands import loop
from client.settings import DEFAULT_SERVER, DEVICE_VARIABLE, LAYOUTS, SERVER_VARIABLE
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target

F = TypeVar("F", bound=Callable[..., Any])

SLOTS: Final = 256
_TIMING: Final = "client.timing"


def output_options(command: F) -> F:
    """`-o table|json`, `--quiet`, `--debug`."""
    command = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        help="For people or for scripts.",
    )(command)
    command = click.option("-q", "--quiet", is_flag=True, help="No notes and steps on stderr.")(command)
    return click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")(command)


def server_option(command: F) -> F:
    """`--server`, MICROBPF_SERVER."""
    return click.option(
        "--server",
        envvar=SERVER_VARIABLE,
        default=DEFAULT_SERVER,
        metavar="URL",
        help=f"File server with the device directory.  [{SERVER_VARIABLE}; default: {DEFAULT_SERVER}]",
    )(command)


def device_options(command: F) -> F:
    """`-d NAME|HOST:PORT|all`, repeatable, MICROBPF_DEVICE; `--server`."""
    command = click.option(
        "-d",
        "--device",
        "devices",
        multiple=True,
        envvar=DEVICE_VARIABLE,
        metavar="DEVICE",
        shell_complete=complete_device,
        help=f"NAME, HOST:PORT or all; repeatable.  [{DEVICE_VARIABLE}; default: the only one registered]",
    )(command)
    return server_option(command)


def timeout_option(command: F) -> F:
    """`--timeout` of each request, and `--timing`."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0.05, 600),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    )(timing_option(command))


def timing_option(command: F) -> F:
    """`--timing` of the repetitions of a request, which `connect` reads."""
    return click.option(
        "--timing",
        type=click.Choice(["lan", "rfc7252"]),
        default="lan",
        show_default=True,
        expose_value=False,
        callback=_keep_timing,
        help="When what is not acknowledged is sent again: soon, or as the standard says.",
    )(command)


def _keep_timing(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    context.meta[_TIMING] = value


def connect(timeout: float) -> Connection:
    """A connection with the timing that this command was given."""
    from client.connection import Connection
    from device.transport import TIMINGS

    return Connection(timeout_s=timeout, timing=TIMINGS[click.get_current_context().meta[_TIMING]])


def layout_option(command: F) -> F:
    """`--layout elf|text|femto|sming|extended`."""
    return click.option(
        "--layout",
        type=click.Choice(LAYOUTS),
        help="How the image is written.  [default: elf, stripped, or what FILE has]",
    )(command)


def slot_option(
    default: int | None = 0, *, required: bool = False, text: str = "RAM slot."
) -> Callable[[F], F]:
    """`--slot N`."""
    # click takes a default of None for a value: an option that is required must have none at all.
    given: dict[str, Any] = {"required": True} if required else {"default": default}
    return click.option(
        "--slot",
        type=click.IntRange(0, SLOTS - 1),
        show_default=default is not None and not required,
        metavar="N",
        help=text,
        shell_complete=complete_slot,
        **given,
    )


def framed(command: Callable[..., int | None]) -> Callable[..., None]:
    """A command with an `Ui` made of the output options, ending with its exit code.

    Errors of our tree are shown and mapped; anything else is one line, with a traceback under --debug.
    """

    @wraps(command)
    def run(*, output: Any, quiet: bool, debug: bool, **options: Any) -> None:
        from client.commands.frame import run_framed

        ui = Ui(output, quiet=quiet, debugging=debug, environment=os.environ)
        sys.exit(run_framed(ui, lambda: command(ui, **options)))

    return run


def with_devices(
    ui: Ui,
    selectors: tuple[str, ...],
    server: str,
    timeout: float,
    action: Callable[[Connection, str, list[Target]], Awaitable[int]],
) -> int:
    """Open a connection, resolve the devices, and run `action(connection, server, targets)`."""
    from client.addresses import base_url
    from client.fleet import resolve

    async def run() -> int:
        base = base_url(server)
        async with connect(timeout) as opened:
            targets = await resolve(opened, base, selectors)
            ui.expect(len(targets))
            return await action(opened, base, targets)

    return loop.run(ui, run())


def complete_slot(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The slots that a device has unless it was told otherwise."""
    return [text for text in map(str, range(5)) if text.startswith(incomplete)]


def complete_device(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names in the directory, when it answers at once."""
    from client.addresses import base_url
    from client.connection import Connection
    from client.directory import registered
    from device.errors import MicroBpfError

    server = context.params.get("server") or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER

    async def names() -> list[str]:
        async with Connection(timeout_s=0.5) as connection:
            return [target.name for target in await registered(connection, base_url(server))]

    try:
        found = loop.run(Ui(quiet=True), names())
    except MicroBpfError:
        found = []
    return [name for name in [*found, "all"] if name.startswith(incomplete)]
