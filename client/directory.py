"""Who is out there: the device directory on the file server (RFC 9176, network.md "The directory")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from client.addresses import authority, base_url
from client.connection import Connection
from client.exchange import GET, Call
from client.linkformat import Link, parse_links
from device.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """A device to talk to. `base` is its URL, `srv` the file-server URL it was given, where known."""

    name: str
    base: str
    board: str | None = None
    slots: int | None = None
    srv: str | None = None

    def url(self, path: str) -> str:
        """The URL of a resource; `path` starts with a slash."""
        return self.base + path

    def to_map(self) -> dict[str, Any]:
        """The target as JSON shows it."""
        return {
            "name": self.name,
            "address": self.base,
            "board": self.board,
            "slots": self.slots,
            "srv": self.srv,
        }


async def registered(connection: Connection, server: str) -> list[Target]:
    """All devices in the directory of the file server `server`, by name.

    Raises TransportError and RemoteError of the lookup. Entries that are no CoAP endpoints are left out:
    anybody may register something.
    """
    reply = await connection.send(Call(GET, f"{server}/endpoint-lookup/?et=micro-bpf", accept=40))
    links = parse_links(reply.payload.decode("utf-8", "replace"))
    targets = [target for link in links if (target := _target(link)) is not None]
    return sorted(targets, key=lambda target: (target.name, target.base))


def _target(link: Link) -> Target | None:
    attributes = link.attributes
    try:
        base = base_url(attributes.get("base", ""))
        srv = base_url(attributes["srv"]) if "srv" in attributes else None
    except ConfigError:
        return None
    slots = attributes.get("slots", "")
    return Target(
        name=attributes.get("ep") or authority(base),
        base=base,
        board=attributes.get("board"),
        slots=int(slots) if slots.isascii() and slots.isdigit() and len(slots) < 4 else None,
        srv=srv,
    )
