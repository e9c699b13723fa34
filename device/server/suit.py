"""`/suit/*`: signed updates, as RIOT's clients start them and ours follow them (suit.md section 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiocoap import Code, Message

from device.api import CBOR, UpdateStatus
from device.errors import Incomplete, MalformedRequest, TooLarge, UnsupportedFormat
from device.resource import Transfers
from device.server.base import MapResource, TextResource, answer, answer_format, text_answer
from device.server.updates import Updates
from device.suit.refusals import Refusal, refuse
from device.transport import peer_host

MAX_URL: Final = 127
"""Bytes of a URL; RIOT's buffer holds 128 with the NUL."""

_OCTETS: Final = 42


class TriggerResource(TextResource):
    """POST and PUT /suit/trigger: the payload is the URL of a manifest. 2.01, then the update runs."""

    rt = "suit.trigger"
    short_answers = True
    max_body = MAX_URL + 1

    def __init__(self, transfers: Transfers, updates: Updates) -> None:
        super().__init__(transfers)
        self._updates = updates

    async def render_post(self, request: Message) -> Message:
        """Start an update."""
        self._updates.start(url_of(request.payload), peer_host(request))
        return Message(code=Code.CREATED)

    render_put = render_post


def url_of(payload: bytes) -> str:
    """The URL in a trigger. RIOT sends a C string: one NUL at the end is not part of it.

    Raises Incomplete, TooLarge, MalformedRequest.
    """
    text = payload.removesuffix(b"\0")
    if not text:
        raise Incomplete("the payload is the URL of a manifest", code="empty")
    if len(text) > MAX_URL:
        raise TooLarge(f"a URL of {len(text)} bytes, at most {MAX_URL}", limit=MAX_URL)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("the URL is not UTF-8") from None


class ManifestResource(TextResource):
    """POST /suit/manifest: the payload is the envelope itself. 2.01, then the update runs."""

    rt = "suit.manifest"
    ct = f"{CBOR} {_OCTETS}"

    def __init__(self, transfers: Transfers, updates: Updates, limit: int) -> None:
        super().__init__(transfers)
        self._updates = updates
        self.max_body = self.sz = limit

    async def render_post(self, request: Message) -> Message:
        """Start an update."""
        if request.opt.content_format not in (None, CBOR, _OCTETS):
            raise UnsupportedFormat(
                f"content-format {int(request.opt.content_format)} is not offered",
                where="Content-Format",
                hint=f"CBOR ({CBOR}) or octets ({_OCTETS})",
            )
        if not request.payload:
            raise Incomplete("the payload is a signed manifest", code="empty")
        self._updates.post(bytes(request.payload), peer_host(request))
        return Message(code=Code.CREATED)

    def render_error(self, error: Exception, request: Message) -> Message:
        """An envelope over the limit is of the class that it has when it is fetched."""
        if not isinstance(error, TooLarge):
            return super().render_error(error, request)
        answer = super().render_error(refuse(Refusal.TOO_LARGE, error.detail, where="envelope"), request)
        answer.opt.size1 = self.max_body
        return answer


class VersionResource(TextResource):
    """GET /suit/version: the sequence number of the last update that was installed."""

    rt = "suit.version"

    def __init__(self, transfers: Transfers, number: Callable[[], int]) -> None:
        super().__init__(transfers)
        self._number = number

    async def render_get(self, request: Message) -> Message:
        """Decimal text, `NONE` before the first."""
        return text_answer(request, str(self._number() or "NONE"))


class StatusResource(MapResource):
    """GET /suit/status: the update that runs, or the last one."""

    rt = "micro-bpf.update"
    observable = True

    def __init__(self, transfers: Transfers, status: Callable[[], UpdateStatus]) -> None:
        super().__init__(transfers)
        self._status = status

    async def render_get(self, request: Message) -> Message:
        """How far it is, and how it ended."""
        return answer(self._status(), answer_format(request))
