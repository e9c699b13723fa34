"""Where a device fetches from: the URI policy of suit.md section 5. Pure.

A trigger's URL is unauthenticated, and a signed one may have been signed carelessly: only `coap://`, only
hosts that the operator named, nothing that a parser further on could read differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from device.errors import MalformedRequest
from device.suit.refusals import Refusal, refuse

MAX_URI: Final = 127
ANY_HOST: Final = "any"
DEFAULT_PORT: Final = 5683

_SHAPE: Final = re.compile(
    r"coap://(?:\[(?P<literal>[0-9A-Fa-f:.]+)(?:%25(?P<zone>[A-Za-z0-9._~-]+))?\]|(?P<name>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!$&'()*+,;=:@A-Za-z0-9._~%/-]*)?",
    re.ASCII,
)
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2[eEfF]|00|5[cC])")


@dataclass(frozen=True, slots=True)
class Uri:
    """A checked URI: `host` without brackets, `zone` of a link-local address, `path` with its slash."""

    host: str
    port: int
    path: str
    zone: str | None = None


def parse(text: str) -> Uri:
    """Read a URI strictly. Raises MalformedRequest that says what is wrong with it."""
    if len(text) > MAX_URI:
        raise MalformedRequest(f"a URI of {len(text)} characters, at most {MAX_URI}", code="uri")
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise MalformedRequest(
            f"{text!r} is no URI to fetch from",
            code="uri",
            hint="such as coap://[fd00::1]/suit_manifest0.signed",
        )
    path = found["path"] or ""
    if _ESCAPE.search(path):
        raise MalformedRequest(f"{text!r} has an escaped dot, slash, backslash or NUL", code="uri")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise MalformedRequest(f"{text!r} has a dot segment", code="uri")
    port = int(found["port"]) if found["port"] else DEFAULT_PORT
    if not 0 < port < 65_536:
        raise MalformedRequest(f"port {port} in {text!r}", code="uri")
    if found["literal"]:
        try:
            IPv6Address(found["literal"])
        except ValueError:
            raise MalformedRequest(f"{found['literal']!r} is no IPv6 address", code="uri") from None
    return Uri(found["literal"] or found["name"], port, path, found["zone"])


def check(text: str, allowed_hosts: Collection[str] | None) -> Uri:
    """Read a URI and hold its host against the list; None, or `any` in it, allows every host.

    Raises MalformedRequest for the URI itself, SuitError URI_FORBIDDEN for its host.
    """
    uri = parse(text)
    if allowed_hosts is None or ANY_HOST in allowed_hosts:
        return uri
    if not any(_same_host(uri.host, allowed) for allowed in allowed_hosts):
        listed = ", ".join(sorted(allowed_hosts)) or "none"
        raise refuse(
            Refusal.URI_FORBIDDEN,
            f"host {uri.host} is not one this device fetches from",
            where="uri",
            hint=f"allowed: {listed}; more with --limit allowed_hosts=HOST",
        )
    return uri


def _same_host(one: str, other: str) -> bool:
    """Addresses by value, names as text."""
    first, second = _address(one), _address(other)
    if first is None or second is None:
        return one == other
    return first == second


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]").split("%", 1)[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
