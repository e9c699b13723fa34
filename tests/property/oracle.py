"""What one instruction does, written a second time and differently.

The engine computes on unsigned Python integers by way of the instruction table. This oracle knows no table:
it takes the encoded fields, follows the bits of RFC 9669 (sections 4 and 5), and leaves wrapping, signs and
byte order to ctypes, struct and exact fractions.
"""

from __future__ import annotations

import ctypes
import math
import struct
from dataclasses import dataclass
from fractions import Fraction

UNSIGNED = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}
SIGNED = {8: ctypes.c_int8, 16: ctypes.c_int16, 32: ctypes.c_int32, 64: ctypes.c_int64}
SIZES = {0x00: (4, "I", "i"), 0x08: (2, "H", "h"), 0x10: (1, "B", "b"), 0x18: (8, "Q", "q")}


@dataclass(frozen=True)
class Encoded:
    """The fields of a slot."""

    opcode: int
    dst: int
    src: int
    off: int
    imm: int

    @property
    def register_operand(self) -> bool:
        return bool(self.opcode & 0x08)


def unsigned(value: int, bits: int) -> int:
    return UNSIGNED[bits](value).value


def signed(value: int, bits: int) -> int:
    return SIGNED[bits](value).value


def alu(slot: Encoded, dst: int, src: int) -> int:
    """dst after an ALU or ALU64 instruction."""
    bits = 64 if slot.opcode & 0x07 == 0x07 else 32
    code = slot.opcode & 0xF0
    if code == 0xD0:
        return byte_order(slot, dst)
    b = src if slot.register_operand else slot.imm
    sa, sb = signed(dst, bits), signed(b, bits)
    ua, ub = unsigned(dst, bits), unsigned(b, bits)
    power = 2 ** (ub % bits)
    match code:
        case 0x00:
            result = sa + sb
        case 0x10:
            result = sa - sb
        case 0x20:
            result = sa * sb
        case 0x30 if slot.off == 1:
            result = math.trunc(Fraction(sa, sb)) if sb else 0
        case 0x30:
            result = math.floor(Fraction(ua, ub)) if ub else 0
        case 0x90 if slot.off == 1:
            result = sa - sb * math.trunc(Fraction(sa, sb)) if sb else sa
        case 0x90:
            result = ua - ub * math.floor(Fraction(ua, ub)) if ub else ua
        case 0x40:
            result = sa | sb
        case 0x50:
            result = sa & sb
        case 0xA0:
            result = sa ^ sb
        case 0x60:
            result = sa * power
        case 0x70:
            result = ua // power
        case 0xC0:
            result = sa // power
        case 0x80:
            result = 0 - sa
        case 0xB0:
            result = signed(b, slot.off or 64)
        case _:
            raise AssertionError(f"no ALU code {code:#x}")
    return unsigned(result, bits)


def byte_order(slot: Encoded, dst: int) -> int:
    letter = {16: "H", 32: "I", 64: "Q"}[slot.imm]
    low = struct.pack("<Q", dst)[: slot.imm // 8]
    # d4 is ALU with source bit 0, to little-endian; dc to big-endian; d7 is ALU64, always a swap.
    order = "<" if slot.opcode == 0xD4 else ">"
    result: int = struct.unpack(order + letter, low)[0]
    return result


def taken(slot: Encoded, dst: int, src: int) -> bool:
    """Whether a conditional jump is taken."""
    bits = 64 if slot.opcode & 0x07 == 0x05 else 32
    b = src if slot.register_operand else slot.imm
    sa, sb, ua, ub = signed(dst, bits), signed(b, bits), unsigned(dst, bits), unsigned(b, bits)
    return {
        0x10: ua == ub,
        0x20: ua > ub,
        0x30: ua >= ub,
        0x40: any(x == y == "1" for x, y in zip(f"{ua:064b}", f"{ub:064b}", strict=True)),
        0x50: ua != ub,
        0x60: sa > sb,
        0x70: sa >= sb,
        0xA0: ua < ub,
        0xB0: ua <= ub,
        0xC0: sa < sb,
        0xD0: sa <= sb,
    }[slot.opcode & 0xF0]


def load(slot: Encoded, memory: bytes, at: int) -> int:
    """dst after a load from offset `at` of `memory`."""
    _, plain, with_sign = SIZES[slot.opcode & 0x18]
    letter = with_sign if slot.opcode & 0xE0 == 0x80 else plain
    value: int = struct.unpack_from("<" + letter, memory, at)[0]
    return unsigned(value, 64)


def store(slot: Encoded, memory: bytearray, at: int, src: int) -> None:
    """Store into `memory` at offset `at`."""
    size, _, _ = SIZES[slot.opcode & 0x18]
    value = src if slot.opcode & 0x07 == 0x03 else signed(slot.imm, 32)
    memory[at : at + size] = struct.pack("<q", signed(value, 64))[:size]


def atomic(slot: Encoded, memory: bytearray, at: int, registers: list[int]) -> None:
    """An atomic operation on `memory` at offset `at`; changes `registers` as it has to."""
    size, letter, _ = SIZES[slot.opcode & 0x18]
    bits = size * 8
    old = struct.unpack_from("<" + letter, memory, at)[0]
    source = registers[slot.src]
    fetch = bool(slot.imm & 1)
    match slot.imm & 0xF0:
        case 0x00:
            new = old + source
        case 0x40:
            new = old | source
        case 0x50:
            new = old & source
        case 0xA0:
            new = old ^ source
        case 0xE0:
            new = source
        case 0xF0:
            new = source if old == unsigned(registers[0], bits) else old
        case _:
            raise AssertionError(f"no atomic operation {slot.imm:#x}")
    struct.pack_into("<" + letter, memory, at, unsigned(new, bits))
    if fetch:
        registers[0 if slot.imm & 0xF0 == 0xF0 else slot.src] = old
