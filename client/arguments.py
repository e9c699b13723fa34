"""What people write on the command line, as values. Each raises ConfigError that names the argument."""

from __future__ import annotations

from collections.abc import Iterable

from device.api import RegionSpec
from device.errors import ConfigError


def hex_bytes(text: str, where: str) -> bytes:
    """`00 ff`, `00ff` or `0x00ff` as bytes."""
    try:
        return bytes.fromhex(text.removeprefix("0x").replace("_", ""))
    except ValueError:
        raise ConfigError(
            f"{text!r} is not hexadecimal",
            code="argument",
            where=where,
            hint="two digits a byte, such as 00ff",
        ) from None


def region(text: str) -> RegionSpec:
    """`HEX` is a writable region, `HEX:ro` one that can only be read."""
    content, colon, mode = text.partition(":")
    if colon and mode not in ("ro", "rw"):
        raise ConfigError(f"{mode!r} is no kind of region: ro or rw", code="argument", where="--region")
    return RegionSpec(hex_bytes(content, "--region"), writable=mode != "ro")


def helper_ids(text: str | None) -> tuple[int, ...] | None:
    """`0x01,0x13` as ids; an empty list allows none, None does not narrow."""
    if text is None:
        return None
    return tuple(number(item, "--helpers") for item in text.replace(",", " ").split())


def number(text: str, where: str) -> int:
    """A decimal or `0x` number, negative ones included."""
    try:
        return int(text, 0)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no number", code="argument", where=where, hint="such as 19 or 0x13"
        ) from None


def count(text: str, where: str) -> int:
    """The same, and not below 0 or beyond 32 bits."""
    value = number(text, where)
    if not 0 <= value < 2**32:
        raise ConfigError(f"{text} is no number of bytes", code="argument", where=where)
    return value


def store_changes(texts: Iterable[str]) -> dict[str, int | None]:
    """`KEY=VALUE` sets, `KEY=` deletes; values from -2^31 to 2^32 - 1 are sent as u32."""
    changes: dict[str, int | None] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"{text!r} is no assignment", code="argument", where=text, hint="KEY=VALUE, or KEY= to delete"
            )
        changes[str(_u32(key, text))] = _u32(value, text) if value else None
    return changes


def _u32(text: str, where: str) -> int:
    value = number(text, where)
    if not -(2**31) <= value < 2**32:
        raise ConfigError(f"{text} does not fit into 32 bits", code="argument", where=where)
    return value & 0xFFFFFFFF
