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

from device.errors import Forbidden, MalformedRequest, NotFound, Unavailable
from device.resource import Facts, facts_of, fits
from fileserver.parameters import (
    DEFAULT_LIFETIME_S,
    Parameters,
    check_attributes,
    check_name,
    lookup_terms,
    take_base,
    take_lifetime,
    take_single,
)

LOCATION: Final = "resourcedirectory"
"""Registrations are made at this path and live below it."""


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
        ep, sector = take_single(rest, "ep"), take_single(rest, "d")
        if not ep:
            raise MalformedRequest("the endpoint's name is missing", where="ep")
        check_name("ep", ep)
        if sector is not None:
            check_name("d", sector)
        lifetime = take_lifetime(rest) or DEFAULT_LIFETIME_S
        base = take_base(rest) or source
        check_attributes(rest)
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
        moved = f", in place of {known.base}" if known is not None and known.base != base else ""
        self._log(f"{ep} registered at {base} for {lifetime} s{moved}")
        self.changed()
        return made

    def update(self, host: str, ident: str, parameters: Parameters) -> None:
        """Begin the lifetime anew, and change base, lifetime or attributes (RFC 9176 section 5.3.1)."""
        registration = self._own(host, ident)
        rest = dict(parameters)
        if "ep" in rest or "d" in rest:
            raise MalformedRequest("ep and d cannot be changed", where="ep")
        lifetime, base = take_lifetime(rest), take_base(rest)
        merged = {**registration.attributes, **rest}
        check_attributes(merged)
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
        terms, window = lookup_terms(query)
        return [item.endpoint for item in self._by_id.values() if fits(item.facts, terms)][window]

    def resources(self, query: Iterable[str]) -> list[Link]:
        """The resources that fit a query, themselves or through their endpoint."""
        self.expire()
        terms, window = lookup_terms(query)
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
