"""Block-wise transfers as a client, that believe nothing they are not shown (RFC 7959).

aiocoap's own assembly accepts bodies of any length and restarts in the middle; here every block goes through
`body.py`, and every transfer has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiocoap import Code, Message
from aiocoap.optiontypes import BlockOption

from device.errors import RemoteError, TooLarge, TransportError
from device.transport.body import Body, broken, changed
from device.transport.exchange import exchange, expect_success, like, remote_error, transport_url
from device.transport.stack import CoapContext
from device.transport.timing import LAN, Timing

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer that `request` takes, when it is not told otherwise."""

_LARGEST: Final = 1024
_MAX_PROBLEM: Final = 2048
_RESTARTS: Final = 8

Progress = Callable[[int, int | None], None]


async def request(
    context: CoapContext,
    message: Message,
    *,
    timeout_s: float,
    timing: Timing = LAN,
    block_size: int = _LARGEST,
    limit: int = MAX_ANSWER,
) -> Message:
    """Send a request of any length and return the whole answer, whatever its code is.

    `timeout_s` covers all blocks of both. A GET whose answer becomes another one between two blocks begins
    anew, a few times, with a Request-Tag (RFC 9175 section 3): a server that keeps one answer for each
    request of a client keeps this one apart from the other transfers and observations of the resource.
    Raises TransportError (`timeout`, `unreachable`, `protocol`, `changed`), and TooLarge for an answer of
    more than `limit` bytes.
    """
    async with _deadline(timeout_s, message):
        step = _Step(context, timeout_s, timing)
        for _ in range(_RESTARTS):
            try:
                return await _whole(step, message, block_size, limit)
            except TransportError as error:
                if error.code != "changed" or message.code != Code.GET:
                    raise
                message = like(message, message.payload)
                message.opt.request_tag = [context.fresh_tag()]
        return await _whole(step, message, block_size, limit)


async def _whole(step: _Step, message: Message, block_size: int, limit: int) -> Message:
    answer = await _push(step, message, block_size)
    code, body = answer.code, Body(answer, limit, _LARGEST)
    while body.more:
        answer = await step(_next(message, answer, body))
        if answer.code != code:
            raise changed()
        body.add(answer)
    answer.payload = bytes(body.data)
    answer.opt.block2 = None
    return answer


async def download(
    context: CoapContext,
    url: str,
    *,
    limit: int,
    block_size: int = 64,
    timeout_s: float | None = None,
    timing: Timing = LAN,
    progress: Progress | None = None,
) -> bytes:
    """GET a representation of at most `limit` bytes, asking for blocks of `block_size`.

    Without `timeout_s` the deadline grows with the size. `progress(received, announced)` is called after
    every block. Raises TooLarge as soon as more than `limit` bytes are announced or to come, RemoteError for
    an answer that is no success, TransportError for everything that is no proper transfer.
    """
    target = transport_url(url)
    size = _power_of_two(block_size)
    if timeout_s is None:
        timeout_s = allowance_s(limit, size, timing)
    first = target.message(Code.GET, block2=(0, False, _szx(size)), size2=0)
    async with _deadline(timeout_s, first):
        step = _Step(context, timeout_s, timing)
        answer = await step(first)
        if not answer.code.is_successful():
            raise await _refusal(step, first, answer, size)
        body = Body(_content(answer), limit, size)
        _report(progress, body)
        while body.more:
            answer = await step(_next(first, answer, body))
            body.add(_content(answer))
            _report(progress, body)
    return bytes(body.data)


async def upload(
    context: CoapContext,
    url: str,
    payload: bytes,
    *,
    if_none_match: bool = False,
    if_match: bytes | None = None,
    content_format: int | None = None,
    block_size: int = _LARGEST,
    timeout_s: float | None = None,
    timing: Timing = LAN,
) -> Message:
    """PUT a representation, in blocks where it is longer than one; returns the answer, whatever its code is.

    `if_match` is the ETag that is to be replaced, `if_none_match` keeps what is there (4.12).
    """
    options: dict[str, Any] = {"content_format": content_format, "if_none_match": if_none_match}
    message = transport_url(url).message(Code.PUT, payload, **options)
    if if_match is not None:
        message.opt.if_match = [if_match]
    if timeout_s is None:
        timeout_s = allowance_s(len(payload), block_size, timing)
    return await request(context, message, timeout_s=timeout_s, timing=timing, block_size=block_size)


def allowance_s(size: int, block_size: int, timing: Timing) -> float:
    """Seconds that a transfer of `size` bytes may take: one stall, and a few repetitions for every block."""
    blocks = -(-size // _power_of_two(block_size))
    return timing.stall_s + 3 * timing.ack_timeout_s * (blocks + 1)


class _Step:
    """One message after the other to the same peer: found once, and never waited for longer than a stall."""

    def __init__(self, context: CoapContext, timeout_s: float, timing: Timing) -> None:
        self._context = context
        self._timing = timing
        self._timeout_s = timeout_s
        self._remote: Any = None

    async def __call__(self, message: Message) -> Message:
        if self._remote is not None:
            message.remote = self._remote
        answer = await exchange(self._context, message, timeout_s=self._timeout_s, timing=self._timing)
        self._remote = answer.remote
        # From the second block on the peer is known to be there: silence is a fault, not patience.
        self._timeout_s = min(self._timeout_s, self._timing.stall_s)
        return answer


async def _push(step: _Step, message: Message, block_size: int) -> Message:
    """Send the request, in blocks where its payload is longer than one; the answer to the last of them."""
    size = _power_of_two(block_size)
    payload = message.payload
    if len(payload) <= size:
        return await step(message)
    sent = 0
    while True:
        more = sent + size < len(payload)
        part = like(message, payload[sent : sent + size])
        part.opt.block1 = (sent // size, more, _szx(size))
        if sent == 0:
            part.opt.size1 = len(payload)
        answer = await step(part)
        if answer.code != Code.CONTINUE:
            return answer
        if not more:
            raise broken("2.31 Continue after the last block")
        sent += size
        size = _agreed(answer.opt.block1, part.opt.block1)


def _agreed(answered: BlockOption.BlockwiseTuple | None, sent: BlockOption.BlockwiseTuple) -> int:
    """The block size to go on with: the peer may ask for a smaller one (RFC 7959 section 2.5)."""
    if answered is None or answered.block_number != sent.block_number:
        raise broken("another block was acknowledged than was sent")
    return int(min(answered.size, sent.size))


def _next(message: Message, answer: Message, body: Body) -> Message:
    asking = like(message, b"")
    asking.opt.observe = None
    asking.opt.block1 = asking.opt.size1 = asking.opt.size2 = None
    asking.remote = answer.remote
    asking.opt.block2 = (len(body.data) // body.size, False, _szx(body.size))
    return asking


def _content(answer: Message) -> Message:
    expect_success(answer)
    if answer.code != Code.CONTENT:
        raise broken(f"{answer.code.dotted} in answer to GET")
    return answer


async def _refusal(step: _Step, asked: Message, answer: Message, size: int) -> RemoteError:
    """The error that an answer says, with the blocks of it that are still to come.

    Problem details are longer than the block sizes of small devices. Where the rest does not come, or is not
    what belongs to it, the code says enough.
    """
    try:
        body = Body(answer, _MAX_PROBLEM, size)
        while body.more:
            part = await step(_next(asked, answer, body))
            if part.code != answer.code:
                return remote_error(answer)
            body.add(part)
    except (TransportError, TooLarge):
        return remote_error(answer)
    answer.payload = bytes(body.data)
    return remote_error(answer)


def _report(progress: Progress | None, body: Body) -> None:
    if progress is not None:
        progress(len(body.data), body.announced)


def _szx(size: int) -> int:
    return size.bit_length() - 5


def _power_of_two(size: int) -> int:
    """The largest block size of RFC 7959 (16 to 1024) that is no larger than `size`."""
    return 1 << max(4, min(size, _LARGEST).bit_length() - 1)


@asynccontextmanager
async def _deadline(timeout_s: float, message: Message) -> AsyncIterator[None]:
    peer = getattr(message.remote, "hostinfo", None) or "the peer"
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise TransportError(
            f"{peer} did not complete the transfer within {timeout_s:.3g} s", code="timeout", where=peer
        ) from None
