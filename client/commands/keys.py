"""`keygen`, and the keys that other verbs sign with."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands.options import framed, output_options
from client.escape import escape
from client.results import Outcome
from client.text import block
from client.ui import Ui

if TYPE_CHECKING:
    from client.keys import Signer


def key_options(command: Any) -> Any:
    """`--key FILE`, `--pass-file FILE`."""
    command = click.option(
        "--pass-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the key's pass phrase.  [default: asked for]",
    )(command)
    return click.option(
        "--key",
        "keys",
        metavar="FILE",
        multiple=True,
        help="Private key to sign with; repeated, each signs.  [MICROBPF_KEY; default: what keygen made]",
    )(command)


def signer_of(ui: Ui, keys: tuple[str, ...], pass_file: Path | None) -> Signer:
    """The keys to sign with; a pass phrase comes from the file, or is asked for on a terminal."""
    from client.keys import key_path, load_signers, open_to_others, read_passphrase

    passphrase = None if pass_file is None else read_passphrase(pass_file)
    paths = [key_path(key) for key in keys or (None,)]
    signer = load_signers(paths, passphrase=passphrase, ask=_ask)
    for path in open_to_others(signer):
        ui.note(f"note: others may read the private key {escape(path)}: chmod 600 {escape(path)}")
    return signer


def _ask(path: Path) -> bytes:
    return ask_passphrase(f"Pass phrase of {path}")


def ask_passphrase(text: str, *, confirm: bool = False) -> bytes:
    """Ask for a pass phrase on the terminal. Raises ConfigError when nobody is there to say it."""
    from getpass import GetPassWarning

    from device.errors import ConfigError

    nobody = ConfigError(
        "a pass phrase is needed, and there is no terminal to ask for it",
        code="passphrase",
        hint="put it into a file, and name that with --pass-file",
    )
    if sys.stdin is None:
        raise nobody
    try:
        with warnings.catch_warnings():
            # Without a terminal it is read from stdin, which a script may mean.
            warnings.simplefilter("ignore", GetPassWarning)
            said: str = click.prompt(text, hide_input=True, confirmation_prompt=confirm, err=True)
    except click.Abort as ended:
        # click makes the same of Ctrl-C and of the end of the input.
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise nobody from None
    return said.encode()


@click.command("keygen", epilog="Example: client keygen --to operator.pem")
@click.option("--to", metavar="FILE", help="Where to write it.  [MICROBPF_KEY; default: in the user's data]")
@click.option(
    "--pass-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Encrypt it with the pass phrase in this file.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt it with a pass phrase that is asked for.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["ed25519", "p256"]),
    default="ed25519",
    show_default=True,
    help="Kind of key; RIOT takes ed25519 only.",
)
@output_options
@framed
def keygen_command(ui: Ui, to: str | None, pass_file: Path | None, encrypt: bool, kind: str) -> int:
    """Make a key pair to sign updates with, in PEM files.

    An existing key is never overwritten.
    """
    from client.keys import generate, key_path, read_passphrase

    passphrase = None
    if pass_file is not None:
        passphrase = read_passphrase(pass_file)
    elif encrypt:
        passphrase = ask_passphrase("Pass phrase", confirm=True)
    path = key_path(to)
    public = generate(path, passphrase, kind)
    ui.note(f"devices trust it once {public.name} lies in their directory of trusted keys: device --keys DIR")
    result = {"private": str(path), "public": str(public), "type": kind}
    return ui.finish([Outcome(None, result)], block)
