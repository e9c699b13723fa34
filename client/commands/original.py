"""The verbs of µBPF's own tool, hidden: `compile`, `postprocessing`, `sign`, `pull`, `deploy`, `execute`.

`sign` and `deploy` are theirs when they come with their options, and ours without.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from client import original
from client.commands.options import framed, output_options, server_option, timeout_option, with_devices
from client.ui import Ui
from device.errors import ConfigError

if TYPE_CHECKING:
    from client.connection import Connection
    from client.directory import Target

LAYOUT = click.Choice(list(original.LAYOUTS))


class Original(click.Command):
    """A command of theirs, whose list option takes any number of words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the list as one word."""
        return super().parse_args(ctx, original.joined(args))


def options_of_verification(command: Any) -> Any:
    """What they say of helpers, and of the machine."""
    for option in (
        click.option("--helper-indices", metavar="ID..."),
        click.option("--helper-access-verification", type=click.Choice(original.POINTS), default="Runtime"),
        click.option(
            "--helper-access-list-source", type=click.Choice(original.SOURCES), default="ExecuteRequest"
        ),
        click.option("--target", default="rBPF"),
        click.option("--binary-layout", type=LAYOUT, default="ExtendedHeader"),
    ):
        command = option(command)
    return command


def options_of_hosts(command: Any) -> Any:
    """Where they say that device and file server are."""
    for option in (
        click.option("--riot-ipv6-addr", default=""),
        click.option("--host-network-interface", default="wlan0"),
        click.option("--suit-storage-slot", "-s", type=click.IntRange(0, 255), default=0),
    ):
        command = option(command)
    return command


def say(words: Sequence[str]) -> None:
    """Do what our own words mean; it ends as they do."""
    from client.cli import cli

    cli.main(list(words), prog_name="client")


@click.command("compile", cls=Original, hidden=True, epilog="Example: client compile --bpf-source-file a.c")
@click.option("--bpf-source-file", required=True)
@click.option("--binary-file")
@click.option("--out-dir", default="./out")
def compile_command(bpf_source_file: str, binary_file: str | None, out_dir: str) -> None:
    """As `build`."""
    from pathlib import Path

    words = original.compile_words(bpf_source_file, binary_file, out_dir)
    Path(words[-1]).parent.mkdir(parents=True, exist_ok=True)
    say(words)


@click.command("postprocessing", cls=Original, hidden=True, epilog="Example: client postprocessing …")
@click.option("--source-object-file", required=True)
@click.option("--binary-file")
@options_of_verification
def postprocessing_command(
    source_object_file: str,
    binary_file: str | None,
    binary_layout: str,
    helper_indices: str | None,
    helper_access_verification: str,
    **_unused: Any,
) -> None:
    """As `package`; verified before it when AheadOfTime is asked for."""
    words, verify = original.package_words(
        source_object_file, binary_file, binary_layout, helper_indices, helper_access_verification
    )
    if verify is not None:
        try:
            say([*verify, "-q"])
        except SystemExit as ended:
            if ended.code:
                raise
    say(words)


@click.command("sign", cls=Original, hidden=True, epilog="Example: client sign --binary-name a.bin")
@click.option("--binary-name", default="a.bin")
@click.option("--suit-storage-slot", "-s", type=click.IntRange(0, 255), default=0)
@click.option("--board-name")
@click.option("--coaproot-dir")
@click.option("--host-network-interface")
def sign_command(binary_name: str, suit_storage_slot: int, board_name: str | None, **_unused: Any) -> None:
    """As `publish`: what they put into a folder, the file server has."""
    say(original.sign_words(binary_name, suit_storage_slot, board_name))


@click.command("deploy", cls=Original, hidden=True, epilog="Example: client deploy --bpf-source-file a.c")
@click.option("--bpf-source-file", required=True)
@click.option("--out-dir")
@click.option("--coaproot-dir")
@click.option("--board-name")
@click.option("--host-ipv6-addr")
@click.option("--riot-network-interface")
@click.option("--erase", is_flag=True)
@click.option("--jit", "-j", is_flag=True)
@options_of_verification
@options_of_hosts
def deploy_command(
    bpf_source_file: str,
    riot_ipv6_addr: str,
    host_network_interface: str,
    suit_storage_slot: int,
    binary_layout: str,
    board_name: str | None,
    helper_indices: str | None,
    helper_access_verification: str,
    **_unused: Any,
) -> None:
    """As `deploy`."""
    try:
        device = original.device_words(riot_ipv6_addr, host_network_interface)
    except ConfigError as error:
        raise click.UsageError(error.detail) from error
    words = original.deploy_words(
        bpf_source_file,
        suit_storage_slot,
        binary_layout,
        board_name,
        helper_indices,
        helper_access_verification,
    )
    say([*words, *device])


@click.command("execute", cls=Original, hidden=True, epilog="Example: client execute --suit-storage-slot 1")
@click.option("--execution-model", type=click.Choice(list(original.MODELS)), default="ShortLived")
@click.option("-j", "jit", is_flag=True)
@click.option("--jit-compile", is_flag=True)
@click.option("-b", "benchmark", is_flag=True)
@options_of_verification
@options_of_hosts
def execute_command(
    riot_ipv6_addr: str,
    host_network_interface: str,
    suit_storage_slot: int,
    execution_model: str,
    helper_indices: str | None,
    jit: bool,
    jit_compile: bool,
    **_unused: Any,
) -> None:
    """As `exec`."""
    try:
        words = original.execute_words(
            riot_ipv6_addr,
            host_network_interface,
            suit_storage_slot,
            execution_model,
            helper_indices,
            jit=jit,
            fresh=jit_compile,
        )
    except ConfigError as error:
        raise click.UsageError(error.detail) from error
    say(words)


@click.command("pull", cls=Original, hidden=True, epilog="Example: client pull --riot-ipv6-addr fe80::1")
@click.option("--host-ipv6-addr", default="")
@click.option("--suit-manifest", default="suit_manifest0.signed")
@click.option("--riot-network-interface", default="5")
@click.option("--erase", is_flag=True)
@click.option("--jit", "-j", is_flag=True)
@options_of_verification
@options_of_hosts
@server_option
@timeout_option
@output_options
@framed
def pull_command(
    ui: Ui,
    riot_ipv6_addr: str,
    host_ipv6_addr: str,
    host_network_interface: str,
    riot_network_interface: str,
    suit_manifest: str,
    server: str,
    timeout: float,
    **_unused: Any,
) -> int:
    """Have a device fetch and install the manifest of that name, and say how that ended."""
    from client.addresses import base_url

    # The device is told the file server by the name of its own interface.
    base = base_url(original.host(host_ipv6_addr, riot_network_interface) if host_ipv6_addr else server)
    url = f"{base}/{suit_manifest.lstrip('/')}"
    devices = tuple(original.device_words(riot_ipv6_addr, host_network_interface)[1:])

    async def action(connection: Connection, _base: str, targets: list[Target]) -> int:
        from client.deploy import DEADLINE_S
        from client.fleet import for_each
        from client.pull import Pull
        from client.pull_url import pull_url
        from client.remote import RemoteDevice

        how = Pull(monotonic() + DEADLINE_S)
        outcomes = await for_each(
            targets, lambda target: pull_url(RemoteDevice(connection, target), url, how)
        )
        return ui.finish(outcomes, lambda status: [f"installed sequence number {status.sequence_number}"])

    return with_devices(ui, devices, server, timeout, action)
