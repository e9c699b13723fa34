"""Values with a map form, and how the fields of a map become those of a value."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from device.errors import MalformedRequest


class Message:
    """A value with a map form. Subclasses are frozen dataclasses; None fields that are optional stay out
    only where `OMIT_NONE` names them."""

    OMIT_NONE: frozenset[str] = frozenset()

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> Self:
        """Build from a decoded map. Raises MalformedRequest naming the field."""
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"expected a map, got {kind_of(value)}")
        hints = get_type_hints(cls)
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]  # subclasses are dataclasses
        unknown = [shown_key(key) for key in value if not (isinstance(key, str) and key in known)]
        if unknown and strict:
            raise MalformedRequest(
                f"unknown field {unknown[0]!r}", where=unknown[0], hint="known: " + ", ".join(known)
            )
        arguments = {}
        for name, item in known.items():
            if name in value:
                arguments[name] = coerce(value[name], hints[name], name, strict)
            elif item.default is MISSING and item.default_factory is MISSING:
                raise MalformedRequest(f"field {name!r} is missing", where=name)
        return cls(**arguments)

    def to_map(self) -> dict[str, Any]:
        """The map that goes on the wire."""
        shown: dict[str, Any] = {}
        for item in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, item.name)
            if value is None and item.name in self.OMIT_NONE:
                continue
            shown[item.name] = _plain(value)
        return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_map()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def shown_key(key: Any) -> str:
    """A key that a peer chose, as an error can name it: not long, and text that can be encoded."""
    text = key if isinstance(key, str) else f"({kind_of(key)})"
    return text[:40].encode("utf-8", "backslashreplace").decode()


def kind_of(value: Any) -> str:
    """What a value is, for an error."""
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "text", bytes: "bytes"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def coerce(value: Any, hint: Any, where: str, strict: bool) -> Any:
    """`value` as the annotated type: exact types only, hex text for bytes, lists for tuples."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        chosen = [option for option in options if option is not type(None)]
        return coerce(value, chosen[0], where, strict)
    if origin is Literal:
        if value in get_args(hint) and isinstance(value, str):
            return value
        raise MalformedRequest(f"{where} must be one of {', '.join(get_args(hint))}", where=where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise MalformedRequest(f"{where} must be a list, got {kind_of(value)}", where=where)
        item = get_args(hint)[0]
        return tuple(coerce(v, item, f"{where}[{i}]", strict) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"{where} must be a map, got {kind_of(value)}", where=where)
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, Message):
        try:
            return hint.from_map(value, strict=strict)
        except MalformedRequest as error:
            place = f"{where}.{error.where}" if error.where else where
            raise MalformedRequest(f"{where}: {error.detail}", where=place, hint=error.hint) from error
    if hint is bytes:
        return _coerce_bytes(value, where)
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is not hint:
        wanted = {bool: "a boolean", int: "an integer", float: "a number", str: "text"}.get(hint, str(hint))
        raise MalformedRequest(f"{where} must be {wanted}, got {kind_of(value)}", where=where)
    return value


def _coerce_bytes(value: Any, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise MalformedRequest(f"{where} is not hexadecimal", where=where) from None
    raise MalformedRequest(f"{where} must be bytes (hex text in JSON), got {kind_of(value)}", where=where)


def require(condition: bool, where: str, rule: str) -> None:
    """Raises MalformedRequest that names the field, unless the condition holds."""
    if not condition:
        raise MalformedRequest(f"{where} must be {rule}", where=where)
