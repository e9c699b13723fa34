"""Who is deployed to, and with which number: asked of the devices (suit.md section 7).

Sequence numbers are never derived from files on the server. The URL that a device fetches from is the one
it was given (`srv` in the directory); a device that was named by its address is found there by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from client.connection import Connection
from client.directory import Target, registered
from client.fleet import for_each
from client.manifest import check_sequence
from client.remote import RemoteDevice
from client.results import Outcome
from device.api import DeviceInfo
from device.errors import MicroBpfError, RemoteError, TransportError
from device.suit.refusals import Refusal, refuse


@dataclass(frozen=True, slots=True)
class Recipient:
    """A device, and what it says of itself."""

    target: Target
    info: DeviceInfo


async def survey(
    connection: Connection, server: str, targets: Sequence[Target], *, need_srv: bool = True
) -> list[Recipient]:
    """Ask every target, in order. Raises the first error, naming all that did not answer.

    This is for what needs all of them; see `ask_each`.
    """
    outcomes = await ask_each(connection, server, targets, need_srv=need_srv)
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed:
        raise _joined(failed, len(targets))
    return [outcome.value for outcome in outcomes]


async def ask_each(
    connection: Connection,
    server: str,
    targets: Sequence[Target],
    *,
    need_srv: bool = True,
    board: str | None = None,
) -> list[Outcome[Recipient]]:
    """Ask every target: what it says of itself, or why it says nothing, in the order of the targets.

    With `need_srv` the directory at `server` is asked for the `srv` of those that lack it; where it does not
    know or answer, they stay without. With `board` those that are another one are refused: SuitError
    CLASS_MISMATCH, as they themselves would.
    """

    async def ask(target: Target) -> Recipient:
        info = await RemoteDevice(connection, target).info()
        if board not in (None, info.board):
            raise refuse(
                Refusal.CLASS_MISMATCH,
                f"it is a {info.board}, and the program is for {board}",
                where="--board",
                hint="without --board each device gets a manifest for its own",
            )
        return Recipient(target, info)

    found = await for_each(targets, ask)
    if need_srv and any(outcome.ok and outcome.value.target.srv is None for outcome in found):
        known = await _srv_by_name(connection, server)
        found = [
            replace(outcome, result=_with_srv(outcome.value, known)) if outcome.ok else outcome
            for outcome in found
        ]
    return found


async def _srv_by_name(connection: Connection, server: str) -> dict[str, str]:
    try:
        listed = await registered(connection, server)
    except (TransportError, RemoteError):
        return {}
    return {target.name: target.srv for target in listed if target.srv is not None}


def _with_srv(recipient: Recipient, known: dict[str, str]) -> Recipient:
    target = recipient.target
    return replace(recipient, target=replace(target, srv=target.srv or known.get(recipient.info.name)))


def _joined(failed: Sequence[Outcome[Recipient]], total: int) -> MicroBpfError:
    first = failed[0].error
    assert first is not None  # noqa: S101  # only failures are passed
    if len(failed) == 1:
        first.detail = f"{failed[0].device}: {first.detail}" if total > 1 else first.detail
        return first
    names = ", ".join(str(outcome.device) for outcome in failed)
    return TransportError(
        f"{len(failed)} of {total} devices do not answer: {names}",
        code=first.code,
        where=str(failed[0].device),
        hint=f"the first: {first.detail}",
    )


def next_number(infos: Iterable[DeviceInfo]) -> int:
    """One more than the highest. Raises ConfigError at the end of uint32."""
    number = 1 + max(info.sequence_number for info in infos)
    check_sequence(number)
    return number
