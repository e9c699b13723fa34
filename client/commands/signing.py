"""`sign` and `publish`: manifests without a deploy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.commands import loop
from client.commands.granting import TermsGiven, terms_options
from client.commands.keys import key_options, signer_of
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
from client.results import Outcome
from client.text import block, size
from client.ui import Ui

if TYPE_CHECKING:
    from client.manifest import Signed
    from client.release import Order, Publisher

IMAGE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


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
        write(manifest, release.envelope)
        for name, content in release.files.items():
            write(manifest.parent / name, content)
        image = str(manifest.parent / release.image_name) if release.files else None
        results.append({**release.to_map(), "manifest_file": str(manifest), "image_file": image})
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

    sequence_number = sequence_of(seq)
    agreed, further = terms.read(), also_of(also, slot)
    signer = signer_of(ui, keys, pass_file)
    packaged, *others = [
        prepare(
            path,
            layout,
            allowed=agreed.granted(number).helpers,
            profile=agreed.profile(number),
            on_step=ui.step,
        )
        for number, path in ((slot, file), *further)
    ]
    order = Order(
        packaged,
        slot=slot,
        sequence_number=sequence_number,
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
