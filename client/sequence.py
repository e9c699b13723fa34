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


@dataclass(frozen=True, slots=True)
class Recipient:
    """A device, and what it says of itself."""

    target: Target
    info: DeviceInfo


async def survey(
    connection: Connection, server: str, targets: Sequence[Target], *, need_srv: bool = True
) -> list[Recipient]:
    """Ask every target, in order. Raises the first error, naming all that did not answer.

    With `need_srv` the directory at `server` is asked for the `srv` of those that lack it; where it does not
    know or answer, they stay without.
    """
    outcomes = await for_each(targets, lambda target: RemoteDevice(connection, target).info())
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        raise _joined(failed, len(targets))
    found = [Recipient(target, outcome.value) for target, outcome in zip(targets, outcomes, strict=True)]
    if need_srv and any(target.srv is None for target in targets):
        known = await _srv_by_name(connection, server)
        found = [_with_srv(recipient, known) for recipient in found]
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


def _joined(failed: Sequence[Outcome[DeviceInfo]], total: int) -> MicroBpfError:
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
