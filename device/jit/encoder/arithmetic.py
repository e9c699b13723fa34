"""Multiplication, division, bit fields, extension and byte order: 32-bit forms but for a few."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from device.jit.encoder.operands import GENERAL, LOW, Flags, impossible


class Long(IntEnum):
    """Operations on a register pair, by their opcode bits."""

    SMULL = 0xFB800000
    UMULL = 0xFBA00000
    SMLAL = 0xFBC00000
    UMLAL = 0xFBE00000
    UMAAL = 0xFBE00060


class Unary(IntEnum):
    """Operations of one source: `op rd, rm`, by their opcode bits; rm is in both halfwords."""

    REV = 0xFA90F080
    REV16 = 0xFA90F090
    RBIT = 0xFA90F0A0
    REVSH = 0xFA90F0B0
    CLZ = 0xFAB0F080


class Extend(IntEnum):
    """Sign and zero extension, by their opcode bits."""

    SXTH = 0xFA0FF080
    UXTH = 0xFA1FF080
    SXTB = 0xFA4FF080
    UXTB = 0xFA5FF080


_NARROW_UNARY: Final = {Unary.REV: 0xBA00, Unary.REV16: 0xBA40, Unary.REVSH: 0xBAC0}
_NARROW_EXTEND: Final = {Extend.SXTH: 0xB200, Extend.SXTB: 0xB240, Extend.UXTH: 0xB280, Extend.UXTB: 0xB2C0}


def mul(rd: int, rn: int, rm: int, flags: Flags = Flags.ANY) -> int:
    """`mul rd, rn, rm`: the low word. Only the 16-bit form sets flags (N and Z), and only outside IT."""
    if (flags is Flags.ANY or flags is Flags.SET) and rd in LOW and rn in LOW and rm in LOW:
        if rd == rm:
            return 0x4340 | rn << 3 | rd
        if rd == rn:
            return 0x4340 | rm << 3 | rd
    if flags is Flags.SET or flags is Flags.SET_IN_IT:
        impossible("MULS", rd=rd, rn=rn, rm=rm)
    return _three(0xFB00F000, "MUL", rd, rn, rm)


def mla(rd: int, rn: int, rm: int, ra: int) -> int:
    """`mla rd, rn, rm, ra`: ra + rn * rm."""
    return _four(0xFB000000, "MLA", rd, rn, rm, ra)


def mls(rd: int, rn: int, rm: int, ra: int) -> int:
    """`mls rd, rn, rm, ra`: ra - rn * rm, which turns a quotient into a remainder."""
    return _four(0xFB000010, "MLS", rd, rn, rm, ra)


def long_mul(op: Long, low: int, high: int, rn: int, rm: int) -> int:
    """`op low, high, rn, rm`: the 64-bit product, added to high:low by SMLAL and UMLAL.

    UMAAL adds low and high as two words: the step of a longer multiplication.
    """
    if low == high:
        impossible(op.name, low=low, high=high)
    return _four(op, Long(op).name, high, rn, rm, low)


def udiv(rd: int, rn: int, rm: int) -> int:
    """`udiv rd, rn, rm`: by zero gives zero, as eBPF has it."""
    return _three(0xFBB0F0F0, "UDIV", rd, rn, rm)


def sdiv(rd: int, rn: int, rm: int) -> int:
    """`sdiv rd, rn, rm`: towards zero; by zero gives zero, MIN / -1 gives MIN, as eBPF has it."""
    return _three(0xFB90F0F0, "SDIV", rd, rn, rm)


def _three(base: int, name: str, rd: int, rn: int, rm: int) -> int:
    if not (rd in GENERAL and rn in GENERAL and rm in GENERAL):
        impossible(name, rd=rd, rn=rn, rm=rm)
    return base | rn << 16 | rd << 8 | rm


def _four(base: int, name: str, rd: int, rn: int, rm: int, ra: int) -> int:
    if ra not in GENERAL:
        impossible(name, ra=ra)
    return _three(base, name, rd, rn, rm) | ra << 12


def ubfx(rd: int, rn: int, lsb: int, width: int) -> int:
    """`ubfx rd, rn, #lsb, #width`: a field, zero-extended."""
    return _field(0xF3C00000, "UBFX", rd, rn, lsb, width) | width - 1


def sbfx(rd: int, rn: int, lsb: int, width: int) -> int:
    """`sbfx rd, rn, #lsb, #width`: a field, sign-extended."""
    return _field(0xF3400000, "SBFX", rd, rn, lsb, width) | width - 1


def bfi(rd: int, rn: int, lsb: int, width: int) -> int:
    """`bfi rd, rn, #lsb, #width`: the low bits of rn into a field of rd."""
    return _field(0xF3600000, "BFI", rd, rn, lsb, width) | lsb + width - 1


def bfc(rd: int, lsb: int, width: int) -> int:
    """`bfc rd, #lsb, #width`: zero into a field of rd."""
    return _field(0xF36F0000, "BFC", rd, 0, lsb, width) | lsb + width - 1


def _field(base: int, name: str, rd: int, rn: int, lsb: int, width: int) -> int:
    inside = lsb >= 0 and width >= 1 and lsb + width <= 32
    if not (rd in GENERAL and rn in GENERAL and inside):
        impossible(name, rd=rd, rn=rn, lsb=lsb, width=width)
    return base | rn << 16 | (lsb & 0x1C) << 10 | rd << 8 | (lsb & 3) << 6


def extend(op: Extend, rd: int, rm: int, rotation: int = 0) -> int:
    """`op rd, rm, ror #rotation`: the low byte or halfword after a rotation by 0, 8, 16 or 24."""
    if rotation == 0 and rd in LOW and rm in LOW:
        return _NARROW_EXTEND[op] | rm << 3 | rd
    if not (rd in GENERAL and rm in GENERAL and rotation in (0, 8, 16, 24)):
        impossible(Extend(op).name, rd=rd, rm=rm, rotation=rotation)
    return op | rd << 8 | rotation << 1 | rm


def unary(op: Unary, rd: int, rm: int) -> int:
    """`op rd, rm`: byte orders, the reversal of bits, the count of leading zeros."""
    if op in _NARROW_UNARY and rd in LOW and rm in LOW:
        return _NARROW_UNARY[op] | rm << 3 | rd
    if not (rd in GENERAL and rm in GENERAL):
        impossible(Unary(op).name, rd=rd, rm=rm)
    return op | rm << 16 | rd << 8 | rm
