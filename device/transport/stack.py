"""Contexts: sockets with aiocoap on top, put together for what the machine offers (network.md).

`udp6` serves IPv6 and IPv4 on one socket wherever the kernel has AF_INET6, also where no IPv6 address is
configured. Elsewhere `simplesocketserver` answers on explicit addresses and `simple6` asks. aiocoap's own
choice would probe every optional package and open TCP listeners, so the parts are named here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from aiocoap import Context, Message
from aiocoap.tokenmanager import TokenManager

from device.transport.interfaces import GuardedSimple6, GuardedSimpleServer, GuardedUdp6
from device.transport.logs import CoapLog, coap_logger
from device.transport.messages import BoundedMessages
from device.transport.sockets import ANY, bind_dual, has_ipv6_sockets, local_addresses, probe_port
from device.transport.timing import EXCHANGE_LIFETIME_S, LAN, Timing, tuning

IN_FLIGHT: Final = 48
"""Requests under way at one time in a context; aiocoap's cost is quadratic in them."""

REQUESTS_PER_SOCKET: Final = 60_000
"""Message ids are 16 bits, and a server remembers them: a client changes its port before they come round."""

_RETIRE_LOOK_S: Final = 0.5


class CoapContext(Context):  # type: ignore[misc]  # aiocoap has no annotations
    """aiocoap's context with bounded requests in flight and a known port.

    `port` is the UDP port served, 0 in a client's context. Keep a reference for as long as it is to serve.
    """

    def __init__(self, site: Any, timing: Timing, exchange_lifetime_s: float, fallback: bool) -> None:
        super().__init__(loop=asyncio.get_running_loop(), serversite=site)
        self.log = CoapLog(coap_logger(), {})
        self.gate = asyncio.Semaphore(IN_FLIGHT)
        self.port = 0
        self.requests_left = REQUESTS_PER_SOCKET
        self._tags = count(1)
        self._tuning = tuning(timing, exchange_lifetime_s=exchange_lifetime_s)
        self._fallback = fallback
        self._retiring: set[asyncio.Task[None]] = set()

    async def add(self, interface: Callable[[BoundedMessages], Awaitable[Any]]) -> Any:
        """Put a message interface below this context, with token and message layer between."""
        tokens = TokenManager(self)
        messages = BoundedMessages(tokens, self._tuning)
        made = await interface(messages)
        messages.message_interface = made
        tokens.token_interface = messages
        self.request_interfaces.append(tokens)
        return made

    async def open_client(self) -> None:
        """Add what requests go out through."""
        kind = GuardedSimple6 if self._fallback else GuardedUdp6
        await self.add(lambda messages: kind.create_client_transport_endpoint(messages, self.log, self.loop))

    async def count_request(self) -> None:
        """Take note of one request more; a client's context moves to a new port when its ids run out."""
        self.requests_left -= 1
        if self.requests_left > 0 or self.serversite is not None:
            return
        self.requests_left = REQUESTS_PER_SOCKET
        (old,) = self.request_interfaces
        await self.open_client()  # others go on asking through the old one meanwhile
        self.request_interfaces.remove(old)
        task = asyncio.create_task(_close_when_idle(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _render_to_pipe(self, pipe: Any) -> Awaitable[None]:
        """Answer a request, as aiocoap does. A coroutine is made only when it is begun with.

        The peer of a request may be gone before: a coroutine that nobody awaits would be a warning on stderr.
        """
        return _Later(partial(super()._render_to_pipe, pipe))

    def fresh_tag(self) -> bytes:
        """A Request-Tag (RFC 9175) that no transfer of the last while has."""
        return (next(self._tags) % (1 << 16)).to_bytes(2, "big")

    def give_up(self, message: Message) -> None:
        """Stop repeating a request that nobody waits for any more."""
        for tokens in self.request_interfaces:
            tokens.token_interface.give_up(message)

    async def shutdown(self) -> None:
        """Close the sockets. Requests still under way end with an error."""
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        if self.request_interfaces:
            await super().shutdown()


@dataclass(frozen=True, slots=True)
class _Later:
    """What `make` returns, made when it is awaited."""

    make: Callable[[], Awaitable[None]]

    def __await__(self) -> Generator[Any, None, None]:
        return self.make().__await__()


async def client_context(*, fallback: bool | None = None) -> CoapContext:
    """A context to send requests from; shut it down when done. `fallback` True does without AF_INET6."""
    context = CoapContext(None, LAN, EXCHANGE_LIFETIME_S, _fallback(fallback))
    await context.open_client()
    return context


async def server_context(
    site: Any,
    host: str | None,
    port: int,
    *,
    timing: Timing = LAN,
    exchange_lifetime_s: float = EXCHANGE_LIFETIME_S,
    fallback: bool | None = None,
) -> CoapContext:
    """A context that serves `site` on a UDP port (0: any free one, see `.port`) and can send requests too.

    `host` None, `::` or `0.0.0.0` is every address there is, IPv6 where it works. Raises ConfigError:
    `port-taken`, `port-denied`, `bad-address`. `timing` is for what the server sends of its own accord,
    `exchange_lifetime_s` how long it remembers requests. `fallback` True does without AF_INET6.
    """
    simple = _fallback(fallback)
    context = CoapContext(site, timing, exchange_lifetime_s, simple)
    try:
        await (_serve_simply if simple else _serve_udp6)(context, host, port)
    except BaseException:
        await context.shutdown()
        raise
    return context


def _fallback(forced: bool | None) -> bool:
    return not has_ipv6_sockets() if forced is None else forced


async def _serve_udp6(context: CoapContext, host: str | None, port: int) -> None:
    bound = bind_dual(host, port)
    try:
        context.port = bound.getsockname()[1]
        await context.add(lambda messages: GuardedUdp6.serve(bound, messages, context.log, context.loop))
    except BaseException:
        bound.close()
        raise


async def _serve_simply(context: CoapContext, host: str | None, port: int) -> None:
    """One socket for each address, as this transport cannot tell to which of them a request was sent."""
    for address in local_addresses() if host is None or host in ANY else [host]:
        port = probe_port(address, port)
        await context.add(
            partial(GuardedSimpleServer.create_server, (address, port), log=context.log, loop=context.loop)
        )
    context.port = port
    # Last: the first interface that takes a request sends it, and a server's socket hears no ICMP errors.
    await context.open_client()
    context.request_interfaces.insert(0, context.request_interfaces.pop())


async def _close_when_idle(tokens: TokenManager) -> None:
    """Close a socket that is no longer used, once its last request is answered and observation ended.

    Every request has a deadline; an observation lasts for as long as somebody wants it to. Some that are not
    sent yet have chosen this socket already, so it is not closed at once.
    """
    try:
        await asyncio.sleep(_RETIRE_LOOK_S)
        while tokens.outgoing_requests:  # noqa: ASYNC110  # aiocoap tells nobody when the last ends
            await asyncio.sleep(_RETIRE_LOOK_S)
    finally:
        await tokens.shutdown()
