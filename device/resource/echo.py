"""No reflector: who has not shown that it receives at its address gets short answers only (RFC 9175).

A UDP source can be forged, and a listing or a block of a file answers with fifty times the bytes it was asked
with. With a `SourceCheck` in its site a server answers an unknown address with at most three times the size
of its request, else with 4.01 and an Echo option that the real owner sends back. Clients of RIOT's age
cannot do that, so it is for servers whose port is open to the world.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiocoap import Code, Message

from device.api import PROBLEM_CBOR, Problem

FACTOR: Final = 3
FRESH_S: Final = 60
REMEMBERED_S: Final = 300.0
REMEMBERED: Final = 4096
_HEADER: Final = 5
"""Bytes of a header and a payload marker."""


class SourceCheck:
    """Which addresses have proven themselves. `clock` is seconds, `key` the server's own secret."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, key: bytes | None = None) -> None:
        self._clock = clock
        self._key = key or secrets.token_bytes(16)
        self._known: OrderedDict[str, float] = OrderedDict()

    def verified(self, request: Message) -> bool:
        """Whether the sender has shown, now or lately, that it receives what is sent to its address."""
        source: str = request.remote.hostinfo
        if request.opt.echo is not None and self._genuine(source, request.opt.echo):
            self._known[source] = self._clock()
            self._known.move_to_end(source)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return True
        return self._clock() - self._known.get(source, -REMEMBERED_S) < REMEMBERED_S

    def permits(self, request: Message, answer: Message) -> bool:
        """Whether an answer is short enough for an address that has shown nothing."""
        return _size(answer) <= FACTOR * _size(request)

    def challenge(self, request: Message) -> Message:
        """4.01 with the Echo that proves an address. Its payload stays out where it would be too long."""
        answer = Message(code=Code.UNAUTHORIZED, echo=self._echo(request.remote.hostinfo, self._now()))
        detail = "send this again with the Echo option (RFC 9175)"
        explained = answer.copy(
            payload=Problem("Unverified address", detail, "echo").to_cbor(), content_format=PROBLEM_CBOR
        )
        return explained if self.permits(request, explained) else answer

    def _now(self) -> int:
        return int(self._clock()) & 0xFFFFFFFF

    def _echo(self, source: str, moment: int) -> bytes:
        stamp = moment.to_bytes(4, "big")
        return stamp + hmac.digest(self._key, stamp + source.encode(), "sha256")[:8]

    def _genuine(self, source: str, echo: bytes) -> bool:
        moment = int.from_bytes(echo[:4], "big")
        fresh = 0 <= self._now() - moment <= FRESH_S
        return fresh and hmac.compare_digest(echo, self._echo(source, moment))


def _size(message: Message) -> int:
    return _HEADER + len(message.token) + len(message.opt.encode()) + len(message.payload)
