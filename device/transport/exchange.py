"""One request and its answer, under a deadline: whatever goes wrong is a TransportError.

`timeout` nobody answered in time; `unreachable` the network or the host says that nobody is there;
`protocol` the peer answered something that CoAP does not allow.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from aiocoap import Code, Message, error
from aiocoap.message import UndecidedRemote

from device.api import Problem
from device.errors import ConfigError, RemoteError, TransportError
from device.transport.address import Authority, Url, parse_authority, parse_url
from device.transport.stack import CoapContext
from device.transport.timing import Timing, tuning


async def exchange(context: CoapContext, message: Message, *, timeout_s: float, timing: Timing) -> Message:
    """Send one message and wait for the one that answers it, without any block-wise transfer.

    A peer that asks for an Echo (RFC 9175) before it answers an address it does not know gets it. A name
    with several addresses is tried at the next when nobody is at the first: `localhost` is `::1` to most
    systems, and not to a server that was bound to IPv4. Nothing is left behind when this is cancelled: the
    message is not repeated any more.
    """
    name = message.opt.uri_host if isinstance(message.remote, UndecidedRemote) else None
    try:
        return await _exchange_once(context, message, timeout_s, timing)
    except TransportError as failed:
        if failed.code != "unreachable" or name is None:
            raise
        for other in await _other_addresses(name, message):
            try:
                return await _exchange_once(context, other, timeout_s, timing)
            except TransportError as also_failed:
                if also_failed.code != "unreachable":
                    raise
        raise


async def _exchange_once(context: CoapContext, message: Message, timeout_s: float, timing: Timing) -> Message:
    peer = _name(message)
    try:
        async with asyncio.timeout(timeout_s), context.gate:
            answer = await _send(context, message, timing)
            if answer.code == Code.UNAUTHORIZED and answer.opt.echo is not None and message.opt.echo is None:
                message = like(message, message.payload)
                message.opt.echo = answer.opt.echo
                answer = await _send(context, message, timing)
    except TimeoutError:
        context.give_up(message)
        raise TransportError(
            f"{peer} did not answer within {timeout_s:g} s", code="timeout", where=peer
        ) from None
    except asyncio.CancelledError:
        context.give_up(message)
        raise
    except (error.Error, OSError, ValueError) as reason:
        raise _translated(reason, peer) from reason
    return answer


async def _send(context: CoapContext, message: Message, timing: Timing) -> Message:
    message.transport_tuning = tuning(timing)
    await context.count_request()
    answer: Message = await context.request(message, handle_blockwise=False).response
    return answer


async def _other_addresses(name: str, tried: Message) -> list[Message]:
    """The same message to each address of a name but the one it was sent to."""
    try:
        peer = parse_authority(tried.remote.hostinfo)
        found = await asyncio.get_running_loop().getaddrinfo(name, peer.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, ConfigError):
        return []
    hosts = dict.fromkeys(str(address[0]) for *_, address in found)
    hosts.pop(peer.host, None)
    others = []
    for host in hosts:
        other = like(tried, tried.payload)
        other.remote = UndecidedRemote("coap", Authority(host, peer.port).hostinfo)
        others.append(other)
    return others


def like(message: Message, payload: bytes) -> Message:
    """A new message with the same code, options and peer; each can be sent once only."""
    made = Message(code=message.code, payload=payload)
    made.remote = message.remote
    for option in message.opt.option_list():
        made.opt.add_option(option)
    return made


def remote_error(answer: Message) -> RemoteError:
    """An answer that is an error, as RemoteError: with the peer's own problem details where it sent them."""
    status = answer.code.dotted
    problem = Problem.from_payload(answer.payload, answer.opt.content_format)
    if problem is None:
        title = answer.code.name_printable
        readable = answer.opt.content_format in (None, 0) and answer.payload
        text = answer.payload[:200].decode("utf-8", "replace") if readable else title
        return RemoteError(text, status=status, title=title)
    return RemoteError(
        problem.detail or problem.title,
        status=status,
        title=problem.title,
        code=problem.code,
        where=problem.where,
        hint=problem.hint,
        extra=problem.extra,
    )


def expect_success(answer: Message) -> Message:
    """The answer, if its code is 2.xx. Raises RemoteError."""
    if not answer.code.is_successful():
        raise remote_error(answer)
    return answer


def transport_url(text: str) -> Url:
    """A URL to send to. Raises TransportError `address` where a person's argument would be a ConfigError."""
    try:
        return parse_url(text)
    except ConfigError as reason:
        raise TransportError(reason.detail, code="address", where=text, hint=reason.hint) from reason


def _translated(reason: Exception, peer: str) -> TransportError:
    if isinstance(reason, error.TimeoutError):
        return TransportError(f"{peer} did not answer", code="timeout", where=peer)
    if isinstance(reason, error.MessageError):
        return TransportError(f"{peer} rejected the message", code="protocol", where=peer)
    if isinstance(reason, error.ResolutionError):
        return TransportError(
            f"{peer} is not known here", code="unreachable", where=peer, hint="check the name"
        )
    if isinstance(reason, error.LibraryShutdown):
        return TransportError(f"the connection to {peer} was closed", code="unreachable", where=peer)
    if isinstance(reason, error.NetworkError | OSError):
        cause: Any = reason.__cause__ or reason
        detail = getattr(cause, "strerror", None) or str(cause)
        hint = "is it started, and is the port right?" if "refused" in detail.lower() else ""
        return TransportError(f"{peer}: {detail}", code="unreachable", where=peer, hint=hint)
    return TransportError(f"{peer}: {reason or type(reason).__name__}", code="protocol", where=peer)


def _name(message: Message) -> str:
    hostinfo: str = getattr(message.remote, "hostinfo", "") or "the peer"
    return hostinfo
