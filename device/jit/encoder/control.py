"""Branches, IT blocks, system instructions, and moves between core and VFP registers.

Distances are in bytes from the instruction's own address. Which length of a branch fits is the
assembler's business (device/jit/assembler.py); here each form has its function.
"""

from __future__ import annotations

from typing import Final

from device.jit.encoder.operands import GENERAL, LOW, SINGLES, Cond, impossible

NOP: Final = 0xBF00
_AL: Final = int(Cond.AL)
PIPELINE: Final = 4
"""PC reads as the instruction's address plus this."""

NARROW_BRANCH: Final = (-2044, 2050)
NARROW_BRANCH_IF: Final = (-252, 258)
NARROW_BRANCH_ZERO: Final = (4, 130)
WIDE_BRANCH: Final = (-(1 << 24) + 4, (1 << 24) + 2)
WIDE_BRANCH_IF: Final = (-(1 << 20) + 4, (1 << 20) + 2)
"""The smallest and the largest distance of each form."""


def _distance(name: str, distance: int, bounds: tuple[int, int]) -> int:
    if not bounds[0] <= distance <= bounds[1] or distance & 1:
        impossible(name, distance=distance)
    return distance - PIPELINE


def branch_narrow(distance: int) -> int:
    """`b`, 16 bits."""
    return 0xE000 | _distance("B", distance, NARROW_BRANCH) >> 1 & 0x7FF


def branch_if_narrow(cond: Cond, distance: int) -> int:
    """`bcc`, 16 bits."""
    if not 0 <= cond < _AL:
        impossible("Bcc", cond=cond)
    return 0xD000 | cond << 8 | _distance("Bcc", distance, NARROW_BRANCH_IF) >> 1 & 0xFF


def branch_zero(rn: int, distance: int, *, nonzero: bool = False) -> int:
    """`cbz rn` or `cbnz rn`: a low register, forward only, flags kept; not inside an IT block."""
    if rn not in LOW:
        impossible("CBNZ" if nonzero else "CBZ", rn=rn)
    offset = _distance("CBNZ" if nonzero else "CBZ", distance, NARROW_BRANCH_ZERO)
    return 0xB100 | int(nonzero) << 11 | (offset & 0x40) << 3 | (offset & 0x3E) << 2 | rn


def branch_wide(distance: int) -> int:
    """`b.w`."""
    return 0xF0009000 | _far(_distance("B.W", distance, WIDE_BRANCH))


def branch_link(distance: int) -> int:
    """`bl`."""
    return 0xF000D000 | _far(_distance("BL", distance, WIDE_BRANCH))


def _far(offset: int) -> int:
    """S:I1:I2:imm10:imm11, with J1 and J2 the complements of I1 and I2 under S."""
    sign = offset >> 24 & 1
    j1 = ~(offset >> 23 ^ sign) & 1
    j2 = ~(offset >> 22 ^ sign) & 1
    return sign << 26 | (offset >> 12 & 0x3FF) << 16 | j1 << 13 | j2 << 11 | offset >> 1 & 0x7FF


def branch_if_wide(cond: Cond, distance: int) -> int:
    """`bcc.w`."""
    if not 0 <= cond < _AL:
        impossible("Bcc.W", cond=cond)
    offset = _distance("Bcc.W", distance, WIDE_BRANCH_IF)
    upper = (offset >> 20 & 1) << 26 | cond << 22 | (offset >> 12 & 0x3F) << 16
    return 0xF0008000 | upper | (offset >> 18 & 1) << 13 | (offset >> 19 & 1) << 11 | offset >> 1 & 0x7FF


def bx(rm: int) -> int:
    """`bx rm`: to an address with the T bit; `bx lr` returns."""
    if rm not in GENERAL:
        impossible("BX", rm=rm)
    return 0x4700 | rm << 3


def blx(rm: int) -> int:
    """`blx rm`: call an address with the T bit."""
    if rm not in GENERAL:
        impossible("BLX", rm=rm)
    return 0x4780 | rm << 3


def if_then(cond: Cond, pattern: str = "") -> int:
    """`it{pattern} cond`: `pattern` is up to three of `t` and `e`, for the second to fourth instruction."""
    if not 0 <= cond < _AL or len(pattern) > 3 or pattern.strip("te"):
        impossible("IT", cond=cond, pattern=pattern)
    mask = 8 >> len(pattern)
    for index, letter in enumerate(pattern):
        mask |= ((cond & 1) ^ (letter == "e")) << (3 - index)
    return 0xBF00 | cond << 4 | mask


def svc(number: int) -> int:
    """`svc #number`, 0 to 255; the machine ignores the number, it is for people who read listings."""
    if not 0 <= number <= 255:
        impossible("SVC", number=number)
    return 0xDF00 | number


def udf(number: int) -> int:
    """`udf #number`, 0 to 255: an instruction that always traps."""
    if not 0 <= number <= 255:
        impossible("UDF", number=number)
    return 0xDE00 | number


def address_of(rd: int, distance: int, *, narrow: bool = False) -> int:
    """`adr rd`: pc, cut to words, plus -4095 to 4095; 16 bits for a low register, 0 to 1020 by words."""
    if narrow:
        if rd not in LOW or not 0 <= distance <= 1020 or distance & 3:
            impossible("ADR (16 bits)", rd=rd, distance=distance)
        return 0xA000 | rd << 8 | distance >> 2
    if rd not in GENERAL or not -4095 <= distance <= 4095:
        impossible("ADR", rd=rd, distance=distance)
    size = abs(distance)
    base = 0xF20F0000 if distance >= 0 else 0xF2AF0000
    return base | (size & 0x800) << 15 | (size & 0x700) << 4 | rd << 8 | size & 0xFF


def to_single(sn: int, rt: int) -> int:
    """`vmov sn, rt`: spill a core register."""
    return 0xEE000A10 | _single("VMOV", sn, rt)


def from_single(rt: int, sn: int) -> int:
    """`vmov rt, sn`: bring it back."""
    return 0xEE100A10 | _single("VMOV", sn, rt)


def _single(name: str, sn: int, rt: int) -> int:
    if sn not in SINGLES or rt not in GENERAL:
        impossible(name, sn=sn, rt=rt)
    return (sn >> 1) << 16 | (sn & 1) << 7 | rt << 12


def to_pair(sn: int, low: int, high: int) -> int:
    """`vmov sn, sn+1, low, high` for an even n: spill a 64-bit value (its name is also `d(n/2)`)."""
    return 0xEC400B10 | _pair(sn, low, high)


def from_pair(low: int, high: int, sn: int) -> int:
    """`vmov low, high, sn, sn+1` for an even n: bring a 64-bit value back into two registers."""
    if low == high:
        impossible("VMOV", low=low, high=high)
    return 0xEC500B10 | _pair(sn, low, high)


def _pair(sn: int, low: int, high: int) -> int:
    if sn not in SINGLES or sn & 1 or low not in GENERAL or high not in GENERAL:
        impossible("VMOV", sn=sn, low=low, high=high)
    return high << 16 | low << 12 | sn >> 1


def copy_single(sd: int, sm: int) -> int:
    """`vmov.f32 sd, sm`: between spill places."""
    if sd not in SINGLES or sm not in SINGLES:
        impossible("VMOV", sd=sd, sm=sm)
    return 0xEEB00A40 | (sd & 1) << 22 | sd >> 1 << 12 | (sm & 1) << 5 | sm >> 1
