"""The device and its slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from device.api.message import Message

SlotState = Literal["free", "fetching", "ready", "running"]


@dataclass(frozen=True, slots=True)
class DeviceInfo(Message):
    """GET /device."""

    name: str
    board: str
    vendor_id: bytes
    class_id: bytes
    slots: int
    slot_size: int
    profiles: tuple[str, ...]
    engines: tuple[str, ...]
    workers: int
    uptime_ms: int
    sequence_number: int
    version: str


@dataclass(frozen=True, slots=True)
class SlotInfo(Message):
    """GET /slots/{n}; a free slot has only slot and state."""

    OMIT_NONE = frozenset(
        {"name", "digest", "tag", "size", "layout", "profile", "sequence_number", "last_fault", "mean_us"}
    )

    slot: int
    state: SlotState
    name: str | None = None
    digest: bytes | None = None
    tag: str | None = None
    size: int | None = None
    layout: str | None = None
    profile: str | None = None
    sequence_number: int | None = None
    helpers: tuple[int, ...] = ()
    metadata_helpers: tuple[int, ...] | None = None
    capabilities: dict[str, Any] | None = None
    bytecode: str | None = None
    runs: int = 0
    faults: int = 0
    last_fault: dict[str, Any] | None = None
    mean_us: int | None = None
    jit: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SlotList(Message):
    """GET /slots."""

    items: tuple[SlotInfo, ...]


@dataclass(frozen=True, slots=True)
class SlotContent(Message):
    """GET /slots/{n}/image: bytes of the image from `offset` on; `size` and `digest` are of all of it."""

    slot: int
    digest: bytes
    size: int
    offset: int
    content: bytes
