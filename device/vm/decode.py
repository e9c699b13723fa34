"""Slots made ready for execution: operands extended, targets absolute, ill-formed slots refused.

The verifier keeps ill-formed programs out of the storage slots. An engine is total all the same: what it
cannot run is a fault at that instruction, with the code that programs.md section 6 gives such findings.
"""

from __future__ import annotations

from typing import Final

from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import (
    FRAME_POINTER,
    REGISTERS,
    SLOT_SIZE,
    Form,
    Instruction,
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


def decode_step(text: bytes, pc: int) -> Step:
    """The instruction at slot `pc` of the linked text; the caller keeps `pc` inside the text.

    Raises GuestFault when the slot cannot be executed.
    """
    instruction = decode_at(text, pc)
    if instruction is None:
        opcode = text[pc * SLOT_SIZE]
        raise GuestFault(FaultCode.ILLEGAL_INSTRUCTION, f"unknown or cut instruction 0x{opcode:02x}")
    op = instruction.op
    _check_registers(instruction)
    _check_fields(Slot.parse(text, pc), op)
    if op.form.slots == 2:
        _check_half(Slot.parse(text, pc + 1), op)
    target = instruction.target
    return (
        _case(op),
        op.sem,
        op.width,
        (1 << op.width) - 1,
        instruction.dst,
        instruction.src,
        instruction.off if target is None else target,
        instruction.imm & MASK64,
        op.form in _REGISTER_OPERAND,
    )


def _case(op: Op) -> int:
    if op.writes_src:
        return ATOMIC_FETCH
    return _CASE_OF_SEM[op.sem] if op.sem in _CASE_OF_SEM else _CASE_OF_FORM[op.form]


def _check_registers(instruction: Instruction) -> None:
    op, dst, src = instruction.op, instruction.dst, instruction.src
    if max(dst, src) >= REGISTERS:
        raise GuestFault(FaultCode.ILLEGAL_REGISTER, f"invalid register r{max(dst, src)}")
    if (op.writes_dst and dst == FRAME_POINTER) or (op.writes_src and src == FRAME_POINTER):
        raise GuestFault(FaultCode.ILLEGAL_REGISTER, "write to read-only r10")


def _check_fields(slot: Slot, op: Op) -> None:
    for name in op.form.zero:
        value, wanted = getattr(slot, name), op.select if name == op.form.selector else 0
        if value != wanted:
            detail = f"field {name} of opcode 0x{slot.opcode:02x} is {value}, must be {wanted}"
            raise GuestFault(FaultCode.ILLEGAL_INSTRUCTION, detail)


def _check_half(second: Slot, op: Op) -> None:
    """The second slot of a wide instruction holds the upper half of the immediate and nothing else."""
    wrong_base = op.form is Form.WIDE_RELATIVE and second.imm not in (0, -1)
    if wrong_base or (second.opcode, second.dst, second.src, second.off) != (0, 0, 0, 0):
        raise GuestFault(FaultCode.ILLEGAL_INSTRUCTION, f"second half of {op.mnemonic} is none")


def check_text(text: bytes, entry: int) -> None:
    """Raise GuestFault when a run of `text` from slot `entry` has nowhere to begin."""
    if not text or len(text) % SLOT_SIZE:
        detail = f"text length {len(text)} is not a multiple of 8" if text else "no instructions"
        raise GuestFault(FaultCode.ILLEGAL_LEN, detail)
    if not 0 <= entry < len(text) // SLOT_SIZE:
        raise GuestFault(FaultCode.ILLEGAL_JUMP, f"entry #{entry} is outside the program")
