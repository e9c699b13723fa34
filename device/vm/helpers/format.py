"""The text of bpf_printf: C's conversions without its dangers (helpers.md section 6).

Nothing here writes to guest memory, and no width or precision costs more than the 512 bytes that a call
may produce: text is as long as C says, only the part that will be seen exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.arithmetic import signed

MAX_OUTPUT: Final = 512
MISSING: Final = b"(missing)"
NULL: Final = b"(null)"

# Flags, width, precision, length, letter. Every part may be empty, so matching never goes back.
_CONVERSION: Final = re.compile(rb"%([-+ 0#]*)(\*|\d*)(?:\.(\*|\d*))?(hh?|ll?|[jzt])?(.?)", re.DOTALL)
_BITS: Final = {b"hh": 8, b"h": 16}
_DIGITS: Final = {b"d": "d", b"i": "d", b"u": "d", b"o": "o", b"x": "x", b"X": "X", b"p": "x"}
_STAR: Final = b"*"

ReadString = Callable[[int, int, int | None], bytes]
"""(argument number in the call, address, precision) → the bytes of a `%s`; raises GuestFault."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion as it stands in the format; `precision` is None when there is no point."""

    text: bytes
    flags: bytes
    width: bytes
    precision: bytes | None
    length: bytes
    letter: bytes


Piece = bytes | Conversion


def parse(template: bytes) -> list[Piece] | None:
    """Literal text and conversions in order; None when the last conversion is unterminated."""
    pieces: list[Piece] = []
    at = 0
    for match in _CONVERSION.finditer(template):
        pieces.append(template[at : match.start()])
        at = match.end()
        flags, width, precision, length, letter = match.groups()
        if not letter:
            return None
        if letter == b"%":
            pieces.append(b"%")
        elif letter in _DIGITS or letter in (b"c", b"s"):
            pieces.append(Conversion(match[0], flags, width, precision, length or b"", letter))
        else:
            pieces.append(match[0])
    pieces.append(template[at:])
    return pieces


@dataclass(frozen=True, slots=True)
class Text:
    """What a format gives: at most MAX_OUTPUT bytes, and whether arguments were missing."""

    content: bytes
    missing: bool


def render(pieces: Sequence[Piece], values: Sequence[int], read_string: ReadString) -> Text:
    """The text for 32-bit `values`, which are the arguments of the call from number 2 on.

    All strings are read, also those that the cut leaves out: their pointers are part of the contract.
    """
    output, missing = bytearray(), False
    arguments = iter(enumerate(values, 2))
    for piece in pieces:
        if isinstance(piece, Conversion):
            converted = _convert(piece, arguments, read_string)
            missing = missing or converted is None
            output += MISSING if converted is None else converted
        else:
            output += piece
    return Text(bytes(output[:MAX_OUTPUT]), missing)


def _convert(
    conversion: Conversion, arguments: Iterator[tuple[int, int]], read_string: ReadString
) -> bytes | None:
    """The bytes of a conversion, with no more padding than can be seen; None without an argument left."""
    try:
        width = _number(conversion.width, arguments) or 0
        precision = None if conversion.precision is None else _number(conversion.precision, arguments) or 0
        position, value = next(arguments)
    except StopIteration:
        return None
    left = b"-" in conversion.flags or width < 0
    width = abs(width)
    if precision is not None and precision < 0:
        precision = None
    if conversion.letter == b"c":
        return _pad(bytes([value & 0xFF]), 1, width, left)
    if conversion.letter == b"s":
        text = NULL[:precision] if value == 0 else read_string(position, value, precision)
        return _pad(text, len(text), width, left)
    return _integer(conversion, value, width, precision, left)


def _number(text: bytes, arguments: Iterator[tuple[int, int]]) -> int | None:
    """A width or precision: decimal, from an int argument, or empty."""
    if text == _STAR:
        return signed(next(arguments)[1], 32)
    return int(text) if text else None


def _integer(conversion: Conversion, value: int, width: int, precision: int | None, left: bool) -> bytes:
    """C17 section 7.21.6.1: `precision` is the least number of digits, `0` fills up to the width."""
    bits = _BITS.get(conversion.length, 32)
    value = signed(value, bits) if conversion.letter in b"di" else value & ((1 << bits) - 1)
    digits = "" if value == 0 and precision == 0 else format(abs(value), _DIGITS[conversion.letter])
    prefix = _prefix(conversion, value)
    zeros = max((precision or 0) - len(digits), 0)
    if conversion.letter == b"o" and b"#" in conversion.flags and zeros == 0 and not digits.startswith("0"):
        zeros = 1
    if b"0" in conversion.flags and not left and precision is None:
        zeros = max(width - len(prefix) - len(digits), zeros)
    body = prefix.encode() + b"0" * min(zeros, MAX_OUTPUT) + digits.encode()
    return _pad(body, len(prefix) + zeros + len(digits), width, left)


def _prefix(conversion: Conversion, value: int) -> str:
    match conversion.letter:
        case b"p":
            return "0x"
        case b"x" | b"X" if b"#" in conversion.flags and value:
            return "0" + conversion.letter.decode()
        case b"d" | b"i" if value < 0:
            return "-"
        case b"d" | b"i" if b"+" in conversion.flags:
            return "+"
        case b"d" | b"i" if b" " in conversion.flags:
            return " "
        case _:
            return ""


def _pad(body: bytes, length: int, width: int, left: bool) -> bytes:
    """`body`, of which `length` bytes would be there without the cut, in a field of `width`."""
    spaces = b" " * min(max(width - length, 0), MAX_OUTPUT)
    return body + spaces if left else spaces + body
