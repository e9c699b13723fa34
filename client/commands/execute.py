"""`exec`: run what a slot holds, now, as a job, or as the handler of a CoAP request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from client.commands.options import (
    device_options,
    framed,
    output_options,
    slot_option,
    timing_option,
    with_devices,
)
from client.commands.requests import exec_options, request_of
from client.settings import METHODS
from client.ui import Ui

if TYPE_CHECKING:
    from client.connection import Connection
    from client.debuginfo import DebugFiles
    from client.directory import Target
    from client.packets import PacketCall
    from device.api import ExecRequest, JobRequest

_OF_PACKETS: Final = ("method", "payload", "content_format", "path")
_OF_REQUESTS: Final = (
    *("engine", "jit", "recompile", "shadow", "cycles", "context", "regions"),
    *("helpers", "budget", "repeat"),
)


def packet_options(command: Any) -> Any:
    """`--packet`, and what is asked then."""
    options = (
        click.option("--packet", is_flag=True, help="Call it as the handler of a CoAP request."),
        click.option(
            "--method", type=click.Choice(METHODS), default="GET", help="With --packet: the method."
        ),
        click.option("--payload", metavar="TEXT|0xHEX", help="With --packet: what is sent."),
        click.option(
            "--content-format", type=click.IntRange(0, 65535), metavar="N", help="… and its format."
        ),
        click.option("--path", metavar="PATH", help="With --packet: the path that the program is bound to."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "exec",
    epilog="Example: client exec --slot 0 -d calm-otter --context 0800000000000000\n\n"
    "client exec --slot 1 --job\n\nclient exec --slot 3 --packet --method POST --payload on",
)
@slot_option(text="RAM slot to run.")
@click.option("--job", is_flag=True, help="Begin it as a long-running job, and say its number.")
@packet_options
@exec_options
@timing_option
@device_options
@output_options
@framed
def exec_command(ui: Ui, slot: int, devices: tuple[str, ...], server: str, **given: Any) -> int:
    """Run the program of a slot and print its result.

    A fault shows function, source line and address; the exit code is then 1.
    """
    job, packet = given.pop("job"), given.pop("packet")
    asked = {name: given.pop(name) for name in _OF_PACKETS}
    _check_kind(job, packet)
    timeout = given["timeout"]
    if packet:
        call = _packet_of(slot, **asked)
        return with_devices(ui, devices, server, timeout, lambda *where: _call(ui, call, timeout, *where))
    request = request_of(**given)
    if job:
        begun = _job_of(slot, request)
        return with_devices(ui, devices, server, 5.0, lambda *where: _begin(ui, begun, *where))
    return with_devices(ui, devices, server, timeout, lambda *where: _run(ui, slot, request, *where))


async def _run(
    ui: Ui, slot: int, request: ExecRequest, connection: Connection, base: str, targets: list[Target]
) -> int:
    from client.execution import answer_lines, execute, fault_answer
    from client.fleet import for_each
    from client.remote import RemoteDevice

    debug = debug_files(connection, base)
    outcomes = await for_each(
        targets, lambda target: execute(RemoteDevice(connection, target), slot, request, debug)
    )
    return ui.finish(outcomes, answer_lines, fault_answer)


async def _begin(
    ui: Ui, request: JobRequest, connection: Connection, _base: str, targets: list[Target]
) -> int:
    from client.fleet import for_each
    from client.jobs import begin
    from client.remote import RemoteDevice

    outcomes = await for_each(targets, lambda target: begin(RemoteDevice(connection, target), request))
    return ui.finish(outcomes, lambda job: [f"job {job.id} of slot {job.slot} is {job.state}"])


async def _call(
    ui: Ui, asked: PacketCall, timeout: float, connection: Connection, base: str, targets: list[Target]
) -> int:
    from client.execution import fault_answer
    from client.fleet import for_each
    from client.packets import call, packet_lines
    from client.remote import RemoteDevice

    debug = debug_files(connection, base)
    outcomes = await for_each(
        targets, lambda target: call(RemoteDevice(connection, target), asked, debug, timeout)
    )
    return ui.finish(outcomes, packet_lines, fault_answer)


def debug_files(connection: Connection, base: str) -> DebugFiles:
    """Where source lines come from: this operator's cache, else the file server."""
    from client.debuginfo import DebugFiles
    from client.keys import cache_home

    return DebugFiles(cache_home(os.environ) / "debug", connection, base)


def _check_kind(job: bool, packet: bool) -> None:
    """One way to run, and none of the options of another."""
    if job and packet:
        raise click.UsageError("--job or --packet: a program runs in one of these ways at a time")
    if not packet and (named := _given(_OF_PACKETS)):
        raise click.UsageError(f"{named} is for --packet")
    if packet and (named := _given(_OF_REQUESTS)):
        raise click.UsageError(f"{named} is nothing that a CoAP request says: it is not for --packet")


def _given(names: tuple[str, ...]) -> str | None:
    """The first of these options that the command line has."""
    context = click.get_current_context()
    found = (name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    name = next(found, None)
    return (
        None if name is None else "--" + name.removesuffix("s" if name == "regions" else "").replace("_", "-")
    )


def _job_of(slot: int, request: ExecRequest) -> JobRequest:
    """A job takes any time, unless somebody has said how long."""
    from device.api import JobRequest

    return JobRequest(slot, request, limited=_given(("timeout",)) is not None)


def _packet_of(
    slot: int, *, method: str, payload: str | None, content_format: int | None, path: str | None
) -> PacketCall:
    from client.arguments import hex_bytes
    from client.packets import PacketCall

    content = b""
    if payload is not None:
        content = hex_bytes(payload, "--payload") if payload.startswith("0x") else payload.encode()
    return PacketCall(slot, method, content, content_format, path)
