"""From an image and its recipients to signed manifests on the file server, one per (`srv`, board)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from client.connection import Connection
from client.fleet import group
from client.image import Packaged
from client.keys import Signer
from client.manifest import Signed, sign
from client.publish import publish, publish_alias
from client.rehearsal import planned_state, rehearse, usual_state
from client.sequence import Recipient, next_number
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from client.terms import Terms
from device.api import DeviceInfo
from device.errors import ConfigError, RemoteError
from device.suit.host import ENVELOPE

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
    """What to sign, and whether to publish it.

    `sequence_number` None is one more than the recipients' highest, `fetch_base` None each one's own `srv`,
    `board` None each one's own, `uri` the image's URL where it is not the usual one, `alias` whether the
    original tools' name is written, `terms` the format and what the program is granted, `also` further images
    by slot, `stop` whether jobs that hold the slots are ended.
    """

    packaged: Packaged
    slot: int = 0
    sequence_number: int | None = None
    fetch_base: str | None = None
    board: str | None = None
    uri: str | None = None
    alias: bool = True
    publish: bool = True
    terms: Terms = field(default_factory=Terms)
    also: tuple[tuple[int, Packaged], ...] = ()
    stop: bool = False


async def release(publisher: Publisher, order: Order, recipients: Sequence[Recipient]) -> dict[str, Signed]:
    """Sign, rehearse and publish; the release for every recipient, by its base URL.

    A name that the file server has for something else (a refused attempt with another key leaves one) is
    avoided by the next number, unless the number was given. Raises SuitError when a recipient would refuse,
    and the errors of the file server.
    """
    number = order.sequence_number or next_number(recipient.info for recipient in recipients)
    for further in range(NAME_ATTEMPTS):
        signed = _signed(publisher, order, recipients, number + further)
        try:
            await _put(publisher, order, list(dict.fromkeys(signed.values())))
        except RemoteError as error:
            last = order.sequence_number is not None or further + 1 == NAME_ATTEMPTS
            if error.code != "name-taken" or last:
                raise
            publisher.on_note(f"{error.detail}, trying sequence number {number + further + 1}")
        else:
            break
    return signed


async def release_for_board(publisher: Publisher, order: Order, board: str) -> Signed:
    """Sign for a board without asking any device, and publish. `order` has a sequence number.

    Raises SuitError when no device of the usual limits would take it, and the errors of the file server.
    """
    if order.sequence_number is None:
        raise ConfigError("without devices a sequence number is needed", code="sequence", hint="--seq N")
    signed = _sign(publisher, order, order.sequence_number, board, order.fetch_base or publisher.server, ())
    await _put(publisher, order, [signed])
    return signed


async def _put(publisher: Publisher, order: Order, releases: Sequence[Signed]) -> None:
    if not order.publish:
        return
    connection, server = publisher.connection, publisher.server
    await publish(connection, server, releases, on_step=publisher.on_step)
    if order.alias:
        await publish_alias(connection, server, releases[-1], on_note=publisher.on_note)


def _signed(
    publisher: Publisher, order: Order, recipients: Sequence[Recipient], number: int
) -> dict[str, Signed]:
    infos = {recipient.target.base: recipient.info for recipient in recipients}
    boards = [(recipient.target, recipient.info.board) for recipient in recipients]
    signed: dict[str, Signed] = {}
    for item in group(boards, fetch_base=order.fetch_base, server=publisher.server):
        own = [infos[target.base] for target in item.targets]
        made = _sign(publisher, order, number, item.board, item.fetch_base, own)
        signed.update({target.base: made for target in item.targets})
    return signed


def _sign(
    publisher: Publisher,
    order: Order,
    number: int,
    board: str,
    fetch_base: str,
    infos: Sequence[DeviceInfo],
) -> Signed:
    """Sign, and see that every device in `infos` (without any: an ordinary one) would take it."""
    with timed(publisher.on_step, "sign") as step:
        made = sign(
            order.packaged,
            slot=order.slot,
            sequence_number=number,
            board=board,
            fetch_base=fetch_base,
            signer=publisher.signer,
            uri=order.uri,
            terms=order.terms,
            also=order.also,
        )
        for state in {planned_state(info) for info in infos} or {usual_state(board)}:
            rehearse(made, state, publisher.signer)
        step.detail = f"sequence number {number}, board {board}, key {publisher.signer.names}"
        step.size = len(made.envelope)
    if len(made.envelope) > ENVELOPE:
        publisher.on_note(
            f"note: the envelope has {len(made.envelope)} bytes; "
            f"devices take {ENVELOPE} unless started with a larger --limit envelope"
        )
    return made
