"""Who a device is: vendor and class as UUIDs (suit.md section 5, RFC 9124 section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

_VENDOR: Final = uuid5(NAMESPACE_DNS, "riot-os.org")
VENDOR_ID: Final = _VENDOR.bytes


def class_id(board: str) -> bytes:
    """The 16 bytes of UUIDv5(vendor, board name)."""
    return uuid5(_VENDOR, board).bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Vendor id and class id, 16 bytes each."""

    vendor_id: bytes
    class_id: bytes

    @classmethod
    def of(cls, board: str) -> Identity:
        """The identity of a board."""
        return cls(VENDOR_ID, class_id(board))


def uuid_text(raw: bytes) -> str:
    """16 bytes as people and RIOT's console write them."""
    return str(UUID(bytes=raw))
