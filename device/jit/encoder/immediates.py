"""Modified immediates: the 32-bit constants that twelve bits can say (ARMv7-M manual, A5.3.2)."""

from __future__ import annotations

from typing import Final

from device.jit.errors import EncodingError

WORD_MASK: Final = 0xFFFFFFFF


def decode_modified(field: int) -> int:
    """The constant of the 12-bit field i:imm3:imm8.

    Raises EncodingError for a number that is no such field, and for the three spellings of zero that
    the manual calls unpredictable.
    """
    if not 0 <= field < 1 << 12:
        raise EncodingError(f"{field:#x} is no 12-bit field")
    kind, byte = field >> 8, field & 0xFF
    if kind == 0:
        return byte
    if kind < 4:
        if byte == 0:
            raise EncodingError(f"the modified immediate {field:#x} is unpredictable")
        return byte * (0x00010001, 0x01000100, 0x01010101)[kind - 1]
    rotation, value = field >> 7, 0x80 | field & 0x7F
    return (value >> rotation | value << (32 - rotation)) & WORD_MASK


def _fields() -> dict[int, int]:
    """Constant → the field that means it; no constant has two."""
    predictable = (field for field in range(1 << 12) if field & 0xFF or not 0 < field >> 8 < 4)
    return {decode_modified(field): field for field in predictable}


_FIELDS: Final = _fields()


def encode_modified(value: int) -> int | None:
    """The 12-bit field for `value`, taken modulo 2^32, or None: the inverse of `decode_modified`."""
    return _FIELDS.get(value & WORD_MASK)


def spread(field: int) -> int:
    """The bits of i:imm3:imm8 where a 32-bit data-processing instruction has them."""
    return (field & 0x800) << 15 | (field & 0x700) << 4 | field & 0xFF
