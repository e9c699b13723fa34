"""Data processing: arithmetic, logic, comparisons, moves and shifts.

Every function returns the shortest encoding that does what was asked for, flags included (see `Flags`).
`add`, `sub` and the comparisons may name SP where hardware allows it; nothing here may name PC.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from device.jit.encoder.immediates import WORD_MASK, encode_modified, spread
from device.jit.encoder.operands import GENERAL, LOW, WITH_SP, Flags, R, Shift, impossible


class Alu(IntEnum):
    """Operations of two sources and a destination, by the field of their 32-bit forms."""

    AND = 0
    BIC = 1
    ORR = 2
    ORN = 3
    EOR = 4
    ADD = 8
    ADC = 10
    SBC = 11
    SUB = 13
    RSB = 14


class Compare(IntEnum):
    """Operations that leave nothing but flags, by the field of their 32-bit forms."""

    TST = 0
    TEQ = 4
    CMN = 8
    CMP = 13


_REGISTER: Final = 0xEA000000
_IMMEDIATE: Final = 0xF0000000
_SET: Final = 1 << 20
_NO_REGISTER: Final = 15

# The opcodes of the 16-bit forms `op rdn, rm`, and those among them whose operands may be exchanged.
_TWO_OPERANDS: Final = {Alu.AND: 0, Alu.EOR: 1, Alu.ADC: 5, Alu.SBC: 6, Alu.ORR: 12, Alu.BIC: 14}
_COMMUTE: Final = frozenset({Alu.AND, Alu.EOR, Alu.ADC, Alu.ORR})
_NARROW_COMPARES: Final = {Compare.TST: 8, Compare.CMP: 10, Compare.CMN: 11}
_NARROW_SHIFTS: Final = {Shift.LSL: 2, Shift.LSR: 3, Shift.ASR: 4, Shift.ROR: 7}
_OPPOSITES: Final = {
    Alu.AND: Alu.BIC,
    Alu.BIC: Alu.AND,
    Alu.ORR: Alu.ORN,
    Alu.ORN: Alu.ORR,
    Alu.ADC: Alu.SBC,
    Alu.SBC: Alu.ADC,
}

# Looking up an enum's member takes its time, and some of these are asked for with each instruction.
_ADD, _SUB, _RSB, _ADC, _SBC, _ORR, _ORN = Alu.ADD, Alu.SUB, Alu.RSB, Alu.ADC, Alu.SBC, Alu.ORR, Alu.ORN
_CMP, _CMN = Compare.CMP, Compare.CMN
_LSL, _ROR = Shift.LSL, Shift.ROR
_ANY, _SET_FLAGS, _SET_IN_IT = Flags.ANY, Flags.SET, Flags.SET_IN_IT
_SP: Final = int(R.SP)

_SUMS: Final = frozenset({Alu.ADD, Alu.SUB})
_CARRYING: Final = frozenset({Alu.ADC, Alu.SBC})
_COMPARING: Final = frozenset({Compare.CMP, Compare.CMN})
_RIGHT: Final = frozenset({Shift.LSR, Shift.ASR})


def _sets(flags: Flags) -> int:
    return _SET if flags is _SET_FLAGS or flags is _SET_IN_IT else 0


def _short(flags: Flags) -> bool:
    """Whether a 16-bit form that sets the flags outside an IT block will do."""
    return flags is _ANY or flags is _SET_FLAGS


def _shifted(rm: int, shift: int, amount: int) -> int:
    """The operand `rm, shift #amount`. LSL and ROR take 0 to 31 (ROR not 0), LSR and ASR 1 to 32."""
    low = 0 if shift == _LSL else 1
    high = 32 if shift in _RIGHT else 31
    if not low <= amount <= high or shift not in _NARROW_SHIFTS:
        impossible("a shifted register", shift=shift, amount=amount)
    return (amount & 0x1C) << 10 | (amount & 3) << 6 | shift << 4 | rm


def alu(
    op: Alu,
    rd: int,
    rn: int,
    rm: int,
    flags: Flags = Flags.ANY,
    shift: Shift = Shift.LSL,
    amount: int = 0,
) -> int:
    """`op rd, rn, rm, shift #amount`."""
    if not amount and not shift:
        narrow = _alu_narrow(op, rd, rn, rm, flags)
        if narrow is not None:
            return narrow
    if not (rd in GENERAL and rn in GENERAL and rm in GENERAL):
        _check_sp(op, rd, rn, rm, shift, amount)
    return _REGISTER | op << 21 | _sets(flags) | rn << 16 | rd << 8 | _shifted(rm, shift, amount)


def _alu_narrow(op: Alu, rd: int, rn: int, rm: int, flags: Flags) -> int | None:
    if _short(flags) and rd in LOW and rn in LOW and rm in LOW:
        if op in _SUMS:
            return (0x1800 if op == _ADD else 0x1A00) | rm << 6 | rn << 3 | rd
        if op in _TWO_OPERANDS:
            if rd == rn:
                return 0x4000 | _TWO_OPERANDS[op] << 6 | rm << 3 | rd
            if rd == rm and op in _COMMUTE:
                return 0x4000 | _TWO_OPERANDS[op] << 6 | rn << 3 | rd
    if op == _ADD and not _sets(flags) and rd in WITH_SP:
        other = rm if rd == rn else rn if rd == rm else _NO_REGISTER
        if other in (GENERAL if rd == _SP else WITH_SP):
            return 0x4400 | (rd & 8) << 4 | other << 3 | rd & 7
    return None


def _check_sp(op: Alu, rd: int, rn: int, rm: int, shift: Shift, amount: int) -> None:
    """ADD and SUB may read SP, and write it when they read it and shift left by 3 at most."""
    ok = op in _SUMS and rn == _SP and rm in GENERAL
    if not ok or not (rd in GENERAL or (rd == _SP and shift == _LSL and amount <= 3)):
        impossible(Alu(op).name, rd=rd, rn=rn, rm=rm, shift=shift, amount=amount)


def alu_imm(op: Alu, rd: int, rn: int, value: int, flags: Flags = Flags.ANY) -> int:
    """`op rd, rn, #value`, `value` modulo 2^32. Raises EncodingError when no form has the constant."""
    encoding = try_alu_imm(op, rd, rn, value, flags)
    if encoding is None:
        impossible(Alu(op).name, rd=rd, rn=rn, value=value, flags=flags.value)
    return encoding


def try_alu_imm(op: Alu, rd: int, rn: int, value: int, flags: Flags = Flags.ANY) -> int | None:
    """`alu_imm`, with None when the constant has to go into a register.

    The opposite operation is used where it has the constant (ADD for SUB, BIC for AND, ORN for ORR, SBC
    for ADC) and its flags are wanted the same: that holds for all of them but ADD and SUB, whose C
    differs only for 0, which is never exchanged.
    """
    value &= WORD_MASK
    opposite, complement = op, value
    if op in _SUMS:
        narrow = _add_narrow(op, rd, rn, value, flags)
        if narrow is not None:
            return narrow
        if value:
            opposite, complement = (_SUB if op == _ADD else _ADD), -value & WORD_MASK
    elif op == _RSB and value == 0 and _short(flags) and rd in LOW and rn in LOW:
        return 0x4240 | rn << 3 | rd
    elif op in _OPPOSITES and not (_sets(flags) and op not in _CARRYING):
        opposite, complement = _OPPOSITES[op], ~value & WORD_MASK
    if not (rd in GENERAL and rn in GENERAL):
        sp = op in _SUMS and rn == _SP and (rd in GENERAL or rd == _SP)
        if not sp:
            impossible(Alu(op).name, rd=rd, rn=rn, value=value)
    for operation, constant in ((op, value), (opposite, complement)):
        field = encode_modified(constant)
        if field is not None:
            return _IMMEDIATE | operation << 21 | _sets(flags) | rn << 16 | rd << 8 | spread(field)
    return _add_wide(op, rd, rn, value) if not _sets(flags) else None


def _add_narrow(op: Alu, rd: int, rn: int, value: int, flags: Flags) -> int | None:
    """The 16-bit forms of ADD and SUB with a constant, negative ones by the opposite operation."""
    add = op == _ADD
    if value > WORD_MASK >> 1:
        add, value = not add, -value & WORD_MASK
    if rn == _SP and not _sets(flags) and value & 3 == 0:
        if rd == _SP and value <= 508:
            return (0xB000 if add else 0xB080) | value >> 2
        if rd in LOW and add and value <= 1020:
            return 0xA800 | rd << 8 | value >> 2
    if _short(flags) and rd in LOW and rn in LOW:
        if rd == rn and value <= 255:
            return (0x3000 if add else 0x3800) | rd << 8 | value
        if value <= 7:
            return (0x1C00 if add else 0x1E00) | value << 6 | rn << 3 | rd
    return None


def _add_wide(op: Alu, rd: int, rn: int, value: int) -> int | None:
    """ADDW and SUBW, which keep the flags."""
    if op not in _SUMS:
        return None
    add = op == _ADD
    if value > WORD_MASK >> 1:
        add, value = not add, -value & WORD_MASK
    if value > 0xFFF:
        return None
    return (0xF2000000 if add else 0xF2A00000) | rn << 16 | rd << 8 | spread(value)


def compare(op: Compare, rn: int, rm: int, shift: Shift = Shift.LSL, amount: int = 0) -> int:
    """`op rn, rm, shift #amount`: TST, TEQ, CMN or CMP."""
    if not amount and not shift:
        if rn in LOW and rm in LOW and op in _NARROW_COMPARES:
            return 0x4000 | _NARROW_COMPARES[op] << 6 | rm << 3 | rn
        if op == _CMP and rn in WITH_SP and rm in GENERAL:
            return 0x4500 | (rn & 8) << 4 | rm << 3 | rn & 7
    _check_compare(op, rn)
    if rm not in GENERAL:
        impossible(Compare(op).name, rn=rn, rm=rm)
    return _REGISTER | op << 21 | _SET | rn << 16 | 0xF00 | _shifted(rm, shift, amount)


def compare_imm(op: Compare, rn: int, value: int) -> int:
    """`op rn, #value`, `value` modulo 2^32. Raises EncodingError when no form has the constant."""
    encoding = try_compare_imm(op, rn, value)
    if encoding is None:
        impossible(Compare(op).name, rn=rn, value=value)
    return encoding


def try_compare_imm(op: Compare, rn: int, value: int) -> int | None:
    """`compare_imm`, with None when the constant has to go into a register.

    A negative constant of CMP is compared by CMN and the other way round: N, Z, C and V are the same,
    but for the constants 0 and 0x80000000, which are not exchanged.
    """
    value &= WORD_MASK
    if op == _CMP and value <= 255 and rn in LOW:
        return 0x2800 | rn << 8 | value
    _check_compare(op, rn)
    field = encode_modified(value)
    if field is None and op in _COMPARING:
        field, op = encode_modified(-value), (_CMN if op == _CMP else _CMP)
    if field is None:
        return None
    return _IMMEDIATE | op << 21 | _SET | rn << 16 | 0xF00 | spread(field)


def _check_compare(op: Compare, rn: int) -> None:
    """CMP and CMN may look at SP."""
    if rn not in (WITH_SP if op in _COMPARING else GENERAL):
        impossible(Compare(op).name, rn=rn)


def mov(rd: int, rm: int, flags: Flags = Flags.ANY) -> int:
    """`mov rd, rm`."""
    if not _sets(flags) and rd in WITH_SP and rm in WITH_SP:
        return 0x4600 | (rd & 8) << 4 | rm << 3 | rd & 7
    if flags is _SET_FLAGS and rd in LOW and rm in LOW:
        return rm << 3 | rd
    return _move(_ORR, rd, rm, flags, _LSL, 0)


def mvn(rd: int, rm: int, flags: Flags = Flags.ANY, shift: Shift = Shift.LSL, amount: int = 0) -> int:
    """`mvn rd, rm, shift #amount`: the complement."""
    if not amount and not shift and _short(flags) and rd in LOW and rm in LOW:
        return 0x43C0 | rm << 3 | rd
    return _move(_ORN, rd, rm, flags, shift, amount)


def _move(op: Alu, rd: int, rm: int, flags: Flags, shift: Shift, amount: int) -> int:
    if not (rd in GENERAL and rm in GENERAL):
        impossible("MOV" if op == _ORR else "MVN", rd=rd, rm=rm)
    return _REGISTER | op << 21 | _sets(flags) | _NO_REGISTER << 16 | rd << 8 | _shifted(rm, shift, amount)


def try_mov_imm(rd: int, value: int, flags: Flags = Flags.ANY) -> int | None:
    """`mov rd, #value` in one instruction, or None; MOVW and MVN are tried where flags allow them."""
    value &= WORD_MASK
    if value <= 255 and _short(flags) and rd in LOW:
        return 0x2000 | rd << 8 | value
    if rd not in GENERAL:
        impossible("MOV", rd=rd, value=value)
    field = encode_modified(value)
    if field is not None:
        return _IMMEDIATE | _ORR << 21 | _sets(flags) | _NO_REGISTER << 16 | rd << 8 | spread(field)
    if _sets(flags):
        return None
    if value <= 0xFFFF:
        return movw(rd, value)
    return mvn_imm(rd, ~value) if encode_modified(~value) is not None else None


def mvn_imm(rd: int, value: int, flags: Flags = Flags.ANY) -> int:
    """`mvn rd, #value`. Raises EncodingError when the constant is no modified immediate."""
    field = encode_modified(value)
    if field is None or rd not in GENERAL:
        impossible("MVN", rd=rd, value=value)
    return _IMMEDIATE | _ORN << 21 | _sets(flags) | _NO_REGISTER << 16 | rd << 8 | spread(field)


def movw(rd: int, value: int) -> int:
    """`movw rd, #value`: 16 bits, the upper half becomes zero; flags are kept."""
    return _mov_half(0xF2400000, "MOVW", rd, value)


def movt(rd: int, value: int) -> int:
    """`movt rd, #value`: 16 bits into the upper half; flags are kept."""
    return _mov_half(0xF2C00000, "MOVT", rd, value)


def _mov_half(base: int, name: str, rd: int, value: int) -> int:
    if rd not in GENERAL or not 0 <= value <= 0xFFFF:
        impossible(name, rd=rd, value=value)
    return base | (value & 0xF000) << 4 | rd << 8 | spread(value & 0xFFF)


def load_constant(rd: int, value: int, flags: Flags = Flags.ANY) -> tuple[int, ...]:
    """The instructions, one or two, that put `value` modulo 2^32 into `rd`; SET is not possible in two."""
    single = try_mov_imm(rd, value, flags)
    if single is not None:
        return (single,)
    if _sets(flags):
        impossible("MOV", rd=rd, value=value, flags=flags.value)
    return (movw(rd, value & 0xFFFF), movt(rd, value >> 16 & 0xFFFF))


def shift_imm(shift: Shift, rd: int, rm: int, amount: int, flags: Flags = Flags.ANY) -> int:
    """`shift rd, rm, #amount`: LSL 0 to 31, LSR and ASR 1 to 32, ROR 1 to 31."""
    narrow = _short(flags) and shift != _ROR and rd in LOW and rm in LOW
    if narrow and 0 < amount < (32 if shift == _LSL else 33):
        return shift << 11 | (amount & 31) << 6 | rm << 3 | rd
    if amount == 0 and shift == _LSL:
        return mov(rd, rm, flags)
    return _move(_ORR, rd, rm, flags, shift, amount)


def shift_reg(shift: Shift, rd: int, rn: int, rm: int, flags: Flags = Flags.ANY) -> int:
    """`shift rd, rn, rm`: by the low byte of rm, so that 32 and more shift everything out."""
    if rd == rn and _short(flags) and rd in LOW and rm in LOW:
        return 0x4000 | _NARROW_SHIFTS[shift] << 6 | rm << 3 | rd
    if not (rd in GENERAL and rn in GENERAL and rm in GENERAL):
        impossible(Shift(shift).name, rd=rd, rn=rn, rm=rm)
    return 0xFA00F000 | shift << 21 | _sets(flags) | rn << 16 | rd << 8 | rm


def rrx(rd: int, rm: int, flags: Flags = Flags.ANY) -> int:
    """`rrx rd, rm`: right by one through C, the lower step of a 64-bit shift by one."""
    if not (rd in GENERAL and rm in GENERAL):
        impossible("RRX", rd=rd, rm=rm)
    return _REGISTER | _ORR << 21 | _sets(flags) | _NO_REGISTER << 16 | rd << 8 | _ROR << 4 | rm
