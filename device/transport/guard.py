"""What a datagram must be before aiocoap sees it (RFC 7252 sections 3, 4.2 and 5.10).

aiocoap's parser lets some malformed datagrams through as exceptions on the event loop (text that is not
UTF-8, reserved token lengths) and remembers every option value of an open set it has met for ever. Both are
for a peer to use against a server, so malformed datagrams are dropped here, confirmable ones with a Reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_CONFIRMABLE: Final = 0
_RESET: Final = b"\x70\x00"

# Option number -> least and most bytes of its value (RFC 7252 table 4, 7641, 7959, 7967, 8613, 8768, 9175).
_LENGTHS: Final = {
    1: (0, 8),
    3: (1, 255),
    4: (1, 8),
    5: (0, 0),
    6: (0, 3),
    7: (0, 2),
    8: (0, 255),
    9: (0, 255),
    11: (0, 255),
    12: (0, 2),
    13: (0, 4),
    14: (0, 4),
    15: (0, 255),
    16: (1, 1),
    17: (0, 2),
    20: (0, 255),
    23: (0, 3),
    27: (0, 3),
    28: (0, 4),
    35: (1, 1034),
    39: (1, 255),
    60: (0, 4),
    252: (1, 40),
    258: (0, 1),
    292: (0, 8),
}
_TEXT: Final = frozenset({3, 8, 11, 15, 20, 35, 39})


def fault_of(datagram: bytes) -> str | None:
    """Why this is no CoAP message, or None when it is one."""
    if len(datagram) < 4:
        return "shorter than a header"
    if datagram[0] >> 6 != 1:
        return "another version"
    token_length = datagram[0] & 0xF
    if token_length > 8 or len(datagram) < 4 + token_length:
        return "reserved token length"
    if datagram[1] == 0:
        return "an empty message with content" if len(datagram) > 4 else None
    if datagram[1] >> 5 not in (0, 2, 4, 5):
        return "reserved code class"
    return _options_fault(datagram[4 + token_length :])


def reset_for(datagram: bytes) -> bytes | None:
    """The Reset that refuses a malformed confirmable message; None for what is to be ignored in silence."""
    if len(datagram) < 4 or datagram[0] >> 6 != 1 or datagram[0] >> 4 & 3 != _CONFIRMABLE:
        return None
    return _RESET + datagram[2:4]


def _options_fault(data: bytes) -> str | None:
    try:
        for number, value in _options(data):
            shortest, longest = _LENGTHS.get(number, (0, 1034))
            if not shortest <= len(value) <= longest:
                return f"option {number} of {len(value)} bytes"
            if number in _TEXT:
                value.decode("utf-8")
    except UnicodeDecodeError:
        return "text that is not UTF-8"
    except (IndexError, _Malformed):
        return "options that do not end"
    return None


class _Malformed(Exception):
    """An option header with a reserved value, or a marker without payload."""


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each option up to the payload."""
    at = number = 0
    while at < len(data):
        if data[at] == 0xFF:
            if at + 1 == len(data):
                raise _Malformed
            return
        delta, length = data[at] >> 4, data[at] & 0xF
        at += 1
        delta, at = _extended(delta, data, at)
        length, at = _extended(length, data, at)
        number += delta
        if number > 0xFFFF or at + length > len(data):
            raise _Malformed
        yield number, data[at : at + length]
        at += length


def _extended(nibble: int, data: bytes, at: int) -> tuple[int, int]:
    if nibble < 13:
        return nibble, at
    if nibble == 13:
        return data[at] + 13, at + 1
    if nibble == 14:
        return (data[at] << 8 | data[at + 1]) + 269, at + 2
    raise _Malformed
