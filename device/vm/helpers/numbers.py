"""Numbers that helpers give and take: errors, handles, keys (helpers.md sections 1 to 3)."""

from __future__ import annotations

from typing import Final

ENODEV: Final = 19
EINVAL: Final = 22

HANDLE_BASE: Final = 0x40000000
HANDLE_STRIDE: Final = 16
DISPLAY_HANDLE: Final = HANDLE_BASE + HANDLE_STRIDE * 0x1000
"""The handle of a device's one display; those of the SAUL registry begin at HANDLE_BASE."""

KEY_NONE: Final = 4
USER_MAGIC: Final = 1234


def handle_of(index: int | None) -> int:
    """The handle of a device of the SAUL registry; 0 for none."""
    return 0 if index is None else HANDLE_BASE + HANDLE_STRIDE * index


def index_of(handle: int) -> int:
    """The position that a handle stands for, -1 for what is no handle; it need not be one of the board."""
    index, rest = divmod(handle - HANDLE_BASE, HANDLE_STRIDE)
    return index if rest == 0 and 0 <= index < 0x1000 else -1
