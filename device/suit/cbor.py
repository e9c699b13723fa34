"""Strict CBOR: exactly one item, canonical, of few types (suit.md section 2, RFC 8949 section 4.2.1).

cbor2 decodes, with every strict switch it has; the item is then taken only if its types are the exact ones
of the list below and its canonical encoding equals the received bytes. That equality is what refuses
indefinite lengths, longer forms, unordered or repeated keys and trailing bytes, whatever the library does.
Before it runs, a scan of the heads refuses lengths beyond the input and nesting beyond the limit, so that
nothing is allocated or recursed into on the word of the sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cbor2

from device.suit.refusals import Refusal, refuse

MAX_DEPTH: Final = 8

_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_SIMPLE_VALUES: Final = frozenset({20, 21, 22})

TAGS: Final = frozenset({18, 107, 112})
"""COSE_Sign1, SUIT envelope, vendor as enterprise number. cbor2 would give any other one a meaning."""


def decode(data: bytes, where: str) -> Any:
    """The one item that `data` is. Tags come as cbor2.CBORTag.

    Raises SuitError MALFORMED or TOO_COMPLEX, naming `where`.
    """
    _scan(data, where)
    try:
        decoded = cbor2.loads(
            data, max_depth=2 * MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False
        )
        value = _plain(decoded)
        again = encode(value)
    except Exception as error:  # cbor2 raises many kinds; every one means the same here
        raise refuse(Refusal.MALFORMED, f"{where}: no CBOR: {type(error).__name__}", where=where) from error
    _check_types(value, where)
    if again != data:
        raise refuse(Refusal.MALFORMED, f"{where}: not the canonical encoding", where=where)
    return value


def encode(value: Any) -> bytes:
    """The canonical encoding: shortest forms, keys ascending by their encoded bytes."""
    return cbor2.dumps(_ordered(value))


def _plain(value: Any) -> Any:
    """The same with lists and dicts: inside a tag cbor2 gives tuples and frozen maps."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, cbor2.CBORTag):
        return cbor2.CBORTag(value.tag, _plain(value.value))
    return value


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: cbor2.dumps(item[0]))
        return {key: _ordered(item) for key, item in items}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if isinstance(value, cbor2.CBORTag):
        return cbor2.CBORTag(value.tag, _ordered(value.value))
    return value


def _check_types(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) not in (int, str):
                raise refuse(Refusal.MALFORMED, f"{where}: a map key that is no integer or text", where=where)
            _check_types(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_types(item, where)
    elif isinstance(value, cbor2.CBORTag):
        _check_types(value.value, where)
    elif value is not None and type(value) not in (bool, int, str, bytes):
        raise refuse(Refusal.MALFORMED, f"{where}: a {type(value).__name__} is not allowed", where=where)


def _scan(data: bytes, where: str) -> None:
    """Walk over the heads alone: lengths within the input, nesting within the limit."""
    if not data:
        raise refuse(Refusal.MALFORMED, f"{where}: empty", where=where)
    position, open_items = 0, [1]
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        major, argument, position = _head(data, position, where)
        if major in (_BYTES, _TEXT):
            position += argument
            if position > len(data):
                raise _short(where)
        elif major in (_ARRAY, _MAP, _TAG):
            if major == _TAG and argument not in TAGS:
                raise refuse(Refusal.MALFORMED, f"{where}: tag {argument}", where=where)
            count = {_ARRAY: argument, _MAP: 2 * argument, _TAG: 1}[major]
            if count > len(data) - position:
                raise _short(where)
            if len(open_items) > MAX_DEPTH:
                raise refuse(Refusal.TOO_COMPLEX, f"{where}: nested deeper than {MAX_DEPTH}", where=where)
            open_items.append(count)
        elif major == _SIMPLE and argument not in _SIMPLE_VALUES:
            raise refuse(Refusal.MALFORMED, f"{where}: a float or simple value", where=where)
    if position != len(data):
        raise refuse(Refusal.MALFORMED, f"{where}: bytes follow the item", where=where)


def _head(data: bytes, position: int, where: str) -> tuple[int, int, int]:
    """(major type, argument, position after the head)."""
    if position >= len(data):
        raise _short(where)
    major, info = data[position] >> 5, data[position] & 0x1F
    position += 1
    if info < 24:
        return major, info, position
    if info > 27 or major == _SIMPLE:
        raise refuse(Refusal.MALFORMED, f"{where}: indefinite length, float or reserved head", where=where)
    size = 1 << (info - 24)
    if position + size > len(data):
        raise _short(where)
    return major, int.from_bytes(data[position : position + size], "big"), position + size


def _short(where: str) -> Exception:
    return refuse(Refusal.MALFORMED, f"{where}: a length beyond the end", where=where)
