"""Block-wise transfers in progress at one server, within limits (RFC 7959).

aiocoap assembles request bodies without any limit and keeps answers for minutes; a server that anybody
can reach needs both bounded. One `Transfers` belongs to one server and is shared by its resources.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiocoap import Code, Message
from aiocoap.blockwise import ContinueException
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.optiontypes import BlockOption

from device.errors import Incomplete, MalformedRequest, TooLarge, Unavailable
from device.transport import LAN, Timing, peer_host

ETAG_LENGTH: Final = 8
MAX_SZX: Final = 6
_NOT_IN_KEY: Final = (OptionNumber.BLOCK1, OptionNumber.BLOCK2, OptionNumber.OBSERVE)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server spends on transfers and observers. Bytes and seconds."""

    max_block: int = 1024
    """Largest block this server sends or asks for; 64 for peers with RIOT's buffers."""
    uploads: int = 64
    """Request bodies being assembled at one time, all peers together."""
    uploads_per_host: int = 16
    upload_idle_s: float = 60.0
    """A body whose next block does not come for so long is dropped."""
    upload_steal_s: float = 2.0
    """When all places are taken, one that idles for so long is given to a newcomer."""
    answers: int = 256
    """Answers longer than a block that are kept for their later blocks."""
    answer_bytes: int = 8 * 1024 * 1024
    answer_idle_s: float = 90.0
    observers: int = 32
    observer_confirm_s: float = 60.0
    """A confirmable notification goes to every observer this often; who does not answer it is dropped."""
    notify_interval_s: float = 0.05
    """Changes closer together than this reach an observer as one notification."""
    timing: Timing = LAN


@dataclass(slots=True)
class _Upload:
    host: str
    body: bytearray
    seen: float


@dataclass(slots=True)
class _Answer:
    message: Message
    seen: float


@dataclass(slots=True)
class Transfers:
    """The transfers and observers of one server.

    `log` hears of errors that nobody foresaw, one line each; `clock` is monotonic seconds.
    """

    limits: Limits = field(default_factory=Limits)
    log: Callable[[str], None] = lambda _text: None
    clock: Callable[[], float] = time.monotonic
    _uploads: OrderedDict[Hashable, _Upload] = field(default_factory=OrderedDict)
    _answers: OrderedDict[Hashable, _Answer] = field(default_factory=OrderedDict)
    _answer_bytes: int = 0
    observers: int = 0

    # Request bodies

    def assemble(self, request: Message, max_body: int) -> Message:
        """The request with its whole body, once the last block is here.

        Raises ContinueException (2.31) for more blocks to come; TooLarge as soon as the body is announced
        or grows beyond `max_body`; Incomplete for a block out of order; MalformedRequest for a block that
        is not as long as it says; Unavailable when all places are taken.
        """
        block = request.opt.block1
        announced = max(request.opt.size1 or 0, len(request.payload))
        if block is not None:
            announced = max(announced, block.start + len(request.payload))
        key = transfer_key(request)
        if announced > max_body:
            self._uploads.pop(key, None)
            raise TooLarge(f"a body of {announced} bytes is more than {max_body}", limit=max_body)
        if block is None:
            return request
        _check_block_length(block, request.payload)
        if block.block_number == 0:
            self._uploads.pop(key, None)
            if not block.more:
                return request
            self._uploads[key] = self._admit(peer_host(request))
        upload = self._extend(key, block, request.payload)
        if block.more:
            raise ContinueException((block.block_number, True, min(block.size_exponent, self._szx())))
        del self._uploads[key]
        return request.copy(payload=bytes(upload.body), mid=request.mid, token=request.token)

    def _extend(self, key: Hashable, block: BlockOption.BlockwiseTuple, payload: bytes) -> _Upload:
        upload = self._uploads.get(key)
        if upload is None or len(upload.body) != block.start:
            self._uploads.pop(key, None)
            raise Incomplete("this block does not follow the last one", hint="start again with block 0")
        upload.body += payload
        upload.seen = self.clock()
        self._uploads.move_to_end(key)
        return upload

    def _admit(self, host: str) -> _Upload:
        now = self.clock()
        for key in [k for k, u in self._uploads.items() if now - u.seen > self.limits.upload_idle_s]:
            del self._uploads[key]
        from_host = sum(upload.host == host for upload in self._uploads.values())
        if from_host >= self.limits.uploads_per_host:
            raise Unavailable("too many unfinished uploads from your address", retry_after_s=2)
        if len(self._uploads) >= self.limits.uploads:
            oldest = next(iter(self._uploads))
            if now - self._uploads[oldest].seen < self.limits.upload_steal_s:
                raise Unavailable("too many unfinished uploads", retry_after_s=2)
            del self._uploads[oldest]
        return _Upload(host, bytearray(), now)

    # Answers

    def kept_block(self, request: Message) -> Message | None:
        """The block asked for of an answer that was given before; None when it is not, or no longer, here."""
        answer = self._answers.get(transfer_key(request))
        if answer is None or self.clock() - answer.seen > self.limits.answer_idle_s:
            return None
        answer.seen = self.clock()
        self._answers.move_to_end(transfer_key(request))
        return self._block(request, answer.message)

    def first_block(self, request: Message, answer: Message) -> Message:
        """The part of a fresh answer that fits: all of it, or the block asked for with ETag and Size2.

        An answer longer than a block is kept, so that the later blocks are of the same state.
        """
        asked = request.opt.block2
        size = min(self.limits.max_block, asked.size if asked else self.limits.max_block)
        if len(answer.payload) <= size and (asked is None or asked.block_number == 0):
            if asked is not None and answer.payload:
                answer.opt.block2 = (0, False, size.bit_length() - 5)
            if request.opt.size2 is not None:
                answer.opt.size2 = len(answer.payload)
            return answer
        if answer.opt.etag is None:
            answer.opt.etag = etag_of(answer.payload)
        self._keep(transfer_key(request), answer)
        return self._block(request, answer)

    def _block(self, request: Message, answer: Message) -> Message:
        asked = request.opt.block2 or BlockOption.BlockwiseTuple(0, False, MAX_SZX)
        size = min(self.limits.max_block, asked.size)
        if asked.start and asked.start >= len(answer.payload):
            raise MalformedRequest(f"block {asked.block_number} lies behind the end", where="Block2")
        end = asked.start + size
        part = Message(code=answer.code, payload=answer.payload[asked.start : end])
        for option in answer.opt.option_list():
            part.opt.add_option(option)
        part.transport_tuning = answer.transport_tuning
        part.opt.block2 = (asked.start // size, end < len(answer.payload), size.bit_length() - 5)
        if asked.start == 0:
            part.opt.size2 = len(answer.payload)
        else:
            part.opt.observe = None
        return part

    def _keep(self, key: Hashable, answer: Message) -> None:
        self._forget(key)
        self._answers[key] = _Answer(answer, self.clock())
        self._answer_bytes += len(answer.payload)
        while len(self._answers) > self.limits.answers or self._answer_bytes > self.limits.answer_bytes:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: Hashable) -> None:
        if key in self._answers:
            self._answer_bytes -= len(self._answers.pop(key).message.payload)

    # Observers

    @contextmanager
    def observer(self) -> Iterator[bool]:
        """A place for an observer as long as the context lasts; False when there is none."""
        if self.observers >= self.limits.observers:
            yield False
            return
        self.observers += 1
        try:
            yield True
        finally:
            self.observers -= 1

    def _szx(self) -> int:
        return min(self.limits.max_block.bit_length() - 5, MAX_SZX)


def transfer_key(request: Message) -> Hashable:
    """What all blocks of one transfer have in common: peer, method, and options other than the block's."""
    return request.remote.blockwise_key, request.get_cache_key(_NOT_IN_KEY)


def etag_of(payload: bytes) -> bytes:
    """The entity tag of a representation: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(payload).digest()[:ETAG_LENGTH]


def _check_block_length(block: BlockOption.BlockwiseTuple, payload: bytes) -> None:
    if block.size_exponent > MAX_SZX:
        raise MalformedRequest("block size exponent 7 is reserved", code="bad-option", where="Block1")
    if len(payload) > block.size or (block.more and len(payload) != block.size):
        raise MalformedRequest(f"a block of {len(payload)} bytes, not {block.size}", where="Block1")


def revalidated(request: Message, answer: Message) -> Message:
    """2.03 without payload when the client already has this representation (RFC 7252 section 5.10.6.2)."""
    if answer.code != Code.CONTENT or not request.opt.etags:
        return answer
    if answer.opt.etag is None:
        answer.opt.etag = etag_of(answer.payload)
    if answer.opt.etag not in request.opt.etags:
        return answer
    return Message(code=Code.VALID, etag=answer.opt.etag, max_age=answer.opt.max_age)
