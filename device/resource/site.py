"""The tree of resources of one server, and its `/.well-known/core`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from aiocoap import Message
from aiocoap.pipe import Pipe
from aiocoap.resource import Site
from aiocoap.util.linkformat import Link, LinkFormat

from device.errors import MalformedRequest, MicroBpfError, NotAcceptable, NotFound, RequestError
from device.resource.base import SAFE, BoundedResource
from device.resource.echo import SourceCheck
from device.resource.problems import problem_message
from device.resource.transfers import Transfers

LINK_FORMAT: Final = 40

# RFC 7252 section 5.4.1: an option with an odd number that the server does not know refuses the request.
_UNDERSTOOD: Final = frozenset({1, 3, 5, 7, 11, 15, 17, 23, 27})
_REPEATABLE: Final = frozenset({1, 11, 15})
_PROXY: Final = frozenset({35, 39})


class BoundedSite(Site):  # type: ignore[misc]  # aiocoap has no annotations
    """aiocoap's Site that answers every error as problem details and keeps to RFC 7252's critical options.

    A child gets the request as it came: no path is stripped and no message copied, which is the larger
    part of what aiocoap's own dispatch costs. A child that is `PathCapable` gets everything below its path.
    """

    def __init__(self, transfers: Transfers, check: SourceCheck | None = None) -> None:
        super().__init__()
        self.transfers = transfers
        self._check = check
        self._aliases: dict[tuple[str, ...], BoundedResource] = {}

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """Hand the request to its resource, or answer what is wrong with it."""
        request = pipe.request
        try:
            check_options(request)
            child = self.child(request.opt.uri_path)
        except MicroBpfError as error:
            pipe.add_response(self._refusal(request, error), is_last=True)
            return
        if self._check is not None and not self._check.verified(request):
            await self._answer_unverified(pipe, child, self._check)
        else:
            await child.render_to_pipe(pipe)

    def _refusal(self, request: Message, error: MicroBpfError) -> Message:
        """What is wrong with a request; to an unverified address only if that is short."""
        answer = problem_message(error, request.opt.accept)
        check = self._check
        if check is None or check.verified(request) or check.permits(request, answer):
            return answer
        return check.challenge(request)

    async def _answer_unverified(self, pipe: Pipe, child: BoundedResource, check: SourceCheck) -> None:
        """A short answer, or the question whether the sender is there.

        What changes something is asked first: it must not be done for an answer that is then held back.
        Only resources whose answers are always short do it at once.
        """
        request = pipe.request
        if request.code in SAFE or child.short_answers:
            answer = await child.answer(request)
            if check.permits(request, answer):
                pipe.add_response(answer, is_last=True)
                return
        pipe.add_response(check.challenge(request), is_last=True)

    def add_alias(self, path: list[str], resource: BoundedResource) -> None:
        """Have a resource answer at one more path, of which `/.well-known/core` says nothing."""
        self._aliases[tuple(path)] = resource

    def child(self, path: tuple[str, ...]) -> BoundedResource:
        """The resource at exactly this path, else the nearest sub-site above it. Raises NotFound."""
        for exact in (self._resources, self._aliases):
            if path in exact:
                return exact[path]
        for end in range(len(path), -1, -1):
            if path[:end] in self._subsites:
                return self._subsites[path[:end]]  # type: ignore[no-any-return]  # the same
        raise NotFound("no such resource", where="/" + "/".join(path), hint="see /.well-known/core")


class WellKnownCore(BoundedResource):
    """GET /.well-known/core with the filter of RFC 6690 section 4.1."""

    ct = LINK_FORMAT

    def __init__(self, transfers: Transfers, links: Callable[[], LinkFormat]) -> None:
        super().__init__(transfers)
        self._links = links

    async def render_get(self, request: Message) -> Message:
        """The links, those that match if the query says so."""
        links = [link for link in self._links().links if fits(facts_of(link), request.opt.uri_query)]
        return link_format(request, links)


def check_options(request: Message) -> None:
    """Refuse proxying, critical options that are not understood here, and repeats of those that are."""
    seen = set()
    for option in request.opt.option_list():
        number = int(option.number)
        if number in _PROXY:
            raise RequestError("this server is no proxy", code="proxying")
        if not number & 1:
            continue
        if number not in _UNDERSTOOD or (number in seen and number not in _REPEATABLE):
            raise MalformedRequest(f"option {number} is not understood here", code="bad-option")
        seen.add(number)


def link_format(request: Message, links: Iterable[Link]) -> Message:
    """Links as an answer. Raises NotAcceptable when Accept asks for anything else."""
    if request.opt.accept not in (None, LINK_FORMAT):
        raise NotAcceptable("links are offered as application/link-format (40)", where="Accept")
    return Message(payload=str(LinkFormat(links)).encode(), content_format=LINK_FORMAT)


Facts = frozenset[tuple[str, str]]
"""What links say, as pairs of attribute and value; the target is `href`."""


def facts_of(*links: Link) -> Facts:
    """What these links say. Values of `rt`, `if`, `rel` and `ct` are lists with spaces; none is ""."""
    facts = set()
    for link in links:
        facts.add(("href", link.href))
        for name, value in link.attr_pairs:
            parts = (value or "").split(" ") if name in ("rt", "if", "rel", "ct") else [value or ""]
            facts.update((name, part) for part in parts)
    return frozenset(facts)


def fits(facts: Facts, query: Iterable[str]) -> bool:
    """Whether every `name=value` of a query is among the facts; a `*` at the end stands for anything.

    A term without `=` asks for nothing (RFC 6690 section 4.1).
    """
    return all(_fits_term(facts, *term.split("=", 1)) for term in query if "=" in term)


def _fits_term(facts: Facts, name: str, wanted: str) -> bool:
    if wanted.endswith("*"):
        return any(key == name and value.startswith(wanted[:-1]) for key, value in facts)
    return (name, wanted) in facts
