"""The `client` command: verbs by name, each imported only when it is used.

`client --help` and a deploy on one device start in milliseconds because nothing heavy is imported here.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any, Final

import click

from client.settings import INTERRUPTED

VERBS: Final[dict[str, tuple[str, str]]] = {
    "build": ("local", "Compile C, C++ or assembler text into an eBPF object."),
    "verify": ("verify", "Judge a program as a device would, and for other machines."),
    "dump": ("local", "Take a program apart: sections, functions, disassembly."),
    "package": ("packaging", "Write a program in another layout, or read one back."),
    "run": ("local", "Run a program on this machine, without a device."),
    "keygen": ("keys", "Make a key pair to sign updates with."),
    "sign": ("signing", "Sign a manifest for an image, into files."),
    "inspect": ("inspecting", "Make a signed manifest readable, and say what is wrong with it."),
    "publish": ("signing", "Sign, and put image and manifest onto the file server."),
    "deploy": ("deploy", "Build, sign, publish and install a program."),
    "watch": ("watch", "Deploy a program, and again whenever it is saved."),
    "exec": ("execute", "Run the program of a slot and print its result."),
    "jobs": ("jobs", "List long-running programs, or show one."),
    "kill": ("jobs", "Stop long-running programs."),
    "hook": ("hook", "Have programs run by themselves: intervals, readings, paths."),
    "devices": ("look", "List the devices in the directory, and whether they answer."),
    "ps": ("look", "List the programs in the slots."),
    "show": ("look", "Show a device, or one of its slots."),
    "undeploy": ("look", "Remove a program from a slot."),
    "store": ("look", "Show or change a key-value store."),
    "board": ("board", "Show LEDs, display and readings, live; set what sensors feel."),
    "logs": ("logs", "Show the logs of devices, live with -f."),
    "net": ("net", "Be a bad link in front of a device: loss, delay, duplicates."),
    "attack": ("attack", "Throw forged updates at your device, and see each refused."),
    "bench": ("bench", "Measure engines on this machine."),
    "demo": ("demo", "Start a testbed on this machine and show what it does."),
}
"""Verb → (module in client/commands, what it does)."""

HIDDEN: Final = frozenset({"compile", "postprocessing", "pull", "execute"})
"""Verbs of µBPF's own tool, for its scripts; all in client/commands/original.py."""

SHARED: Final = {
    "deploy": frozenset({"--bpf-source-file"}),
    "sign": frozenset({"--binary-name", "--coaproot-dir", "--host-network-interface", "--suit-storage-slot"}),
}
"""Verbs that both tools have, with options by which theirs is known."""


class Verbs(click.Group):
    """The group of all verbs. Help texts are here, so that listing them imports nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """All verbs, in the order of a program's life."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # the same
        """The verb's command, imported now."""
        if cmd_name not in VERBS and cmd_name not in HIDDEN:
            return None
        home = "original" if cmd_name in HIDDEN else VERBS[cmd_name][0]
        module = import_module(f"client.commands.{home}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)  # noqa: S101  # the table above names commands only
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the words name; theirs where it is written with their options."""
        name, command, rest = super().resolve_command(ctx, args)
        theirs = SHARED.get(name or "", frozenset())
        if theirs & {word.partition("=")[0] for word in rest}:
            command = getattr(import_module("client.commands.original"), f"{name}_command")
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Ctrl-C ends it with one line and its own code, also during imports."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of verbs in `client --help`."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Begin with `client demo`. `client VERB --help` has an example of each.",
)
@click.version_option(package_name="micro-bpf-fleet", prog_name="client", message="%(prog)s %(version)s")
def cli() -> None:
    """Build, sign, deploy and run eBPF programs on a fleet of devices."""


def main() -> None:
    """Run the verb that the command line names.

    Collecting garbage while modules are imported, and once more over all of them at the end, is a fifth of
    the time of a short command: it begins when a command's loop does, and leaves out what was imported.
    """
    gc.disable()
    try:
        cli(prog_name="client")
    finally:
        gc.freeze()
