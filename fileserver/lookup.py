"""The directory's CoAP interfaces (RFC 9176 sections 5 and 6)."""

from __future__ import annotations

from typing import Final

from aiocoap import Code, Message
from aiocoap.resource import PathCapable
from aiocoap.util.linkformat import Link

from device.errors import MalformedRequest, NotFound, UnsupportedFormat
from device.resource import BoundedResource, BoundedSite, Transfers, link_format
from device.transport import peer_host
from fileserver.directory import LOCATION, Directory
from fileserver.links import parse_links
from fileserver.parameters import parameters_of

LINK_FORMAT: Final = 40
ENDPOINTS: Final = "endpoint-lookup"
RESOURCES: Final = "resource-lookup"

MAX_LINKS: Final = 256
MAX_LINKS_BYTES: Final = 8192


class Registrations(BoundedResource):
    """POST here registers (RFC 9176 section 5)."""

    rt = "core.rd"
    ct = LINK_FORMAT
    max_body = MAX_LINKS_BYTES

    def __init__(self, transfers: Transfers, directory: Directory) -> None:
        super().__init__(transfers)
        self._directory = directory

    async def render_post(self, request: Message) -> Message:
        """Register an endpoint with its links; the answer's location is where it is renewed."""
        links = _links(request)
        source = f"coap://{request.remote.hostinfo}".replace("%", "%25")
        parameters = parameters_of(request.opt.uri_query)
        made = self._directory.register(peer_host(request), source, parameters, links)
        return Message(code=Code.CREATED, location_path=(LOCATION, made.id))


class Registered(BoundedResource, PathCapable):  # type: ignore[misc]  # aiocoap has no annotations
    """A registration at its location: POST renews it, DELETE withdraws it, GET shows its links."""

    def __init__(self, transfers: Transfers, directory: Directory) -> None:
        super().__init__(transfers)
        self._directory = directory

    async def render_get(self, request: Message) -> Message:
        """Its links, as they were registered."""
        return link_format(request, self._directory.get(_ident(request)).links)

    async def render_post(self, request: Message) -> Message:
        """Renew it, perhaps with a new base or lifetime."""
        if request.payload:
            raise MalformedRequest("an update has no payload", where="payload")
        query = parameters_of(request.opt.uri_query)
        self._directory.update(peer_host(request), _ident(request), query)
        return Message(code=Code.CHANGED)

    async def render_delete(self, request: Message) -> Message:
        """Withdraw it."""
        self._directory.remove(peer_host(request), _ident(request))
        return Message(code=Code.DELETED)


class Lookup(BoundedResource):
    """GET finds endpoints or resources; with Observe also those that come and go later."""

    ct = LINK_FORMAT
    observable = True

    def __init__(self, transfers: Transfers, directory: Directory, path: str) -> None:
        super().__init__(transfers)
        self._directory = directory
        self._find = directory.endpoints if path == ENDPOINTS else directory.resources
        self.rt = "core.rd-lookup-ep" if path == ENDPOINTS else "core.rd-lookup-res"

    async def render_get(self, request: Message) -> Message:
        """The links that fit the query."""
        return link_format(request, self._find(request.opt.uri_query))


def add_directory(site: BoundedSite, directory: Directory) -> None:
    """Put the directory's resources into a site; each answers with and without its trailing slash."""
    transfers = site.transfers
    registrations = Registrations(transfers, directory)
    lookups = [Lookup(transfers, directory, path) for path in (ENDPOINTS, RESOURCES)]
    for path, resource in zip((LOCATION, ENDPOINTS, RESOURCES), (registrations, *lookups), strict=True):
        site.add_resource([path, ""], resource)
        site.add_alias([path], resource)
    site.add_resource([LOCATION], Registered(transfers, directory))

    def changed() -> None:
        for lookup in lookups:
            lookup.updated_state()

    directory.changed = changed


def _ident(request: Message) -> str:
    path: tuple[str, ...] = request.opt.uri_path
    if len(path) != 2:
        raise NotFound("no such registration")
    return path[1]


def _links(request: Message) -> list[Link]:
    if request.opt.content_format not in (None, LINK_FORMAT):
        raise UnsupportedFormat("links are application/link-format (40)", where="Content-Format")
    try:
        text = request.payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequest("the links are not UTF-8", where="payload") from error
    return parse_links(text, most=MAX_LINKS)
