"""Where a peer is: `host:port` texts and `coap://` URLs, read strictly and written back the same.

IPv6 literals stand in brackets where a port can follow; a zone is written `%25eth0` in a URL (RFC 6874)
and `%eth0` elsewhere. Everything that does not parse is a ConfigError that names the text.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from aiocoap import Code, Message
from aiocoap.message import UndecidedRemote

from device.errors import ConfigError

COAP_PORT: Final = 5683
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_PATH_SAFE: Final = "-._~!$&'()*+,;=:@"
_QUERY_SAFE: Final = "-._~!$'()*+,;=:@/?"


@dataclass(frozen=True, slots=True)
class Authority:
    """A host (name, IPv4 or IPv6 address without brackets, perhaps with `%zone`) and a UDP port."""

    host: str
    port: int = COAP_PORT

    @property
    def is_address(self) -> bool:
        """Whether the host is an address and needs no look-up."""
        return _address(self.host) is not None

    @property
    def hostinfo(self) -> str:
        """`host`, `host:port` or `[address%zone]:port`; the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == COAP_PORT else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The same as a URL without path."""
        return "coap://" + self.hostinfo.replace("%", "%25")

    def __str__(self) -> str:
        return self.hostinfo


@dataclass(frozen=True, slots=True)
class Url:
    """A `coap://` URL in its parts, percent-decoded."""

    authority: Authority
    path: tuple[str, ...] = ()
    query: tuple[str, ...] = ()

    def __str__(self) -> str:
        path = "".join("/" + quote(segment, safe=_PATH_SAFE) for segment in self.path)
        query = "&".join(quote(term, safe=_QUERY_SAFE) for term in self.query)
        return self.authority.url + path + ("?" + query if query else "")

    def message(self, code: Code, payload: bytes = b"", **options: Any) -> Message:
        """A request to this URL; `options` are aiocoap's names, such as `content_format=60`."""
        made = Message(code=code, payload=payload, **options)
        made.remote = UndecidedRemote("coap", self.authority.hostinfo)
        made.opt.uri_path = self.path
        if self.query:
            made.opt.uri_query = self.query
        if not self.authority.is_address:
            made.opt.uri_host = self.authority.host.lower()
        return made


def parse_authority(text: str, default_port: int = COAP_PORT) -> Authority:
    """Read `host`, `host:port`, `[v6]`, `[v6%zone]:port` or a bare IPv6 address. Raises ConfigError."""
    if _address(text) is not None:
        return Authority(_with_zone_name(text, text), default_port)
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or _address(inside) is None or ":" not in inside or rest[:1] not in ("", ":"):
            raise _bad(text, "it has no IPv6 address between brackets")
        host, colon, port = _with_zone_name(inside, text), rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
        if not host or len(host) > 253 or not set(host) <= _NAME_CHARACTERS:
            raise _bad(text, "it has no host name or address")
        if host.replace(".", "").isdigit() and _address(host) is None:
            raise _bad(text, "it is no IPv4 address")
    return Authority(host, _port(port, text) if colon else default_port)


def parse_url(text: str) -> Url:
    """Read a `coap://` URL. Raises ConfigError for another scheme, user names, fragments and bad escapes."""
    try:
        parts = urlsplit(text)
        path = tuple(unquote(part, errors="strict") for part in parts.path.split("/")[1:])
        query = tuple(unquote(part, errors="strict") for part in parts.query.split("&") if part)
        netloc = unquote(parts.netloc, errors="strict")
    except ValueError as error:
        raise _bad(text, str(error)) from error
    if parts.scheme != "coap":
        raise _bad(text, "it does not start with coap://")
    if parts.fragment or "@" in netloc or any(character <= " " for character in text):
        raise _bad(text, "user names, fragments and white space have no place in it")
    if any(len(part.encode()) > 255 for part in path + query):
        raise _bad(text, "a segment is longer than 255 bytes")
    return Url(parse_authority(netloc), () if path == ("",) else path, query)


def source_address(peer: Authority) -> str:
    """The address of ours from which packets to this peer leave. Raises ConfigError when there is none."""
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{peer.host} is not known here: {error}", code="unknown-host") from error
    for family, kind, _, _, address in found:
        try:
            with socket.socket(family, kind) as probe:
                probe.connect(address)  # sends nothing: UDP only chooses the route
                return str(probe.getsockname()[0])
        except OSError:
            continue
    raise ConfigError(f"there is no route to {peer.host}", code="no-route")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _with_zone_name(host: str, text: str) -> str:
    """The address in its shortest form, the zone as an interface name: aiocoap knows no numbers."""
    address, percent, zone = host.partition("%")
    if percent and zone.isdigit():
        try:
            zone = socket.if_indextoname(int(zone))
        except (OSError, OverflowError) as error:
            raise _bad(text, f"there is no interface {zone}") from error
    return str(ipaddress.ip_address(address)) + percent + zone


def _port(digits: str, text: str) -> int:
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535:
        return int(digits)
    raise _bad(text, "its port is not a number from 1 to 65535")


def _bad(text: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{text!r} is no address: {reason}", code="bad-address", hint="such as host, host:5710, [::1]:5710"
    )
