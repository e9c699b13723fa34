"""`/suit/pull`: an update as µBPF's tools ask for it, answered when it has ended (suit.md section 11)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address
from typing import Final

from aiocoap import Message

from device.errors import MalformedRequest
from device.execution import Executor
from device.execution.access import Access, Point
from device.resource import Transfers
from device.server.base import LineResource, line_answer
from device.server.configuration import Configuration, helpers_of
from device.server.updates import Updates, refusal
from device.storage.slots import StoredImage
from device.suit import uri
from device.suit.install import Conditions
from device.suit.refusals import Refusal, refuse
from device.transport import peer_host

MAX_NAME: Final = 63
"""Characters of the manifest's path; µBPF's buffer holds 64."""

_FIELDS: Final = "ip|manifest|netif|config|helpers|erase"
_HEX: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_HOST: Final = re.compile(
    r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?P<port>:[0-9]{1,5})?", re.ASCII
)
_ZONE: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What is to be fetched from where, for which slot, under which conditions."""

    url: str
    manifest: str
    configuration: Configuration
    access: Access
    erase: bool

    @classmethod
    def of(cls, text: str) -> PullRequest:
        """From the six fields. Raises MalformedRequest that names the one that is wrong."""
        fields = text.split("|")
        if len(fields) != 6:
            raise MalformedRequest(f"{len(fields)} fields instead of six", where="fields", hint=_FIELDS)
        host, manifest, netif, config, helpers, erase = fields
        if not 1 <= len(manifest) <= MAX_NAME:
            raise MalformedRequest(f"a path of {len(manifest)} characters, 1 to {MAX_NAME}", where="manifest")
        if not _ZONE.fullmatch(netif):
            raise MalformedRequest(f"{netif[:20]!r} is no interface", where="netif", hint="a number")
        if erase not in ("0", "1"):
            raise MalformedRequest(f"{erase[:20]!r} is neither 0 nor 1", where="erase")
        configuration = Configuration.of(config)
        asked = configuration.access(helpers_of(helpers))
        url = f"coap://{_authority(host, netif)}/{manifest}"
        uri.parse(url)
        # Only LoadTime looks at the list now; the other points have their requests' own.
        access = asked if asked.point is Point.LOAD_TIME else Access()
        return cls(url, manifest, configuration, access, erase == "1")


def _authority(host: str, netif: str) -> str:
    """Host and port as a URL has them; a link-local address with its zone."""
    if _HEX.fullmatch(host):
        return _literal(_address(host), netif)
    found = _HOST.fullmatch(host)
    if found is None:
        raise MalformedRequest(f"{host[:60]!r} is no host", where="ip", hint="such as fe80cc9a73fffe4a47f6")
    if found["literal"] is None:
        return host
    try:
        address = IPv6Address(found["literal"])
    except ValueError:
        raise MalformedRequest(f"{host[:60]!r} is no IPv6 address", where="ip") from None
    return _literal(address, netif) + (found["port"] or "")


def _literal(address: IPv6Address, netif: str) -> str:
    return f"[{address}%25{int(netif)}]" if address.is_link_local else f"[{address}]"


def _address(digits: str) -> IPv6Address:
    """Hex digits in groups of four: all eight groups, or the first and the last ones around zeros."""
    if len(digits) % 4 or len(digits) > 32:
        raise MalformedRequest(
            f"{len(digits)} hex digits are no address", where="ip", hint="groups of four, at most eight"
        )
    groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    if len(groups) == 8:
        return IPv6Address(":".join(groups))
    return IPv6Address(f"{groups[0]}::{':'.join(groups[1:])}")


class PullResource(LineResource):
    """POST /suit/pull: 2.04 when the manifest's program is in the slot, else why not in one line."""

    rt = "suit.pull"
    max_body = 512

    def __init__(
        self,
        transfers: Transfers,
        updates: Updates,
        executor: Executor,
        image: Callable[[int], StoredImage | None],
        slots: int,
    ) -> None:
        super().__init__(transfers)
        self._updates = updates
        self._executor = executor
        self._image = image
        self._slots = slots

    async def render_post(self, request: Message) -> Message:
        """Carry the update out; whoever loses interest cancels it."""
        try:
            asked = PullRequest.of(request.payload.removesuffix(b"\0").decode("ascii"))
        except UnicodeDecodeError:
            raise MalformedRequest("the fields are not ASCII", where="fields", hint=_FIELDS) from None
        self._updates.check(asked.url)
        slot = asked.configuration.slot
        self._require_slot(slot, erase=asked.erase)
        check = partial(self._executor.check, access=asked.access, declared=asked.configuration.layout)
        ended = await self._updates.pull(asked.url, Conditions(slot, check), peer_host(request))
        if ended.result != "OK":
            raise refusal(ended)
        return line_answer(f"SUIT pull request processed successfully for manifest: {asked.manifest}")

    def _require_slot(self, slot: int, *, erase: bool) -> None:
        if slot >= self._slots:
            raise refuse(Refusal.UNKNOWN_COMPONENT, f"there is no slot {slot}", where="config")
        if self._executor.held(slot):
            raise refuse(Refusal.SLOT_BUSY, f"a job holds .ram.{slot}", where="config")
        if not erase and self._image(slot) is not None:
            raise refuse(
                Refusal.SLOT_BUSY, f".ram.{slot} is occupied", where="erase", hint="pull with erase 1"
            )
