"""Errors as payloads: RFC 9290 concise problem details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2

from device.api.codec import CBOR, JSON, decode_body
from device.api.message import Message
from device.errors import MalformedRequest

ERROR_KEY: Final = "tag:micro-bpf.example,2026:error"


@dataclass(frozen=True, slots=True)
class Problem(Message):
    """RFC 9290 concise problem details, flat."""

    title: str
    detail: str
    code: str
    where: str = ""
    hint: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_cbor(self) -> bytes:
        """Content-format 257: title and detail under the standard keys, ours under our own."""
        ours = {"code": self.code, "where": self.where, "hint": self.hint, **self.extra}
        return cbor2.dumps({-1: self.title, -2: self.detail, ERROR_KEY: ours})

    def to_flat(self) -> dict[str, Any]:
        """The flat form that Accept 50 gets."""
        return {
            "title": self.title,
            "detail": self.detail,
            "code": self.code,
            "where": self.where,
            "hint": self.hint,
            **self.extra,
        }

    @classmethod
    def from_payload(cls, payload: bytes, content_format: int | None) -> Problem | None:
        """Read either form; None when the payload is neither."""
        try:
            value = decode_body(payload, JSON if content_format == JSON else CBOR)
        except MalformedRequest:
            return None
        if not isinstance(value, Mapping):
            return None
        ours = value.get(ERROR_KEY, value)
        if not isinstance(ours, Mapping) or "code" not in ours:
            return None
        known = {"title", "detail", "code", "where", "hint"}
        return cls(
            title=str(value.get(-1, ours.get("title", ""))),
            detail=str(value.get(-2, ours.get("detail", ""))),
            code=str(ours["code"]),
            where=str(ours.get("where", "")),
            hint=str(ours.get("hint", "")),
            extra={str(key): item for key, item in ours.items() if key not in known},
        )
