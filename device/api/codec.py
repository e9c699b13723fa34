"""Maps as CBOR and JSON: what goes over the wire, in both directions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import cbor2

from device.errors import MalformedRequest, UnsupportedFormat

CBOR: Final = 60
JSON: Final = 50
PROBLEM_CBOR: Final = 257


def decode_body(payload: bytes, content_format: int | None) -> Any:
    """The map that a payload says, from CBOR (also when no format is given) or JSON.

    Raises UnsupportedFormat for any other format, MalformedRequest for what does not decode.
    """
    if content_format not in (None, CBOR, JSON):
        raise UnsupportedFormat(
            f"content-format {content_format} is not offered", hint="send CBOR (60) or JSON (50)"
        )
    try:
        if content_format == JSON:
            return json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
        stream = BytesIO(payload)
        value = cbor2.CBORDecoder(stream).decode()
        if stream.read(1):
            raise MalformedRequest("bytes follow the CBOR map")
    except MalformedRequest:
        raise
    except (
        cbor2.CBORError,
        ValueError,
        EOFError,
        RecursionError,
        OverflowError,
        MemoryError,
        TypeError,
    ) as error:
        name = "JSON" if content_format == JSON else "CBOR"
        raise MalformedRequest(f"the payload is no {name}: {type(error).__name__}") from error
    return value


def _refuse_constant(text: str) -> Any:
    raise MalformedRequest(f"{text} is not a JSON number")


def encode_body(value: Any, content_format: int) -> bytes:
    """A map as CBOR or JSON; bytes become lower-case hex in JSON."""
    if content_format == JSON:
        return json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":")).encode()
    return cbor2.dumps(value)


def jsonable(value: Any) -> Any:
    """The same value with bytes as hex and all keys as text."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def hex64(value: int) -> str:
    """How 64-bit results travel: `0x` and 16 digits."""
    return f"0x{value & (1 << 64) - 1:016x}"
