"""The device directory: who is registered, until when, and who may say so (RFC 9176, network.md).

aiocoap's own directory cannot be made ours cleanly: it lets anybody replace a live endpoint, keeps any
number of registrations of any size for as long as they say, takes registrations at paths that the file
server does not reserve, and fetches links from whatever address a datagram claims to come from. This is the
part of RFC 9176 that a testbed needs: registration, update, removal, and look-up of endpoints and resources.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin

from aiocoap.util.linkformat import Link

from device.errors import ConfigError, Forbidden, MalformedRequest, NotFound, Unavailable
from device.resource import Facts, facts_of, fits
from device.transport import parse_url

LOCATION: Final = "resourcedirectory"
"""Registrations are made at this path and live below it."""

MAX_NAME: Final = 63
MAX_VALUE: Final = 255
MAX_ATTRIBUTES: Final = 16
MAX_LIFETIME_S: Final = 90_000
DEFAULT_LIFETIME_S: Final = 90_000  # RFC 9176 section 5
_LOOKUP_ONLY: Final = frozenset({"page", "count", "href", "anchor", "rt"})

Parameters = dict[str, list[str]]


@dataclass(slots=True)
class Registration:
    """A registered endpoint. `host` is the address that may change it; times are of the directory's clock."""

    id: str
    ep: str
    sector: str | None
    host: str
    base: str
    lifetime_s: int
    attributes: Parameters
    links: list[Link]
    expires: float
    endpoint: Link = field(init=False)
    resources: list[Link] = field(init=False)
    facts: Facts = field(init=False)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Work out what look-ups show and search, so that they need not for thousands of endpoints.

        `endpoint` is the link of section 6.4, `resources` the links resolved against the base (6.3),
        `facts` what all of them say.
        """
        pairs = [("ep", self.ep), ("base", self.base)]
        if self.sector is not None:
            pairs.append(("d", self.sector))
        pairs += [(name, value) for name, values in self.attributes.items() for value in values]
        self.endpoint = Link(f"/{LOCATION}/{self.id}", [*pairs, ("rt", "core.rd-ep")])
        self.resources = [Link(urljoin(self.base, link.href), link.attr_pairs) for link in self.links]
        self.facts = facts_of(self.endpoint, *self.resources)


class Directory:
    """Registrations, at most `capacity`. `clock` is monotonic seconds; `changed` is called after a change."""

    def __init__(
        self,
        *,
        capacity: int = 2000,
        clock: Callable[[], float] = time.monotonic,
        random_id: Callable[[], str] = lambda: secrets.token_hex(4),
        changed: Callable[[], None] = lambda: None,
        log: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.capacity = capacity
        self.changed = changed
        self._clock = clock
        self._random_id = random_id
        self._log = log
        self._by_id: dict[str, Registration] = {}
        self._by_name: dict[tuple[str, str | None], Registration] = {}

    def register(self, host: str, source: str, parameters: Parameters, links: list[Link]) -> Registration:
        """Enter an endpoint, or enter it again; one that lives is its own host's until its lifetime ends.

        `host` is the peer's address, `source` its URL for a registration without base. Raises Forbidden,
        MalformedRequest, Unavailable when the directory is full.
        """
        self.expire()
        rest = dict(parameters)
        ep, sector = _single(rest, "ep"), _single(rest, "d")
        if not ep:
            raise MalformedRequest("the endpoint's name is missing", where="ep")
        _check_name("ep", ep)
        if sector is not None:
            _check_name("d", sector)
        lifetime = _lifetime(rest) or DEFAULT_LIFETIME_S
        base = _base(rest) or source
        _check_attributes(rest)
        known = self._by_name.get((ep, sector))
        if known is not None and known.host != host:
            raise Forbidden(
                f"{ep} is registered from another address", code="name-taken", where="ep",
                hint="choose another name, or wait until its lifetime ends",
            )  # fmt: skip
        if known is None and len(self._by_id) >= self.capacity:
            raise Unavailable("the directory is full", retry_after_s=30)
        made = Registration(
            known.id if known else self._new_id(), ep, sector, host, base, lifetime, rest, links,
            self._clock() + lifetime,
        )  # fmt: skip
        self._by_id[made.id] = self._by_name[ep, sector] = made
        self._log(f"{ep} registered at {base} for {lifetime} s")
        self.changed()
        return made

    def update(self, host: str, ident: str, parameters: Parameters) -> None:
        """Begin the lifetime anew, and change base, lifetime or attributes (RFC 9176 section 5.3.1)."""
        registration = self._own(host, ident)
        rest = dict(parameters)
        if "ep" in rest or "d" in rest:
            raise MalformedRequest("ep and d cannot be changed", where="ep")
        lifetime, base = _lifetime(rest), _base(rest)
        merged = {**registration.attributes, **rest}
        _check_attributes(merged)
        before = (registration.base, registration.attributes)
        registration.lifetime_s = lifetime or registration.lifetime_s
        registration.base = base or registration.base
        registration.attributes = merged
        registration.expires = self._clock() + registration.lifetime_s
        registration.refresh()
        if before != (registration.base, registration.attributes):
            self.changed()

    def remove(self, host: str, ident: str) -> None:
        """Take an endpoint out (RFC 9176 section 5.3.2)."""
        registration = self._own(host, ident)
        self._drop(registration)
        self._log(f"{registration.ep} withdrew")
        self.changed()

    def get(self, ident: str) -> Registration:
        """A registration by its id. Raises NotFound."""
        self.expire()
        if ident not in self._by_id:
            raise NotFound("no such registration", hint="it may have ended; register again")
        return self._by_id[ident]

    def __len__(self) -> int:
        return len(self._by_id)

    def expire(self) -> None:
        """Drop registrations whose lifetime is over."""
        now = self._clock()
        over = [item for item in self._by_id.values() if item.expires <= now]
        for registration in over:
            self._drop(registration)
            self._log(f"{registration.ep} is gone: it was not renewed")
        if over:
            self.changed()

    def endpoints(self, query: Iterable[str]) -> list[Link]:
        """The endpoints that fit a query, or have a resource that does (RFC 9176 section 6.2)."""
        self.expire()
        terms, window = _lookup(query)
        return [item.endpoint for item in self._by_id.values() if fits(item.facts, terms)][window]

    def resources(self, query: Iterable[str]) -> list[Link]:
        """The resources that fit a query, themselves or through their endpoint."""
        self.expire()
        terms, window = _lookup(query)
        return [
            link
            for item in self._by_id.values()
            if fits(item.facts, terms)
            for link in item.resources
            if fits(facts_of(item.endpoint, link), terms)
        ][window]

    def _own(self, host: str, ident: str) -> Registration:
        registration = self.get(ident)
        if registration.host != host:
            raise Forbidden(f"{registration.ep} is registered from another address", code="name-taken")
        return registration

    def _drop(self, registration: Registration) -> None:
        del self._by_id[registration.id]
        del self._by_name[registration.ep, registration.sector]

    def _new_id(self) -> str:
        while (ident := self._random_id()) in self._by_id:
            pass
        return ident


def parameters_of(query: Iterable[str]) -> Parameters:
    """`name=value` terms as a map of lists. Raises MalformedRequest for a term without value."""
    found: Parameters = {}
    for term in query:
        name, equals, value = term.partition("=")
        if not equals:
            raise MalformedRequest(f"{name!r} has no value", where=name)
        found.setdefault(name, []).append(value)
    return found


def _lookup(query: Iterable[str]) -> tuple[list[str], slice]:
    """The filter terms of a look-up, and the part of its result that is asked for (`page` and `count`)."""
    parameters = parameters_of(query)
    page, count = _number(parameters, "page"), _number(parameters, "count")
    if page is not None and count is None:
        raise MalformedRequest("page needs count", where="page")
    window = slice(None) if count is None else slice((page or 0) * count, ((page or 0) + 1) * count)
    terms = [f"{name}={value}" for name, values in parameters.items() for value in values]
    if len(terms) > MAX_ATTRIBUTES:
        raise MalformedRequest(f"more than {MAX_ATTRIBUTES} terms")
    return terms, window


def _single(parameters: Parameters, name: str) -> str | None:
    values = parameters.pop(name, [])
    if len(values) > 1:
        raise MalformedRequest(f"{name} is given more than once", where=name)
    return values[0] if values else None


def _number(parameters: Parameters, name: str) -> int | None:
    text = _single(parameters, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise MalformedRequest(f"{name} is no number", where=name)
    return int(text)


def _lifetime(parameters: Parameters) -> int | None:
    seconds = _number(parameters, "lt")
    if seconds is not None and not 1 <= seconds <= MAX_LIFETIME_S:
        raise MalformedRequest(f"lt must be from 1 to {MAX_LIFETIME_S} seconds", where="lt")
    return seconds


def _base(parameters: Parameters) -> str | None:
    text = _single(parameters, "base")
    if text is None:
        return None
    _check_value("base", text)
    try:
        url = parse_url(text)
    except ConfigError as error:
        raise MalformedRequest(f"base: {error.detail}", where="base") from error
    if url.path or url.query:
        raise MalformedRequest("base is a URL without path and query", where="base")
    return url.authority.url


def _check_attributes(parameters: Parameters) -> None:
    if sum(len(values) for values in parameters.values()) > MAX_ATTRIBUTES:
        raise MalformedRequest(f"more than {MAX_ATTRIBUTES} attributes")
    for name, values in parameters.items():
        plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if name in _LOOKUP_ONLY or not plain or len(name) > MAX_NAME:
            raise MalformedRequest(f"{name!r} is no attribute of an endpoint", where=name[:MAX_NAME])
        for value in values:
            _check_value(name, value)


def _check_name(where: str, name: str) -> None:
    _check_value(where, name)
    if len(name.encode()) > MAX_NAME:
        raise MalformedRequest(f"{where} is longer than {MAX_NAME} bytes", where=where)


def _check_value(where: str, value: str) -> None:
    if len(value.encode()) > MAX_VALUE or not value.isprintable() or '"' in value or "\\" in value:
        raise MalformedRequest(f"{where} has characters that have no place in it, or too many", where=where)
