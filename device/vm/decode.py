"""Slots made ready for execution: operands extended, targets absolute, ill-formed slots refused.

The verifier keeps ill-formed programs out of the storage slots. An engine is total all the same: what it
cannot run is a fault at that instruction, with the code that programs.md section 6 gives such findings.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import (
    BY_OPCODE,
    FRAME_POINTER,
    REGISTERS,
    SLOT_SIZE,
    Form,
    Op,
    Sem,
    Slot,
    decode_at,
)

MASK32: Final = 0xFFFFFFFF
MASK64: Final = 0xFFFFFFFFFFFFFFFF

# The cases of an execution loop. Plain numbers: comparing them is fast, looking up an enum's member is not.
(
    ALU,
    BRANCH,
    LOAD,
    STORE,
    JUMP,
    CONSTANT,
    CALL_HELPER,
    CALL_LOCAL,
    EXIT,
    LOAD_SIGNED,
    DATA_ADDRESS,
    RODATA_ADDRESS,
    ATOMIC,
    ATOMIC_FETCH,
    COMPARE_EXCHANGE,
    END,
) = range(16)

_CASE_OF_FORM: Final = {
    Form.ALU_IMM: ALU,
    Form.ALU_REG: ALU,
    Form.ALU_UNARY: ALU,
    Form.BYTE_ORDER: ALU,
    Form.BRANCH_IMM: BRANCH,
    Form.BRANCH_REG: BRANCH,
    Form.LOAD: LOAD,
    Form.STORE_IMM: STORE,
    Form.STORE_REG: STORE,
    Form.JUMP: JUMP,
    Form.JUMP_FAR: JUMP,
    Form.WIDE: CONSTANT,
    Form.CALL_HELPER: CALL_HELPER,
    Form.CALL_LOCAL: CALL_LOCAL,
    Form.EXIT: EXIT,
    Form.ATOMIC: ATOMIC,
}
# Where the form alone does not say it.
_CASE_OF_SEM: Final = {
    Sem.LOAD_SIGNED: LOAD_SIGNED,
    Sem.LDDW_DATA: DATA_ADDRESS,
    Sem.LDDW_RODATA: RODATA_ADDRESS,
    Sem.ATOMIC_CMPXCHG: COMPARE_EXCHANGE,
}
_REGISTER_OPERAND: Final = frozenset({Form.ALU_REG, Form.STORE_REG, Form.BRANCH_REG})

Step = tuple[int, Sem, int, int, int, int, int, int, bool]
"""(case, sem, width, mask of that width, dst, src, off, immediate, whether src is the second operand).

`off` is the displacement of a memory access, or the absolute target of a jump or local call. The
immediate is sign-extended to 64 bits and unsigned then (of `lddw` and its relatives: what it says).
"""

END_STEP: Final[Step] = (END, Sem.EXIT, 0, 0, 0, 0, 0, 0, False)
"""What stands after the last slot."""


_SLOT: Final = Struct("<Q")
_DST_AT, _SRC_AT, _OFF_AT, _IMM_AT = 8, 12, 16, 32
_FIELDS: Final = {
    "dst": (0xF, _DST_AT),
    "src": (0xF, _SRC_AT),
    "off": (0xFFFF, _OFF_AT),
    "imm": (MASK32, _IMM_AT),
}
"""Where the fields are in a slot that is read as one number."""

# How `off` and the immediate come from the fields: as they are, the immediate signed; with `off` or the
# immediate the distance of a jump; with an immediate that is unsigned; with two slots, the upper half of the
# immediate in the second one or, where it is relative, nothing but a sign.
_PLAIN, _NEAR, _FAR, _UNSIGNED, _WIDE, _RELATIVE = range(6)
_KIND_OF_FORM: Final = {
    Form.JUMP: _NEAR,
    Form.BRANCH_IMM: _NEAR,
    Form.BRANCH_REG: _NEAR,
    Form.JUMP_FAR: _FAR,
    Form.CALL_LOCAL: _FAR,
    Form.CALL_HELPER: _UNSIGNED,
    Form.WIDE: _WIDE,
    Form.WIDE_RELATIVE: _RELATIVE,
}

_Row = tuple[int, int, int, int, int, tuple[int, Sem, int, int, bool]]
"""A row of the table, for the decoder: a slot that has the second number in the bits of the first one is that
instruction, if its dst and src are below the next two. Then how its operands are read, and what a step has
of the row: case, sem, width, mask, whether src is the second operand."""


def decode_step(text: bytes, pc: int) -> Step:
    """The instruction at slot `pc` of the linked text; the caller keeps `pc` inside the text.

    Raises GuestFault when the slot cannot be executed.
    """
    (slot,) = _SLOT.unpack_from(text, pc * SLOT_SIZE)
    dst, src = slot >> _DST_AT & 0xF, slot >> _SRC_AT & 0xF
    for bits, value, dst_end, src_end, kind, row in _ROWS.get(slot & 0xFF, ()):
        if slot & bits != value or dst >= dst_end or src >= src_end:
            continue
        off, imm = (slot >> _OFF_AT & 0xFFFF ^ 0x8000) - 0x8000, slot >> _IMM_AT
        if kind >= _WIDE:
            imm = _in_two_slots(text, pc, imm, relative=kind == _RELATIVE)
        elif kind != _UNSIGNED:
            imm = (imm ^ 0x80000000) - 0x80000000
            if kind != _PLAIN:
                off = pc + 1 + (off if kind == _NEAR else imm)
            imm &= MASK64
        case, sem, width, mask, from_register = row
        return case, sem, width, mask, dst, src, off, imm, from_register
    raise _refusal(text, pc)


def _row(op: Op) -> _Row:
    bits, value = 0xFF, op.opcode
    for name in op.form.zero:
        mask, place = _FIELDS[name]
        bits |= mask << place
    if op.form.selector is not None:
        mask, place = _FIELDS[op.form.selector]
        bits, value = bits | mask << place, value | op.select << place
    dst_end, src_end = (FRAME_POINTER if writes else REGISTERS for writes in (op.writes_dst, op.writes_src))
    step = _case(op), op.sem, op.width, (1 << op.width) - 1, op.form in _REGISTER_OPERAND
    return bits, value, dst_end, src_end, _KIND_OF_FORM.get(op.form, _PLAIN), step


def _case(op: Op) -> int:
    if op.writes_src:
        return ATOMIC_FETCH
    return _CASE_OF_SEM[op.sem] if op.sem in _CASE_OF_SEM else _CASE_OF_FORM[op.form]


_ROWS: Final = {opcode: tuple(_row(op) for op in rows) for opcode, rows in BY_OPCODE.items()}


def _in_two_slots(text: bytes, pc: int, low: int, *, relative: bool) -> int:
    """The immediate of a wide instruction, of which nothing else is in the second slot."""
    if (pc + 2) * SLOT_SIZE > len(text):
        raise _refusal(text, pc)
    (second,) = _SLOT.unpack_from(text, (pc + 1) * SLOT_SIZE)
    high = second >> _IMM_AT
    if second & MASK32 or (relative and high not in (0, MASK32)):
        raise _refusal(text, pc)
    return low if relative else low | high << 32


# What cannot be executed, and why.


def _refusal(text: bytes, pc: int) -> GuestFault:
    """The fault of a slot that is no instruction, the first of its faults."""
    instruction = decode_at(text, pc)
    if instruction is None:
        opcode = text[pc * SLOT_SIZE]
        return GuestFault(FaultCode.ILLEGAL_INSTRUCTION, f"unknown or cut instruction 0x{opcode:02x}")
    op, dst, src = instruction.op, instruction.dst, instruction.src
    if max(dst, src) >= REGISTERS:
        return GuestFault(FaultCode.ILLEGAL_REGISTER, f"invalid register r{max(dst, src)}")
    if (op.writes_dst and dst == FRAME_POINTER) or (op.writes_src and src == FRAME_POINTER):
        return GuestFault(FaultCode.ILLEGAL_REGISTER, "write to read-only r10")
    slot = Slot.parse(text, pc)
    for name in op.form.zero:
        value, wanted = getattr(slot, name), op.select if name == op.form.selector else 0
        if value != wanted:
            detail = f"field {name} of opcode 0x{slot.opcode:02x} is {value}, must be {wanted}"
            return GuestFault(FaultCode.ILLEGAL_INSTRUCTION, detail)
    return GuestFault(FaultCode.ILLEGAL_INSTRUCTION, f"second half of {op.mnemonic} is none")


def check_text(text: bytes, entry: int) -> None:
    """Raise GuestFault when a run of `text` from slot `entry` has nowhere to begin."""
    if not text or len(text) % SLOT_SIZE:
        detail = f"text length {len(text)} is not a multiple of 8" if text else "no instructions"
        raise GuestFault(FaultCode.ILLEGAL_LEN, detail)
    if not 0 <= entry < len(text) // SLOT_SIZE:
        raise GuestFault(FaultCode.ILLEGAL_JUMP, f"entry #{entry} is outside the program")
