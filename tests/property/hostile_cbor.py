"""CBOR as a hostile sender makes it: changed bytes, changed values, and values in encodings that lie."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import cbor2

KEYS = (0, 1, 2, 3, 9, 20, 23, 99, -5, "text", b"bytes")
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, 7, 23, 24, 255, 256, 2**16, 2**31, 2**32, 2**63, 2**64 - 1, -1, -(2**63), 2**64,
    2**200, 1.5, float("nan"), float("inf"), "", "x", "coap://[fd00::1]/y", "http://host/", "\0", "x" * 300,
    b"", b"\0", b"x" * 16, b"x" * 32, b"x" * 5000, [], {}, [[]], cbor2.CBORTag(1, 0), cbor2.undefined,
    cbor2.CBORSimpleValue(99),
)  # fmt: skip
# Heads that announce: no end, too much, a tag, a break, a simple value in two bytes, a longer form, a depth.
HEADS = (
    b"\x5f", b"\x9f", b"\xbf", b"\xff", b"\xdb" + b"\xff" * 8, b"\x9b" + b"\xff" * 8,
    b"\x5b\x7f" + b"\xff" * 7, b"\xf8\x00", b"\x18\x01", b"\x81" * 2000, b"\xc2\x41\x01",
)  # fmt: skip


def mutate_bytes(source: random.Random, data: bytes) -> bytes:
    """One to three changes of raw bytes: flips, cuts, insertions, repeated parts, other heads."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(changed)) if changed else 0
        match source.randrange(7):
            case 0 if changed:
                changed[at] ^= 1 << source.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = source.randbytes(source.randint(1, 9))
            case 3:
                changed[at:at] = changed[at : at + source.randint(1, 40)]
            case 4:
                del changed[at : at + source.randint(1, 9)]
            case 5 if changed:
                changed[at : at + 1] = source.choice(HEADS)
            case _:
                changed += source.randbytes(source.randint(1, 4))
    return bytes(changed)


def mutate_value(source: random.Random, value: Any) -> Any:
    """The value with one part, at any depth, replaced, removed, doubled, wrapped or re-keyed."""
    inner = wrapped(value)
    if inner is not None and source.random() < 0.6:
        return encoded(mutate_value(source, inner))
    if isinstance(value, list) and value and source.random() < 0.8:
        return _mutate_list(source, list(value))
    if isinstance(value, dict) and value and source.random() < 0.8:
        return _mutate_map(source, dict(value))
    if isinstance(value, cbor2.CBORTag) and source.random() < 0.8:
        return cbor2.CBORTag(value.tag, mutate_value(source, thawed(value.value)))
    return source.choice((*SCALARS, [value], {0: value}, [value, value]))


def _mutate_list(source: random.Random, items: list[Any]) -> list[Any]:
    at = source.randrange(len(items))
    match source.randrange(5):
        case 0:
            del items[at]
        case 1:
            items.insert(at, source.choice(items))
        case 2:
            items.insert(at, source.choice(SCALARS))
        case _:
            items[at] = mutate_value(source, items[at])
    return items


def _mutate_map(source: random.Random, items: dict[Any, Any]) -> dict[Any, Any]:
    key = source.choice(list(items))
    match source.randrange(5):
        case 0:
            del items[key]
        case 1:
            items[source.choice(KEYS)] = source.choice(SCALARS)
        case _:
            items[key] = mutate_value(source, items[key])
    return items


def thawed(value: Any) -> Any:
    """What is inside a tag, where cbor2 gives tuples and frozen maps, as lists and maps."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, list | tuple) else value


def wrapped(value: Any) -> Any:
    """The array, map or tag that is encoded in a byte string; None where there is none."""
    if not isinstance(value, bytes) or len(value) < 2:
        return None
    try:
        inner = cbor2.loads(value)
        again = encoded(inner)
    except Exception:  # noqa: BLE001  # any bytes
        return None
    return inner if isinstance(inner, list | dict | cbor2.CBORTag) and again == value else None


def encoded(value: Any) -> bytes:
    """As it should be."""
    return cbor2.dumps(value, canonical=True)


def sloppy(source: random.Random, value: Any, rate: float = 0.03) -> bytes:
    """The value in an encoding that is not the canonical one, at each item with a chance of `rate`."""
    parts = _parts(source, value, rate)
    if source.random() >= rate:
        return _right(value, parts)
    return source.choice(_DISTORTIONS)(source, value, parts)


def _parts(source: random.Random, value: Any, rate: float) -> list[bytes]:
    """The encoded items of a container; the content of a string."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: encoded(pair[0]))
        return [sloppy(source, part, rate) for pair in pairs for part in pair]
    if isinstance(value, list | tuple):
        return [sloppy(source, part, rate) for part in value]
    if isinstance(value, cbor2.CBORTag):
        return [sloppy(source, value.value, rate)]
    if isinstance(value, bytes):
        inner = wrapped(value)
        return [value if inner is None else sloppy(source, inner, rate)]
    return [value.encode()] if isinstance(value, str) else []


def _kind(value: Any, parts: list[bytes]) -> tuple[int, int]:
    """Major type and argument."""
    if isinstance(value, dict):
        return 5, len(parts) // 2
    if isinstance(value, list | tuple):
        return 4, len(parts)
    if isinstance(value, cbor2.CBORTag):
        return 6, value.tag
    if isinstance(value, bytes | str):
        return 3 if isinstance(value, str) else 2, len(parts[0])
    if isinstance(value, int) and not isinstance(value, bool):
        return (0, value) if value >= 0 else (1, -1 - value)
    return 7, {False: 20, True: 21}.get(value, 22)


def head(major: int, argument: int, width: int = 0) -> bytes:
    """A head with its argument in so many bytes, 0: in as few as can be."""
    argument &= 2**64 - 1
    if not width and argument < 24:
        return bytes([major << 5 | argument])
    least = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    size = max(width, least)
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + argument.to_bytes(size, "big")


def _right(value: Any, parts: list[bytes]) -> bytes:
    return head(*_kind(value, parts)) + b"".join(parts)


def _longer(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    return head(*_kind(value, parts), source.choice((1, 2, 4, 8))) + b"".join(parts)


def _lying(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    """A length, a count, a tag or a number that is another one."""
    major, argument = _kind(value, parts)
    off = source.choice((-1, 1, 2, 2**8, 2**16, 2**31, 2**32, 2**63))
    return head(major, max(0, argument + off)) + b"".join(parts)


def _indefinite(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    major = _kind(value, parts)[0]
    inside = b"".join(head(major, len(part)) + part for part in parts) if major in (2, 3) else b"".join(parts)
    return bytes([major << 5 | 31]) + inside + source.choice((b"\xff", b""))


def _repeated(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    """A map with a key twice, an array with an item twice."""
    step = 2 if isinstance(value, dict) else 1
    if not isinstance(value, dict | list) or not parts:
        return _right(value, parts) * 2
    at = source.randrange(0, len(parts), step)
    return _right(value, [*parts[: at + step], *parts[at:]])


def _shuffled(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    step = 2 if isinstance(value, dict) else 1
    groups = [b"".join(parts[at : at + step]) for at in range(0, len(parts), step)]
    source.shuffle(groups)
    return head(*_kind(value, parts)) + b"".join(groups)


def _tagged(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    tag = source.choice((0, 1, 2, 3, 4, 18, 24, 28, 29, 30, 107, 258, 55799, 2**64 - 1))
    return head(6, tag) + _right(value, parts)


def _nested(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    opening = source.choice((b"\x81", b"\xa1\x00", b"\xd2", b"\x9f"))
    return opening * source.choice((1, 7, 8, 9, 40, 3000)) + _right(value, parts)


def _big(source: random.Random, value: Any, parts: list[bytes]) -> bytes:
    """A number of any size, or what the value is, as a bignum."""
    number = value if type(value) is int and value >= 0 else 1 << source.choice((8, 64, 4000))
    raw = number.to_bytes((number.bit_length() + 7) // 8 + source.randrange(2), "big")
    return source.choice((b"\xc2", b"\xc3")) + head(2, len(raw)) + raw


_DISTORTIONS: tuple[Callable[[random.Random, Any, list[bytes]], bytes], ...] = (
    _longer, _lying, _indefinite, _repeated, _shuffled, _tagged, _nested, _big,
)  # fmt: skip
