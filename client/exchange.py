"""The seam to the network: a request out, a reply back, a stream of notifications.

`CoapExchange` is the real one, over `device.transport`. Everything above it takes the Protocol, so most
tests need no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiocoap

from device import transport
from device.errors import TransportError

GET: Final = "GET"
PUT: Final = "PUT"
POST: Final = "POST"
DELETE: Final = "DELETE"

_FETCH_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `if_match` b"" means "replace whatever is there" (RFC 7252 section 5.10.8.1)."""

    method: str
    url: str
    payload: bytes = b""
    content_format: int | None = None
    accept: int | None = None
    if_match: bytes | None = None
    if_none_match: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of any code; `status` is the code as text, such as `2.05`."""

    status: str
    payload: bytes = b""
    content_format: int | None = None
    max_age: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the code is of class 2."""
        return self.status.startswith("2.")


class Exchange(Protocol):
    """What the client needs of a network."""

    async def send(self, call: Call, timeout_s: float) -> Reply:
        """One request, one reply of any code. Raises TransportError."""

    def observe(self, call: Call, timeout_s: float) -> AsyncGenerator[Reply, None]:
        """The first reply and every notification after it (RFC 7641), until the peer ends it.

        `timeout_s` is for the first reply. Raises TransportError. Close it (`aclosing`) when done.
        """

    async def fetch(self, url: str, limit: int, timeout_s: float) -> bytes:
        """The content of `url`, at most `limit` bytes. Raises TransportError, RemoteError, TooLarge."""

    async def close(self) -> None:
        """Give the sockets back."""


class CoapExchange:
    """CoAP over UDP on one context of device.transport, which bounds the requests in flight."""

    def __init__(self, context: transport.CoapContext, timing: transport.Timing = transport.LAN) -> None:
        self._context = context
        self._timing = timing

    @classmethod
    async def open(cls, timing: transport.Timing = transport.LAN) -> CoapExchange:
        """An exchange on a fresh client context."""
        return cls(await transport.client_context(), timing)

    async def send(self, call: Call, timeout_s: float) -> Reply:
        """See Exchange."""
        return _reply(
            await transport.request(self._context, _message(call), timeout_s=timeout_s, timing=self._timing)
        )

    async def fetch(self, url: str, limit: int, timeout_s: float) -> bytes:
        """See Exchange."""
        return await transport.download(
            self._context,
            url,
            limit=limit,
            block_size=_FETCH_BLOCK,
            timeout_s=timeout_s,
            timing=self._timing,
        )

    async def observe(self, call: Call, timeout_s: float) -> AsyncGenerator[Reply, None]:
        """See Exchange. A notification longer than a block is asked for again as a whole."""
        request = self._observation(call)
        try:
            answer = await _first(request, call.url, timeout_s)
            if answer.opt.echo is not None and not answer.code.is_successful():
                request = self._observation(call, answer.opt.echo)
                answer = await _first(request, call.url, timeout_s)
            yield await self._whole(answer, call, timeout_s)
            async for notification in _notifications(request, call.url):
                yield await self._whole(notification, call, timeout_s)
        finally:
            if not request.response.done():
                request.response.cancel()
            if not request.observation.cancelled:
                request.observation.cancel()

    async def close(self) -> None:
        """See Exchange."""
        await self._context.shutdown()

    def _observation(self, call: Call, echo: bytes | None = None) -> Any:
        """The request for an observation; with the Echo that a peer has asked for (RFC 9175)."""
        message = _message(call)
        message.opt.observe = 0
        message.opt.echo = echo
        message.transport_tuning = transport.tuning(self._timing)
        return self._context.request(message, handle_blockwise=False)

    async def _whole(self, message: aiocoap.Message, call: Call, timeout_s: float) -> Reply:
        block = message.opt.block2
        if block is not None and (block.more or block.block_number):
            return await self.send(call, timeout_s)
        return _reply(message)


async def _first(request: Any, url: str, timeout_s: float) -> aiocoap.Message:
    try:
        async with asyncio.timeout(timeout_s):
            return await request.response
    except TimeoutError:
        raise TransportError(
            f"{url} did not answer within {timeout_s:g} s", code="timeout", where=url
        ) from None
    except (aiocoap.error.Error, OSError) as error:
        raise _lost(url, error) from error


async def _notifications(request: Any, url: str) -> AsyncIterator[aiocoap.Message]:
    try:
        async for message in request.observation:
            yield message
    except (aiocoap.error.Error, OSError) as error:
        raise _lost(url, error) from error


def _lost(url: str, error: Exception) -> TransportError:
    return TransportError(f"lost {url}: {str(error) or type(error).__name__}", code="unreachable", where=url)


def _message(call: Call) -> aiocoap.Message:
    code = getattr(aiocoap.Code, call.method)
    message = transport.parse_url(call.url).message(code, call.payload)
    message.opt.content_format = call.content_format
    message.opt.accept = call.accept
    message.opt.if_none_match = call.if_none_match
    if call.if_match is not None:
        message.opt.if_match = [call.if_match]
    return message


def _reply(message: aiocoap.Message) -> Reply:
    content_format = message.opt.content_format
    return Reply(
        status=message.code.dotted,
        payload=bytes(message.payload),
        content_format=None if content_format is None else int(content_format),
        max_age=message.opt.max_age,
    )
