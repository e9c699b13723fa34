"""A packet as a program's context: its buffer, a view of it, and how a reply is built (helpers.md section 5).

    packet = Packet(PacketRequest(True, 0x1234, token, 1, options, payload))
    memory = build_memory(program, data, packet.context, context_writable=False) with packet.regions
    helpers 0x40 to 0x43 call begin, add_format, finish; after the run packet.reply(r0) reads the buffer

The bytes are CoAP's (RFC 7252 section 3), since that is what programs are written against; who sends them and
how is no business of the virtual machine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from device.errors import MicroBpfError
from device.vm.arithmetic import signed
from device.vm.memory import CONTEXT_BASE, PACKET_BUFFER_BASE, PACKET_VIEW_BASE, Region

BUFFER_SIZE: Final = 128
HEADER: Final = 4
MAX_TOKEN: Final = 8
PAYLOAD_MARKER: Final = 0xFF

EINVAL: Final = 22
ENOSPC: Final = 28

_VERSION: Final = 1 << 6
_NON: Final = 1
_ACK: Final = 2
_CONTENT_FORMAT: Final = 12
_CONTEXT: Final = struct.Struct("<QQQ")
_VIEW: Final = struct.Struct("<IIIHH")
_BLOCKS: Final = (23, 27)
_RESPONSES: Final = range(2 << 5, 6 << 5)


@dataclass(frozen=True, slots=True)
class PacketRequest:
    """What was asked, as decoded from the wire: `options` in order, `payload` of all blocks."""

    confirmable: bool
    message_id: int
    token: bytes
    code: int
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class PacketReply:
    """What a program answered: message type, id and token are those of the exchange."""

    code: int
    options: tuple[tuple[int, bytes], ...]
    payload: bytes


class Packet:
    """The packet of one run. `token_first` is the order of the view (Profile.token_first)."""

    def __init__(
        self, request: PacketRequest, capacity: int = BUFFER_SIZE, *, token_first: bool = False
    ) -> None:
        self._request = request
        self._token_first = token_first
        options = [(number, value) for number, value in request.options if number not in _BLOCKS]
        head = _header(0 if request.confirmable else _NON, request, request.code)
        encoded = head + encode_options(options)
        payload_at = len(encoded)
        if request.payload:
            encoded += bytes([PAYLOAD_MARKER])
            payload_at += 1
        encoded = (encoded + request.payload)[:capacity]
        content = bytearray(encoded.ljust(capacity, b"\0"))
        self._buffer = Region("the packet buffer", PACKET_BUFFER_BASE, content, writable=True)
        view = bytearray(_VIEW.size)
        self._view = Region("the packet view", PACKET_VIEW_BASE, view, writable=False, updated=True)
        self.context = bytearray(_CONTEXT.pack(PACKET_VIEW_BASE, PACKET_BUFFER_BASE, capacity))
        self._begun = self._finished = False
        self._at = min(payload_at, capacity)
        self._free = max(len(encoded) - payload_at, 0)
        self._options = len(options)
        self._last_option = 0
        self._show()

    @property
    def regions(self) -> tuple[Region, ...]:
        """View and buffer; the context is the run's own region, read-only."""
        return (self._view, self._buffer)

    @property
    def buffer(self) -> bytearray | memoryview:
        """The bytes of the buffer, wherever an engine keeps them while it runs."""
        return self._buffer.data

    # What the helpers do; results are C's

    def begin(self, code: int) -> int:
        """0x40: rebuild the header. 0, or -1 when it does not fit or that is no code."""
        kind = _ACK if self._request.confirmable else _NON
        if not 0 <= code <= 0xFF or HEADER + len(self._request.token) > len(self.buffer):
            return -1
        head = _header(kind, self._request, code)
        self.buffer[: len(head)] = head
        self._begun, self._finished = True, False
        self._at, self._free = len(head), len(self.buffer) - len(head)
        self._options = self._last_option = 0
        self._show()
        return 0

    def add_format(self, content_format: int) -> int:
        """0x42: append option 12. Bytes added, or a negative error."""
        if not self._begun or self._finished or content_format > 0xFFFF:
            return -EINVAL
        option = encode_option(_CONTENT_FORMAT - self._last_option, _shortest(content_format))
        if len(option) > self._free:
            return -ENOSPC
        self.buffer[self._at : self._at + len(option)] = option
        self._advance(len(option))
        self._options += 1
        self._last_option = _CONTENT_FORMAT
        self._show()
        return len(option)

    def finish(self, flags: int) -> int:
        """0x41: end the options; with bit 0 a payload follows. Length so far, or a negative error."""
        if not self._begun or self._finished:
            return -EINVAL
        if flags & 1:
            if self._free < 1:
                return -ENOSPC
            self.buffer[self._at] = PAYLOAD_MARKER
            self._advance(1)
        else:
            self._free = 0
        self._finished = True
        self._show()
        return self._at

    @property
    def payload_address(self) -> int:
        """0x43: where the payload begins."""
        return PACKET_BUFFER_BASE + self._at

    @property
    def context_address(self) -> int:
        """The only context that these helpers take."""
        return CONTEXT_BASE

    def reply(self, r0: int) -> PacketReply:
        """What the program answered with its result, the length of the message.

        Raises MicroBpfError `bad-reply` that shows the length and says what is wrong.
        """
        length = signed(r0, 32)
        least = HEADER + len(self._request.token)
        if not least <= length <= len(self.buffer):
            raise _bad_reply(length, f"a reply has {least} to {len(self.buffer)} bytes")
        message = bytes(self.buffer[:length])
        if message[0] & 0xC0 != _VERSION or message[0] & 0x0F != len(self._request.token):
            raise _bad_reply(length, f"the header begins with 0x{message[0]:02x}")
        if message[1] not in _RESPONSES:
            raise _bad_reply(length, f"0x{message[1]:02x} is no response code")
        options, payload = _decode_options(message, least)
        return PacketReply(message[1], options, payload)

    def _advance(self, count: int) -> None:
        self._at += count
        self._free -= count

    def _show(self) -> None:
        """Bring the view up to date."""
        payload = PACKET_BUFFER_BASE + self._at
        token = PACKET_BUFFER_BASE + HEADER if self._request.token else 0
        places = (token, payload) if self._token_first else (payload, token)
        self._view.data[:] = _VIEW.pack(PACKET_BUFFER_BASE, *places, self._free, self._options & 0xFFFF)


def _header(kind: int, request: PacketRequest, code: int) -> bytes:
    token = request.token[:MAX_TOKEN]
    first = _VERSION | kind << 4 | len(token)
    return bytes([first, code]) + (request.message_id & 0xFFFF).to_bytes(2, "big") + token


def _shortest(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options in ascending order of their numbers, without the end marker."""
    encoded, last = bytearray(), 0
    for number, value in options:
        encoded += encode_option(number - last, value)
        last = number
    return bytes(encoded)


def encode_option(delta: int, value: bytes) -> bytes:
    """One option (RFC 7252 section 3.1)."""
    (first, more), (size, more_size) = _nibble(delta), _nibble(len(value))
    return bytes([first << 4 | size]) + more + more_size + value


def _nibble(number: int) -> tuple[int, bytes]:
    if number < 13:
        return number, b""
    if number < 269:
        return 13, bytes([number - 13])
    return 14, (number - 269).to_bytes(2, "big")


def _decode_options(message: bytes, at: int) -> tuple[tuple[tuple[int, bytes], ...], bytes]:
    """The options from `at` on and the payload behind them; a marker without payload is dropped."""
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(message):
        if message[at] == PAYLOAD_MARKER:
            return tuple(options), message[at + 1 :]
        first = message[at]
        delta, at = _extended(message, first >> 4, at + 1)
        size, at = _extended(message, first & 0x0F, at)
        number += delta
        if at + size > len(message) or number > 0xFFFF:
            raise _bad_reply(len(message), "an option goes beyond the end")
        options.append((number, message[at : at + size]))
        at += size
    return tuple(options), b""


def _extended(message: bytes, nibble: int, at: int) -> tuple[int, int]:
    """The number that a nibble begins, and where the next one does."""
    if nibble < 13:
        return nibble, at
    size = nibble - 12
    if nibble == 15 or at + size > len(message):
        raise _bad_reply(len(message), "an option is not encoded as options are")
    return int.from_bytes(message[at : at + size], "big") + (13 if size == 1 else 269), at + size


def _bad_reply(length: int, what: str) -> MicroBpfError:
    return MicroBpfError(
        f"the program's result {length} makes no reply: {what}",
        code="bad-reply",
        where="r0",
        hint="return what bpf_coap_opt_finish gave plus the bytes of the payload",
    )
