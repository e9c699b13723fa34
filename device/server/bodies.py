"""Bodies of requests: what `device.api` decodes, as long as it says one thing only (api.md)."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, Final

import cbor2

from device import api
from device.api import JSON, shown_key
from device.errors import MalformedRequest

_CBOR_SAYS: Final = "Duplicate map key: "


def decode(payload: bytes, content_format: int | None) -> Any:
    """The value of a body in CBOR (also when no format is given) or JSON.

    Raises UnsupportedFormat, and MalformedRequest for what does not decode or has a key twice in a map.
    """
    value = api.decode_body(payload, content_format)
    # What decodes at all is decoded again: answers of other devices are none of our business, requests are.
    if content_format == JSON:
        try:
            json.loads(payload.decode(), object_pairs_hook=_without_repeats)
        except RecursionError as error:  # looking at the keys goes one call deeper than decoding did
            raise MalformedRequest("the payload is nested too deep") from error
        return value
    try:
        cbor2.CBORDecoder(BytesIO(payload), allow_duplicate_keys=False).decode()
    except cbor2.CBORError as error:
        key = str(error).partition(_CBOR_SAYS)[2].strip("'")
        raise _repeated(key) from error
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _repeated(key)
        seen.add(key)


def _repeated(key: str) -> MalformedRequest:
    shown = shown_key(key)
    return MalformedRequest(f"the key {shown!r} is there twice", where=shown)
