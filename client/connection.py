"""A connection to file servers and devices: every request under a deadline, every error a value.

Refusals of a peer become RemoteError with what the peer said (RFC 9290 problem details, or the diagnostic
text of a plainer one); answers are decoded into maps here and nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

from client.exchange import GET, Call, CoapExchange, Exchange, Reply
from client.locks import Locks
from device.api import CBOR, JSON, PROBLEM_CBOR, Problem, decode_body, encode_body
from device.errors import ConfigError, MalformedRequest, RemoteError, TransportError, UnsupportedFormat
from device.transport import LAN, Timing

DEFAULT_TIMEOUT_S: Final = 5.0
_TEXT: Final = 0
_SLOWEST_BYTES_PER_S: Final = 2048


class Connection:
    """Requests to any number of peers. An async context manager; or give it an `exchange` of your own.

    `timing` is how often what is not acknowledged is sent again.
    """

    def __init__(
        self,
        exchange: Exchange | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        timing: Timing = LAN,
    ) -> None:
        self._exchange = exchange
        self._timing = timing
        self.timeout_s = timeout_s
        self.locks = Locks()

    async def __aenter__(self) -> Self:
        if self._exchange is None:
            self._exchange = await CoapExchange.open(self._timing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None

    @property
    def exchange(self) -> Exchange:
        """The network below."""
        if self._exchange is None:
            raise ConfigError("the connection is not open", hint="use it in `async with`")
        return self._exchange

    def allowance_s(self, size: int) -> float:
        """The deadline of a request that carries `size` bytes: a slow or lossy path still moves 2 KiB/s."""
        return self.timeout_s + size / _SLOWEST_BYTES_PER_S

    async def send(self, call: Call, *, timeout_s: float | None = None) -> Reply:
        """One request and its reply of class 2. Raises TransportError, and RemoteError for 4.xx and 5.xx."""
        reply = await self.exchange.send(call, timeout_s or self.timeout_s)
        return accepted(reply, call.url)

    async def ask(self, method: str, url: str, body: Any = None, *, timeout_s: float | None = None) -> Any:
        """A request whose body and answer are CBOR maps; an answer without payload is None."""
        call = Call(method, url, accept=CBOR)
        if body is not None:
            call = Call(method, url, encode_body(body, CBOR), content_format=CBOR, accept=CBOR)
        return decoded(await self.send(call, timeout_s=timeout_s), url)

    async def text(
        self, method: str, url: str, payload: bytes = b"", *, timeout_s: float | None = None
    ) -> str:
        """A request whose payload and answer are text."""
        call = Call(method, url, payload, content_format=_TEXT if payload else None)
        reply = await self.send(call, timeout_s=timeout_s)
        return reply.payload.decode("utf-8", "replace")

    async def fetch(self, url: str, limit: int) -> bytes:
        """The content of `url`. Raises TransportError, RemoteError, and TooLarge beyond `limit` bytes."""
        return await self.exchange.fetch(url, limit, self.timeout_s)

    async def observe(self, url: str) -> AsyncGenerator[Any, None]:
        """The resource's map now and at every change, until the peer ends it."""
        async with aclosing(self.exchange.observe(Call(GET, url, accept=CBOR), self.timeout_s)) as replies:
            async for reply in replies:
                yield decoded(accepted(reply, url), url)


def accepted(reply: Reply, url: str) -> Reply:
    """The reply, if its code is of class 2. Raises RemoteError with what the peer said."""
    if reply.ok:
        return reply
    problem = None
    if reply.content_format in (PROBLEM_CBOR, CBOR, JSON):
        problem = Problem.from_payload(reply.payload, reply.content_format)
    extra: dict[str, Any] = {} if problem is None else dict(problem.extra)
    extra["status"] = reply.status
    if reply.max_age is not None:
        extra["retry_after_s"] = reply.max_age
    if problem is None:
        said = reply.payload.decode("utf-8", "replace").strip()
        detail = f"{url} answered {reply.status}" + (f": {said}" if said else "")
        raise RemoteError(detail, status=reply.status, where=url, extra=extra)
    raise RemoteError(
        problem.detail or problem.title,
        status=reply.status,
        title=problem.title,
        code=problem.code,
        where=problem.where,
        hint=problem.hint,
        extra=extra,
    )


def decoded(reply: Reply, url: str) -> Any:
    """The map in a reply. Raises TransportError (code `protocol`) when there is none to read."""
    if not reply.payload:
        return None
    try:
        return decode_body(reply.payload, reply.content_format)
    except (MalformedRequest, UnsupportedFormat) as error:
        raise TransportError(
            f"the answer of {url} cannot be read: {error.detail}", code="protocol", where=url
        ) from error
