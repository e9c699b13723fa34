"""aiocoap's message layer with our timing, and three things it cannot say or do."""

from __future__ import annotations

from aiocoap import Message
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.constants import TransportTuning
from aiocoap.tokenmanager import TokenManager


class BoundedMessages(MessageManager):  # type: ignore[misc]  # aiocoap has no annotations
    """The message layer of one socket (RFC 7252 section 4)."""

    def __init__(self, tokens: TokenManager, message_tuning: TransportTuning) -> None:
        super().__init__(tokens)
        self._tuning = message_tuning

    def dispatch_message(self, message: Message) -> None:
        """Take in one message; how long it is remembered is ours to say."""
        message.transport_tuning = self._tuning
        message.manager = self
        super().dispatch_message(message)

    async def shutdown(self) -> None:
        """Close the socket; empty acknowledgements that are due would be sent through it all the same."""
        for _, timer in self._piggyback_opportunities.values():
            timer.cancel()
        self._piggyback_opportunities.clear()
        await super().shutdown()

    def awaits_ack(self, message: Message) -> bool:
        """Whether a message that was given to `send_message` is under way, or waits for others to be."""
        if not self._active_exchanges:
            return False
        waiting = self._backlogs.get(message.remote, ())
        return (message.remote, message.mid) in self._active_exchanges or any(
            one is message for one, _ in waiting
        )

    def give_up(self, message: Message) -> None:
        """Stop repeating a message that nobody waits for, and send what waits behind it.

        aiocoap repeats it to the end, holds back all later ones to that peer until then, and fails them too.
        """
        if message.mid is None or not self._active_exchanges:
            return
        backlog = self._backlogs.get(message.remote, [])
        backlog[:] = [item for item in backlog if item[0] is not message]
        exchange = self._active_exchanges.pop((message.remote, message.mid), None)
        if exchange is not None:
            exchange[1].cancel()
            self._continue_backlog(message.remote)


def awaiting_ack(request: Message, answer: Message) -> bool:
    """Whether an answer to this incoming request is confirmable and not acknowledged yet.

    It is this one that is asked about: a peer with several observations always has something under way.
    """
    manager: BoundedMessages | None = getattr(request, "manager", None)
    return manager is not None and manager.awaits_ack(answer)


def peer_host(message: Message) -> str:
    """The address of the peer that a message came from, without port; IPv4 in its usual form."""
    hostinfo: str = message.remote.hostinfo
    if hostinfo.startswith("["):
        return hostinfo[1 : hostinfo.index("]")]
    return hostinfo.partition(":")[0]
