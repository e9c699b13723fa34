"""Throwing attacks at devices, one after the other on each, and saying what became of every one.

An attack has met what it must when the device refused it by the class that the table names, and is afterwards
in every slot, and in its sequence number, what it was before.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from client.attack.workshop import Attack, Throw, Workshop
from client.connection import Connection
from client.exchange import DELETE, POST, Call
from client.publish import put_over
from client.remote import RemoteDevice
from client.sequence import Recipient
from device.api import CBOR, UpdateStatus
from device.errors import MicroBpfError, RemoteError, TransportError
from device.suit import cose
from device.suit.keys import generate
from device.suit.refusals import Refusal

END_S: Final = 30.0
"""Seconds within which an update that was refused has to have ended."""

_BUSY_ATTEMPTS: Final = 30
_POLL_S: Final = 0.02
_TEXTS: Final = frozenset({"/suit/trigger", "/suit/pull"})


class Breach(MicroBpfError):
    """An attack that a device did not refuse as it must; `extra` is the verdict."""

    title = "An attack was not refused as it must be"
    default_code = "breach"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attack: the device's answer, whether it changed anything, and what it said."""

    attack: Attack
    answer: str
    unchanged: bool
    detail: str
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the device did what it must."""
        elsewhere = self.attack.draft and self.answer == Refusal.FORMAT.name
        return (self.answer == self.attack.expected or elsewhere) and self.unchanged

    @property
    def breach(self) -> Breach | None:
        """What is wrong, where something is."""
        if self.held:
            return None
        changed = "" if self.unchanged else ", and the device is not what it was"
        detail = f"{self.attack.name}: {self.answer} instead of {self.attack.expected}{changed}"
        return Breach(detail, where=self.attack.name, hint=self.detail, extra=self.to_map())

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "attack": self.attack.name,
            "threat": self.attack.threat,
            "expected": self.attack.expected,
            "answer": self.answer,
            "unchanged": self.unchanged,
            "held": self.held,
            "detail": self.detail,
            "ms": round(self.seconds * 1000, 1),
        }


@dataclass(frozen=True, slots=True)
class Attacker:
    """Where from: the network, the file server as the attacker sees it, and the operator's key.

    `pace` waits where a device says that it takes one update a second.
    """

    connection: Connection
    server: str
    key: cose.PrivateKey
    slot: int = 0
    pace: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def assault(self, recipient: Recipient, attacks: Sequence[Attack]) -> AsyncIterator[Verdict]:
        """Throw all of them at one device; a verdict for each, as it comes."""
        foreign = _foreign_key()
        for attack in attacks:
            device = RemoteDevice(self.connection, recipient.target)
            info = await device.info()
            workshop = Workshop(
                board=info.board,
                slot=self.slot,
                slots=info.slots,
                number=info.sequence_number + 1,
                base=recipient.target.srv or self.server,
                key=self.key,
                foreign=foreign,
                tag=secrets.token_hex(3),
            )
            yield await self._one(device, attack, attack.make(workshop))

    async def _one(self, device: RemoteDevice, attack: Attack, throw: Throw) -> Verdict:
        before = await _state(device)
        async with self._published(throw):
            start = monotonic()
            answer, detail = await self._thrown(device, throw)
            seconds = monotonic() - start
        return Verdict(attack, answer, await _state(device) == before, detail, seconds)

    async def _thrown(self, device: RemoteDevice, throw: Throw) -> tuple[str, str]:
        """Class and detail of the refusal, from the answer or from the status; `accepted` without one."""
        url = device.target.url(throw.path)
        content_format = 0 if throw.path in _TEXTS else CBOR
        call = Call(POST, url, throw.payload, content_format=content_format)
        for _ in range(_BUSY_ATTEMPTS):
            try:
                await self.connection.send(call, timeout_s=END_S)
            except RemoteError as error:
                if error.status != "5.03":
                    return _answered(error), error.detail
                await self.pace(float(error.extra.get("retry_after_s", 1)))
            else:
                return _ended(await _end(device))
        raise TransportError("the device stays busy", code="timeout", where=url)

    @asynccontextmanager
    async def _published(self, throw: Throw) -> AsyncIterator[None]:
        """Have the files of a throw on the file server, and take them away again."""
        try:
            for name, content in throw.files.items():
                await put_over(self.connection, self.server, name, content)
            yield
        finally:
            for name in throw.files:
                await self.connection.ask(DELETE, f"{self.server}/{name}")


async def _end(device: RemoteDevice) -> UpdateStatus:
    """The status, once no update runs."""
    until = monotonic() + END_S
    while True:
        status = await device.status()
        if status.state == "idle" and status.result is not None:
            return status
        if monotonic() > until:
            raise TransportError(f"the update is still at {status.state}", code="timeout", where="status")
        await asyncio.sleep(_POLL_S)


def _ended(status: UpdateStatus) -> tuple[str, str]:
    if status.result == "OK":
        return "accepted", f"sequence number {status.sequence_number} is installed"
    return status.result or "nothing", status.detail or ""


def _answered(error: RemoteError) -> str:
    """The class of a refusal, its CoAP code where it has none.

    A pull answers with a line of text that begins with the class.
    """
    if error.code in Refusal.__members__:
        return error.code
    for word in error.detail.replace(":", " ").split():
        if word in Refusal.__members__:
            return word
    return error.status


async def _state(device: RemoteDevice) -> Any:
    """All that an update could change."""
    info, listed = await device.info(), await device.slots()
    return info.sequence_number, [
        (slot.slot, slot.digest, slot.name, slot.sequence_number) for slot in listed.items
    ]


def _foreign_key() -> cose.PrivateKey:
    """A key that was made this moment, and that nobody keeps."""
    with tempfile.TemporaryDirectory(prefix="micro-bpf-") as folder:
        return generate(Path(folder) / "foreign.pem")


async def together(
    attacker: Attacker,
    recipients: Sequence[Recipient],
    attacks: Sequence[Attack],
    on_verdict: Callable[[Recipient, Verdict], None],
) -> None:
    """Deal attacks out among devices, which are attacked at the same time. Raises the first error."""

    async def one(recipient: Recipient, share: Sequence[Attack]) -> None:
        async for verdict in attacker.assault(recipient, share):
            on_verdict(recipient, verdict)

    count = len(recipients)
    tasks = [
        asyncio.ensure_future(one(recipient, attacks[index::count]))
        for index, recipient in enumerate(recipients)
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
