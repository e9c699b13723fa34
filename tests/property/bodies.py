"""Request bodies as CBOR and JSON, from a seed: right ones, odd ones and broken ones."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import cbor2

from device.api import CBOR, JSON

FIELDS = (
    "engine",
    "context",
    "context_writable",
    "regions",
    "helpers",
    "budget",
    "timeout_ms",
    "repeat",
    "r0",
    "slot",
    "trigger",
    "index",
    "values",
    "signal",
    "kind",
    "pins",
)
ODD_NUMBERS = (0, 1, -1, 60_000, 60_001, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, -(2**64) - 1, 10**5000, 1.5)
ODD_TEXTS = ("", "auto", "switch", "jit", "00ff", "0", "-1", "x" * 300, "é\u202e", "\0", "4294967296", "01")
# Bytes that are one CBOR item each, or pretend to be: bignums, tags, half-open strings, NaN, simple values.
ODD_CBOR = (
    bytes.fromhex("c249010000000000000000"),
    bytes.fromhex("c34101"),
    bytes.fromhex("c4820102"),
    bytes.fromhex("c48221196ab3"),
    bytes.fromhex("c5822003"),
    bytes.fromhex("d81e820102"),
    bytes.fromhex("d81e820100"),
    bytes.fromhex("d823615b"),
    bytes.fromhex("d82563616263"),
    bytes.fromhex("c074323031332d30332d32315432303a30343a30305a"),
    bytes.fromhex("c11a514b67b0"),
    bytes.fromhex("c1fb7e37e43c8800759c"),
    bytes.fromhex("d9010280"),
    bytes.fromhex("d81c80"),
    bytes.fromhex("d81d00"),
    bytes.fromhex("41ff"),
    bytes.fromhex("f97e00"),
    bytes.fromhex("f97c00"),
    bytes.fromhex("fb7ff8000000000000"),
    bytes.fromhex("f7"),
    bytes.fromhex("f0"),
    bytes.fromhex("f8ff"),
    bytes.fromhex("ff"),
    bytes.fromhex("1c"),
    bytes.fromhex("5f4101ff"),
    bytes.fromhex("7f6161ff"),
    bytes.fromhex("9f01ff"),
    bytes.fromhex("bf6161f4ff"),
    bytes.fromhex("9b7fffffffffffffff"),
    bytes.fromhex("bb7fffffffffffffff"),
    bytes.fromhex("5b7fffffffffffffff"),
    bytes.fromhex("7b7fffffffffffffff"),
    bytes.fromhex("5a00ffffff"),
    bytes.fromhex("d9d9f7a0"),
    bytes.fromhex("61ff"),
    bytes.fromhex("63eda080"),
    bytes.fromhex("a16161"),
    bytes.fromhex("a2616101616102"),
    bytes.fromhex("c25a00010000"),
)


class Bodies:
    """An endless supply of bodies with their content-format, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> tuple[bytes, int | None]:
        make: Callable[[], tuple[bytes, int | None]] = self._random.choice(
            (self._cbor, self._cbor, self._json, self._spliced, self._mutated, self._noise)
        )
        return make()

    def _cbor(self) -> tuple[bytes, int | None]:
        return cbor2.dumps(_encodable(self._map(4))), self._random.choice((CBOR, None))

    def _json(self) -> tuple[bytes, int | None]:
        text = json.dumps(_textual(self._map(4)), ensure_ascii=self._random.random() < 0.5, allow_nan=True)
        return text.encode("utf-8", "surrogatepass"), JSON

    def _spliced(self) -> tuple[bytes, int | None]:
        """A map with one odd item as value, or as key, or beside it."""
        odd = self._random.choice(ODD_CBOR)
        field = cbor2.dumps(self._random.choice(FIELDS))
        shapes = (
            b"\xa1" + field + odd,
            b"\xa1" + odd + b"\x01",
            odd,
            b"\xa0" + odd,
            b"\xa1" + field + b"\x81" + odd,
        )
        return self._random.choice(shapes), CBOR

    def _mutated(self) -> tuple[bytes, int | None]:
        made, content_format = self._random.choice((self._cbor, self._json, self._spliced))()
        data = bytearray(made)
        for _ in range(self._random.randint(1, 3)):
            if data:
                at = self._random.randrange(len(data))
                data[at : at + self._random.randint(0, 2)] = self._random.randbytes(
                    self._random.randint(0, 2)
                )
        return bytes(data), content_format

    def _noise(self) -> tuple[bytes, int | None]:
        depth = self._random.choice((1, 100, 5000))
        nested = self._random.choice(
            (b"\x81" * depth, b"[" * depth, b"\xa1\x00" * depth, b'{"a":' * depth, b"\xc1" * depth)
        )
        return self._random.choice((nested, self._random.randbytes(depth))), self._random.choice(
            (CBOR, JSON, 40, None)
        )

    def _map(self, depth: int) -> dict[Any, Any]:
        keys: list[Any] = [
            *FIELDS,
            *FIELDS,
            "7",
            "4294967295",
            "\udce9",
            3,
            -1,
            None,
            True,
            1.5,
            b"k",
            (1, 2),
            "bytes",
        ]
        return {self._random.choice(keys): self._value(depth) for _ in range(self._random.randint(0, 4))}

    def _value(self, depth: int) -> Any:
        choose = self._random.choice
        kinds: list[Callable[[], Any]] = [
            lambda: choose(ODD_NUMBERS),
            lambda: choose(ODD_TEXTS),
            lambda: choose((None, True, False, float("nan"), float("inf"), b"", b"ab", b"\xff" * 70)),
            lambda: struct.unpack("d", self._random.randbytes(8))[0],
        ]
        if depth:
            kinds += [
                lambda: [self._value(depth - 1) for _ in range(choose((0, 1, 3, 17)))],
                lambda: self._map(depth - 1),
            ]
        return choose(kinds)()


def _textual(value: Any) -> Any:
    """What JSON can say of it: hex for bytes, text for keys."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and abs(value) > 10**4000:
        return 10**4000
    if isinstance(value, list):
        return [_textual(item) for item in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _textual(item) for key, item in value.items()}
    return value


def _encodable(value: Any) -> Any:
    """What CBOR can say of it: no halves of surrogate pairs, which only JSON has."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value.replace("\udce9", "e") if isinstance(value, str) else value
