"""From an image and its recipients to signed manifests on the file server, one per (`srv`, board)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from client.connection import Connection
from client.fleet import group
from client.image import Packaged
from client.keys import Signer
from client.manifest import Signed, rehearse, sign
from client.publish import publish, publish_alias
from client.sequence import Recipient, next_number
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.errors import RemoteError

NAME_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who signs, and where to: the network, the file server as the operator sees it, the key."""

    connection: Connection
    server: str
    signer: Signer
    on_step: OnStep = ignore_step
    on_note: Note = ignore_note


@dataclass(frozen=True, slots=True)
class Order:
    """What to sign for whom. `sequence_number` None is one more than the recipients' highest,
    `fetch_base` None each one's own `srv`."""

    packaged: Packaged
    slot: int = 0
    sequence_number: int | None = None
    fetch_base: str | None = None
    alias: bool = True


async def release(publisher: Publisher, order: Order, recipients: Sequence[Recipient]) -> dict[str, Signed]:
    """Sign, rehearse and publish; the release for every recipient, by its base URL.

    A name that the file server has for something else (a refused attempt with another key leaves one) is
    avoided by the next number, unless the number was given. Raises SuitError when a recipient would refuse,
    and the errors of the file server.
    """
    number = order.sequence_number or next_number(recipient.info for recipient in recipients)
    for further in range(NAME_ATTEMPTS):
        signed = _signed(publisher, order, recipients, number + further)
        releases = list(dict.fromkeys(signed.values()))
        try:
            await publish(publisher.connection, publisher.server, releases, on_step=publisher.on_step)
        except RemoteError as error:
            last = order.sequence_number is not None or further + 1 == NAME_ATTEMPTS
            if error.code != "name-taken" or last:
                raise
            publisher.on_note(f"{error.detail}, trying sequence number {number + further + 1}")
        else:
            break
    if order.alias:
        await publish_alias(publisher.connection, publisher.server, releases[-1], on_note=publisher.on_note)
    return signed


def _signed(
    publisher: Publisher, order: Order, recipients: Sequence[Recipient], number: int
) -> dict[str, Signed]:
    infos = {recipient.target.base: recipient.info for recipient in recipients}
    boards = [(recipient.target, recipient.info.board) for recipient in recipients]
    signed: dict[str, Signed] = {}
    for item in group(boards, fetch_base=order.fetch_base, server=publisher.server):
        with timed(publisher.on_step, "sign") as step:
            made = sign(
                order.packaged,
                slot=order.slot,
                sequence_number=number,
                board=item.board,
                fetch_base=item.fetch_base,
                signer=publisher.signer,
            )
            for target in item.targets:
                rehearse(made, infos[target.base], publisher.signer)
                signed[target.base] = made
            step.detail = f"sequence number {number}, board {item.board}, key {publisher.signer.path.name}"
            step.size = len(made.envelope)
    return signed
