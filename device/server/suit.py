"""`/suit/*`: signed updates, as RIOT's clients start them and ours follow them (suit.md section 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiocoap import Code, Message

from device.api import UpdateStatus
from device.errors import Incomplete, MalformedRequest, TooLarge
from device.resource import Transfers
from device.server.base import MapResource, TextResource, answer, answer_format, text_answer
from device.server.updates import Updates
from device.transport import peer_host

MAX_URL: Final = 127
"""Bytes of a URL; RIOT's buffer holds 128 with the NUL."""


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
