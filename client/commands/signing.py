"""`keygen`, `sign`, `publish`: keys, and manifests without a deploy."""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands import loop
from client.commands.options import (
    SLOTS,
    connect,
    device_options,
    framed,
    layout_option,
    output_options,
    slot_option,
    timeout_option,
)
from client.escape import escape
from client.results import Outcome
from client.text import block, size
from client.ui import Ui

if TYPE_CHECKING:
    from client.keys import Signer
    from client.manifest import Signed
    from client.release import Order, Publisher
    from client.terms import Terms

IMAGE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


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


@dataclass(frozen=True, slots=True)
class TermsGiven:
    """What the command line says of format and capabilities, as text."""

    suit: str
    helpers: str | None
    budget: str | None
    stack: str | None
    store: str | None
    no_jit: bool
    profile: str | None

    def read(self) -> Terms:
        """The terms. Raises ConfigError for what is none."""
        from client.arguments import helper_ids, number
        from client.terms import Terms, capabilities_of

        def given(name: str, text: str | None) -> int | None:
            return None if text is None else number(text, f"--{name}")

        capabilities = capabilities_of(
            helpers=helper_ids(self.helpers),
            budget=given("budget", self.budget),
            stack=given("stack", self.stack),
            store=given("store", self.store),
            profile=self.profile,
            jit=False if self.no_jit else None,
        )
        return Terms(self.suit, capabilities)


def terms_options(command: Any) -> Any:
    """`--suit --helpers --budget --stack --store --no-jit --profile`, as one `terms`."""

    @wraps(command)
    def packed(*, suit: str, no_jit: bool, **options: Any) -> Any:
        texts = {name: options.pop(name) for name in ("helpers", "budget", "stack", "store", "profile")}
        return command(terms=TermsGiven(suit=suit, no_jit=no_jit, **texts), **options)

    made: Any = packed
    for option in (
        click.option("--no-jit", is_flag=True, help="Grant: never compile the program."),
        click.option("--profile", metavar="NAME", help="Grant: run it as ubpf, femto, sming or riot2020 do."),
        click.option("--store", metavar="N", help="Grant: so many entries in the slot's store."),
        click.option("--stack", metavar="BYTES", help="Grant: a stack frame of this size."),
        click.option("--budget", metavar="N", help="Grant: so many instructions a run."),
        click.option("--helpers", metavar="IDS", help="Grant: only these helpers, such as 0x01,0x13."),
        click.option(
            "--suit",
            type=click.Choice(["riot", "ietf"]),
            default="riot",
            show_default=True,
            help="Format of the manifest: RIOT's, or the current draft's.",
        ),
    ):
        made = option(made)
    return made


def release_options(command: Any) -> Any:
    """`--slot --also --seq --fetch-base --layout`, and the terms."""
    command = layout_option(terms_options(command))
    command = click.option(
        "--also",
        metavar="SLOT=FILE",
        multiple=True,
        help="Another program for another slot, in the same manifest: all are installed, or none.",
    )(command)
    command = click.option(
        "--fetch-base",
        metavar="URL",
        help="URL that devices fetch from.  [default: the one each device was given]",
    )(command)
    command = click.option(
        "--seq",
        metavar="N|clock",
        help="Sequence number.  [default: one more than the devices' highest]",
    )(command)
    return slot_option(text="RAM slot it is for.")(command)


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


def also_of(texts: tuple[str, ...], slot: int) -> list[tuple[int, Path]]:
    """`--also SLOT=FILE`: the slots with their files. Raises ConfigError."""
    from client.arguments import number
    from device.errors import ConfigError

    found: list[tuple[int, Path]] = []
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not Path(file).is_file():
            problem = f"there is no file {file!r}" if equals else f"{text!r} names no slot"
            raise ConfigError(problem, code="argument", where="--also", hint="SLOT=FILE, such as 1=prog.o")
        found.append((number(name, "--also"), Path(file)))
    slots = [slot, *(other for other, _ in found)]
    if len(set(slots)) != len(slots) or not all(0 <= other < SLOTS for other in slots):
        raise ConfigError("each program needs a slot of its own", code="argument", where="--also")
    return found


def sequence_of(text: str | None) -> int | None:
    """`--seq`: a number, the epoch in seconds for `clock`, None when it was not given."""
    from client.arguments import number
    from client.manifest import check_sequence

    if text is None:
        return None
    value = int(time.time()) if text == "clock" else number(text, "--seq")
    check_sequence(value)
    return value


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


@click.command(
    "sign", epilog="Example: client sign prog.o --slot 0 --seq 7 --board native --fetch-base coap://10.0.0.1"
)
@click.argument("file", type=IMAGE)
@release_options
@click.option("--board", metavar="NAME", help="Board it is for, where no device is named.  [default: native]")
@click.option("--uri", metavar="URL", help="URL of the image, where the usual name does not do.")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Where to write the manifest, the image beside it: a file, or a folder.  [default: here]",
)
@key_options
@device_options
@timeout_option
@output_options
@framed
def sign_command(ui: Ui, file: Path, uri: str | None, to: Path | None, **options: Any) -> int:
    """Sign a manifest for an image, into files.

    The sequence number and the board are asked of the devices that are named with -d; without any,
    --seq is needed. Nothing is published.
    """
    from client.commands.local import write

    signed = loop.run(ui, _release(ui, file, uri=uri, **options))
    results = []
    for release, manifest in zip(signed, _places(to, signed), strict=True):
        image = manifest.parent / release.image_name
        write(manifest, release.envelope)
        for name, content in release.files.items():
            write(manifest.parent / name, content)
        results.append({**release.to_map(), "manifest_file": str(manifest), "image_file": str(image)})
    return ui.finish([Outcome(None, result) for result in results], _signed_lines)


def _places(to: Path | None, signed: list[Signed]) -> list[Path]:
    """Where the manifests go: by their own names into a folder, or one to where it was told."""
    if to is None or to.is_dir():
        return [(to or Path()) / release.manifest_name for release in signed]
    if len(signed) > 1:
        from device.errors import ConfigError

        raise ConfigError(
            f"the devices need {len(signed)} manifests, and {to} is one file",
            code="argument",
            where="--to",
            hint="name a folder that there is",
        )
    return [to]


@click.command("publish", epilog="Example: client publish prog.o --slot 0 -d all")
@click.argument("file", type=IMAGE)
@release_options
@click.option("--board", metavar="NAME", help="Board it is for, where no device is named.  [default: native]")
@click.option("--no-alias", is_flag=True, help="Leave suit_manifest<slot>.signed as it is.")
@key_options
@device_options
@timeout_option
@output_options
@framed
def publish_command(ui: Ui, file: Path, no_alias: bool, **options: Any) -> int:
    """Sign, and put image and manifest onto the file server; no device is told."""
    signed = loop.run(ui, _release(ui, file, publish=True, alias=not no_alias, **options))
    return ui.finish([Outcome(None, release) for release in signed], lambda r: _signed_lines(r.to_map()))


def _signed_lines(release: dict[str, Any]) -> list[str]:
    shown = (
        "slot",
        "board",
        "sequence_number",
        "suit",
        "tag",
        "image_url",
        "manifest_url",
        "manifest_file",
        "image_file",
    )
    lines = {name.replace("_", " "): release.get(name) for name in shown}
    if release["also"]:
        lines["also"] = ", ".join(f"slot {one['slot']} {one['tag']}" for one in release["also"])
    return block({**lines, "size": f"{size(release['size'])} + {size(release['manifest_size'])}"})


async def _release(
    ui: Ui,
    file: Path,
    *,
    slot: int,
    seq: str | None,
    fetch_base: str | None,
    layout: str | None,
    board: str | None,
    also: tuple[str, ...],
    terms: TermsGiven,
    keys: tuple[str, ...],
    pass_file: Path | None,
    devices: tuple[str, ...],
    server: str,
    timeout: float,
    uri: str | None = None,
    publish: bool = False,
    alias: bool = False,
) -> list[Signed]:
    """Sign for the devices named, or without any for a board; publish when asked to."""
    if devices and board is not None:
        raise click.UsageError("--board is for a release without devices: devices say what they are")
    if not devices and seq is None:
        raise click.UsageError("say --seq N, or name the devices with -d: they know what comes next")
    from client.addresses import base_url
    from client.image import prepare
    from client.release import Order, Publisher

    number = sequence_of(seq)
    agreed, further = terms.read(), also_of(also, slot)
    signer = signer_of(ui, keys, pass_file)
    packaged, *others = [
        prepare(one, layout, allowed=agreed.capabilities.helpers, profile=agreed.profile, on_step=ui.step)
        for one in (file, *(path for _, path in further))
    ]
    order = Order(
        packaged,
        slot=slot,
        sequence_number=number,
        fetch_base=None if fetch_base is None else base_url(fetch_base),
        uri=uri,
        alias=alias,
        publish=publish,
        terms=agreed,
        also=tuple(zip((number for number, _ in further), others, strict=True)),
    )
    async with connect(timeout) as connection:
        publisher = Publisher(connection, base_url(server), signer, ui.step, ui.note)
        if devices:
            return await _for_devices(publisher, order, devices)
        return await _for_board(publisher, order, board or "native")


async def _for_devices(publisher: Publisher, order: Order, devices: tuple[str, ...]) -> list[Signed]:
    from client.fleet import resolve
    from client.release import release
    from client.sequence import survey

    targets = await resolve(publisher.connection, publisher.server, devices)
    recipients = await survey(publisher.connection, publisher.server, targets)
    signed = await release(publisher, order, recipients)
    return list(dict.fromkeys(signed.values()))


async def _for_board(publisher: Publisher, order: Order, board: str) -> list[Signed]:
    from client.release import release_for_board

    return [await release_for_board(publisher, order, board)]
