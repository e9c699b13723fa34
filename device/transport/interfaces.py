"""aiocoap's UDP transports behind the guard: no datagram reaches its parser that could raise there."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Final, Self

from aiocoap.transports.generic_udp import GenericMessageInterface
from aiocoap.transports.simple6 import MessageInterfaceSimple6
from aiocoap.transports.simplesocketserver import MessageInterfaceSimpleServer
from aiocoap.transports.udp6 import MessageInterfaceUDP6

from device.transport.guard import fault_of, reset_for
from device.transport.logs import CoapLog
from device.transport.messages import BoundedMessages

_OF_ANOTHER_PEER: Final = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOPROTOOPT}
)
"""What ICMP reports: the kernel gives it to whoever uses the socket next, whatever peer it is about."""


class _Pending(Exception):
    """A send failed with an error that may be another peer's."""


class GuardedUdp6(MessageInterfaceUDP6):  # type: ignore[misc]  # aiocoap has no annotations
    """One AF_INET6 socket for IPv6 and IPv4, client and server."""

    _first_try = False

    def send(self, message: Any) -> None:
        """Send a message; again, when an ICMP error was waiting that an earlier datagram has caused.

        Without this a peer that is gone makes the next request to another one fail. Whose error it is comes
        through the error queue all the same.
        """
        self._first_try = True
        try:
            super().send(message)
        except _Pending:
            super().send(message)
        finally:
            self._first_try = False

    def error_received(self, exc: OSError) -> None:
        """Take in an error of a send."""
        if self._first_try and exc.errno in _OF_ANOTHER_PEER:
            self._first_try = False
            raise _Pending from exc
        super().error_received(exc)

    @classmethod
    async def serve(
        cls,
        bound: socket.socket,
        messages: BoundedMessages,
        log: CoapLog,
        loop: asyncio.AbstractEventLoop,
    ) -> Self:
        """Serve on a socket that is bound already."""
        made: Self = await cls._create_transport_endpoint(bound, messages, log, loop)
        return made

    def datagram_msg_received(self, data: bytes, ancdata: list[Any], flags: int, address: Any) -> None:
        """Take in one datagram."""
        cut = bool(flags & socket.MSG_TRUNC)
        if cut or fault_of(data) is not None:
            self.log.info("malformed datagram from %s", address)
            rejection = reset_for(data)
            if rejection is not None:
                self.transport.sendmsg(rejection, [], 0, address)
            return
        try:
            super().datagram_msg_received(data, ancdata, flags, address)
        except Exception as error:  # noqa: BLE001  # asyncio would print a traceback
            self.log.error("datagram from %s: %s: %s", address, type(error).__name__, error)  # noqa: TRY400

    def datagram_errqueue_received(self, data: bytes, ancdata: list[Any], flags: int, address: Any) -> None:
        """Take in an ICMP error; those of a kind that aiocoap asserts against are not worth a crash."""
        try:
            super().datagram_errqueue_received(data, ancdata, flags, address)
        except Exception as error:  # noqa: BLE001  # the same
            self.log.error("ICMP error from %s: %s: %s", address, type(error).__name__, error)  # noqa: TRY400


class _Guarded(GenericMessageInterface):  # type: ignore[misc]  # aiocoap has no annotations
    """The guard for the transports without AF_INET6."""

    def _received_datagram(self, address: Any, datagram: bytes) -> None:
        if fault_of(datagram) is not None:
            self._log.info("malformed datagram from %s", address)
            rejection = reset_for(datagram)
            if rejection is not None:
                address.send(rejection)
            return
        try:
            super()._received_datagram(address, datagram)
        except Exception as error:  # noqa: BLE001  # asyncio would print a traceback
            self._log.error("datagram from %s: %s: %s", address, type(error).__name__, error)


class GuardedSimpleServer(_Guarded, MessageInterfaceSimpleServer):  # type: ignore[misc]  # the same
    """A server on one explicit address."""


class GuardedSimple6(_Guarded, MessageInterfaceSimple6):  # type: ignore[misc]  # the same
    """A client with a connected socket for each peer."""
