"""The types of the grammar, checked exactly: `true` is no 1, a byte string no text (suit.md section 2)."""

from __future__ import annotations

from typing import Any, Final

from device.suit import cbor
from device.suit.refusals import Refusal, refuse

MAX_UINT: Final = 2**32 - 1
MAX_POLICY: Final = 15
UUID_SIZE: Final = 16
SHA256_SIZE: Final = 32


def bytes_of(value: Any, where: str) -> bytes:
    """A byte string. Raises SuitError MALFORMED, as all of these do."""
    if not isinstance(value, bytes):
        raise refuse(Refusal.MALFORMED, f"{where}: must be a byte string", where=where)
    return value


def text_of(value: Any, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise refuse(Refusal.MALFORMED, f"{where}: must be text", where=where)
    return value


def uint_of(value: Any, where: str, most: int = MAX_UINT) -> int:
    """An integer from 0 to `most`."""
    if type(value) is not int or not 0 <= value <= most:
        raise refuse(Refusal.MALFORMED, f"{where}: must be an integer from 0 to {most}", where=where)
    return value


def list_of(raw: Any, where: str) -> list[Any]:
    """The array that a byte string wraps."""
    value = cbor.decode(bytes_of(raw, where), where)
    if not isinstance(value, list):
        raise refuse(Refusal.MALFORMED, f"{where}: must be an array", where=where)
    return value


def map_of(raw: Any, where: str) -> dict[Any, Any]:
    """The map that a byte string wraps."""
    value = cbor.decode(bytes_of(raw, where), where)
    if not isinstance(value, dict):
        raise refuse(Refusal.MALFORMED, f"{where}: must be a map", where=where)
    return value


def digest_of(value: Any, algorithm: int, where: str) -> bytes:
    """The 32 bytes of a digest array `[algorithm, bytes]`."""
    shaped = isinstance(value, list) and len(value) == 2 and type(value[0]) is int and value[0] == algorithm
    if not shaped or not isinstance(value[1], bytes) or len(value[1]) != SHA256_SIZE:
        raise refuse(Refusal.MALFORMED, f"{where}: must be [{algorithm}, 32 bytes], a SHA-256", where=where)
    return value[1]


def wrapped_digest(raw: Any, algorithm: int, where: str) -> bytes:
    """The 32 bytes of a digest array in a byte string."""
    return digest_of(cbor.decode(bytes_of(raw, where), where), algorithm, where)
