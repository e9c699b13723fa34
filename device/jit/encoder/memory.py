"""Loads and stores of bytes, halfwords and words, and of several registers at once.

Left out on purpose (engines.md, JIT): exclusives; LDRD and STRD, which fault on unaligned addresses on
hardware and not in Unicorn. `load_many` and `store_many` fault there too: they are for our own aligned
places, never for guest addresses. POP and PUSH of one high register take the LDR and STR forms, because
POP.W of one register is unpredictable.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from device.jit.encoder.operands import GENERAL, LOW, WITH_SP, R, impossible


class Access(IntEnum):
    """Kinds of access, by the opcode bits of their 32-bit forms."""

    STRB = 0xF8000000
    LDRB = 0xF8100000
    STRH = 0xF8200000
    LDRH = 0xF8300000
    STR = 0xF8400000
    LDR = 0xF8500000
    LDRSB = 0xF9100000
    LDRSH = 0xF9300000


_NARROW_IMMEDIATE: Final = {
    Access.STR: (0x6000, 4),
    Access.LDR: (0x6800, 4),
    Access.STRB: (0x7000, 1),
    Access.LDRB: (0x7800, 1),
    Access.STRH: (0x8000, 2),
    Access.LDRH: (0x8800, 2),
}
_NARROW_REGISTER: Final = {
    Access.STR: 0x5000,
    Access.STRH: 0x5200,
    Access.STRB: 0x5400,
    Access.LDRSB: 0x5600,
    Access.LDR: 0x5800,
    Access.LDRH: 0x5A00,
    Access.LDRB: 0x5C00,
    Access.LDRSH: 0x5E00,
}
_LOADS: Final = frozenset({Access.LDR, Access.LDRB, Access.LDRH, Access.LDRSB, Access.LDRSH})
_STR, _LDR = Access.STR, Access.LDR  # looking up an enum's member takes its time
_SP, _PC = int(R.SP), int(R.PC)
_UP: Final = 1 << 23
_PRE: Final = 0xD00
_POST: Final = 0x900
_ADD: Final = 0x200
_SUBTRACT_ONLY: Final = 0xC00


def access(op: Access, rt: int, rn: int, offset: int = 0) -> int:
    """`op rt, [rn, #offset]`, from -255 to 4095."""
    if rt in LOW and op in _NARROW_IMMEDIATE and offset >= 0:
        base, scale = _NARROW_IMMEDIATE[op]
        if rn in LOW and offset < 32 * scale and offset % scale == 0:
            return base | offset // scale << 6 | rn << 3 | rt
        if rn == _SP and scale == 4 and offset <= 1020 and offset & 3 == 0:
            return (0x9000 if op == _STR else 0x9800) | rt << 8 | offset >> 2
    if not (rt in GENERAL and rn in WITH_SP and -255 <= offset <= 4095):
        impossible(Access(op).name, rt=rt, rn=rn, offset=offset)
    if offset >= 0:
        return op | _UP | rn << 16 | rt << 12 | offset
    return op | rn << 16 | rt << 12 | _SUBTRACT_ONLY | -offset


def access_register(op: Access, rt: int, rn: int, rm: int, shift: int = 0) -> int:
    """`op rt, [rn, rm, lsl #shift]`, shifts from 0 to 3."""
    if shift == 0 and rt in LOW and rn in LOW and rm in LOW:
        return _NARROW_REGISTER[op] | rm << 6 | rn << 3 | rt
    if not (rt in GENERAL and rn in WITH_SP and rm in GENERAL and 0 <= shift <= 3):
        impossible(Access(op).name, rt=rt, rn=rn, rm=rm, shift=shift)
    return op | rn << 16 | rt << 12 | shift << 4 | rm


def access_before(op: Access, rt: int, rn: int, offset: int) -> int:
    """`op rt, [rn, #offset]!`: rn moves first, by -255 to 255."""
    return _writeback(op, rt, rn, offset, _PRE)


def access_after(op: Access, rt: int, rn: int, offset: int) -> int:
    """`op rt, [rn], #offset`: rn moves afterwards, by -255 to 255."""
    return _writeback(op, rt, rn, offset, _POST)


def _writeback(op: Access, rt: int, rn: int, offset: int, mode: int) -> int:
    if not (rt in GENERAL and rn in WITH_SP and rt != rn and -255 <= offset <= 255):
        impossible(Access(op).name, rt=rt, rn=rn, offset=offset, writeback=True)
    return op | rn << 16 | rt << 12 | mode | (_ADD if offset >= 0 else 0) | abs(offset)


def load_literal(op: Access, rt: int, distance: int, *, narrow: bool = False) -> int:
    """`op rt, [pc, #distance]`, from -4095 to 4095; pc is the instruction's address + 4, cut to words.

    `narrow` asks for the 16-bit form: LDR of a low register from 0 to 1020, by words. The assembler
    chooses, because the choice moves the distance.
    """
    if narrow:
        if op != _LDR or rt not in LOW or not 0 <= distance <= 1020 or distance & 3:
            impossible("LDR (16 bits)", rt=rt, distance=distance)
        return 0x4800 | rt << 8 | distance >> 2
    if op not in _LOADS or rt not in GENERAL or not -4095 <= distance <= 4095:
        impossible(Access(op).name, rt=rt, distance=distance)
    return op | (_UP if distance >= 0 else 0) | _PC << 16 | rt << 12 | abs(distance)


def _mask(name: str, registers: Iterable[int], allowed: frozenset[int]) -> int:
    mask = 0
    for register in registers:
        if register not in allowed:
            impossible(name, register=register)
        mask |= 1 << register
    if not mask:
        impossible(name, registers="none")
    return mask


_PUSHED: Final = frozenset({*range(13), R.LR})
_POPPED: Final = frozenset({*range(13), R.LR, _PC})


def push(registers: Iterable[int]) -> int:
    """`push {registers}`: R0 to R12 and LR, the lowest at the lowest address."""
    mask = _mask("PUSH", registers, _PUSHED)
    if mask & ~0x40FF == 0:
        return 0xB400 | mask >> 6 & 0x100 | mask & 0xFF
    if mask & (mask - 1):
        return 0xE92D0000 | mask
    return access_before(_STR, mask.bit_length() - 1, _SP, -4)


def pop(registers: Iterable[int]) -> int:
    """`pop {registers}`: R0 to R12 and either LR or PC (a return)."""
    mask = _mask("POP", registers, _POPPED)
    if mask >> 14 == 3:
        impossible("POP", registers="LR and PC")
    if mask & ~0x80FF == 0:
        return 0xBC00 | mask >> 7 & 0x100 | mask & 0xFF
    if mask & (mask - 1):
        return 0xE8BD0000 | mask
    return access_after(_LDR, mask.bit_length() - 1, _SP, 4)


def load_many(rn: int, registers: Iterable[int], *, writeback: bool = False, before: bool = False) -> int:
    """`ldm rn, {registers}`, or `ldmdb` with `before`; two registers at least in 32-bit forms."""
    mask = _mask("LDM", registers, GENERAL)
    if rn in LOW and mask <= 0xFF and not before and writeback is not bool(mask >> rn & 1):
        return 0xC800 | rn << 8 | mask
    return _many(0xE8100000, "LDM", rn, mask, writeback=writeback, before=before)


def store_many(rn: int, registers: Iterable[int], *, writeback: bool = False, before: bool = False) -> int:
    """`stm rn, {registers}`, or `stmdb` with `before`; two registers at least in 32-bit forms."""
    mask = _mask("STM", registers, GENERAL)
    if rn in LOW and mask <= 0xFF and not before and writeback and not mask >> rn & 1:
        return 0xC000 | rn << 8 | mask
    return _many(0xE8000000, "STM", rn, mask, writeback=writeback, before=before)


def _many(base: int, name: str, rn: int, mask: int, *, writeback: bool, before: bool) -> int:
    several = mask & (mask - 1)
    if rn not in WITH_SP or not several or (writeback and mask >> rn & 1):
        impossible(name, rn=rn, mask=hex(mask), writeback=writeback)
    direction = 1 << 24 if before else _UP
    return base | direction | int(writeback) << 21 | rn << 16 | mask
