"""A body that arrives in blocks, and nothing but that body (RFC 7959 section 2.4).

Every block must be the one that was asked for: same ETag, next number, no larger size, full unless it is the
last, and together no more than was announced or than the limit. Anything else ends the transfer with
TransportError `protocol`, or `changed` when the ETag says that the representation was replaced.
"""

from __future__ import annotations

from typing import Final

from aiocoap import Message

from device.errors import TooLarge, TransportError

MAX_SZX: Final = 6


class Body:
    """An answer as far as it has come: at most `limit` bytes, in blocks of at most `size`."""

    def __init__(self, first: Message, limit: int, size: int) -> None:
        self.data = bytearray()
        self.announced: int | None = None
        self.size = size
        self._limit = limit
        self._etag = first.opt.etag
        self.more = False
        if first.opt.block2 is None:
            self._announce(first.opt.size2)
            self._append(first.payload, more=False)
        else:
            self.add(first)

    def add(self, answer: Message) -> None:
        """Append the block that was asked for, or raise."""
        block = answer.opt.block2
        if block is None:
            raise broken("an answer without block number in the middle of a transfer")
        if block.size_exponent > MAX_SZX or block.size > self.size:
            raise broken(f"a block of {block.size} bytes where {self.size} were asked for")
        if block.start != len(self.data):
            raise broken(f"block {block.block_number} is not the one that was asked for")
        if answer.opt.etag != self._etag:
            raise changed()
        if len(answer.payload) > block.size or (block.more and len(answer.payload) != block.size):
            raise broken(f"{len(answer.payload)} bytes in a block of {block.size}")
        if self.data and not answer.payload:
            raise broken("an empty block")
        self.size = block.size
        self._announce(answer.opt.size2)
        self._append(answer.payload, more=block.more)

    def _announce(self, size: int | None) -> None:
        if size is None:
            return
        if self.announced not in (None, size):
            raise broken("the announced size changed")
        self.announced = size
        if size > self._limit:
            raise TooLarge(f"{size} bytes are announced, {self._limit} is the limit", limit=self._limit)

    def _append(self, payload: bytes, *, more: bool) -> None:
        self.data += payload
        self.more = more
        if len(self.data) + more > self._limit:
            raise TooLarge(f"more than {self._limit} bytes", limit=self._limit)
        if self.announced is None:
            return
        if len(self.data) + more > self.announced:
            raise broken(f"more than the {self.announced} bytes announced")
        if not more and len(self.data) < self.announced:
            raise broken(f"{len(self.data)} of the {self.announced} bytes announced")


def broken(reason: str) -> TransportError:
    """The error for a peer that does not keep to the protocol."""
    return TransportError(f"the transfer is broken: {reason}", code="protocol")


def changed() -> TransportError:
    """The error for a representation that became another one between two blocks."""
    return TransportError(
        "the content was replaced during the transfer (ETag)", code="changed", hint="try again"
    )
