"""Values at which arithmetic goes wrong, and ways for a register to come by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.vm.isa import Form
from tests.property.differential.builder import Builder
from tests.property.programs import ROWS, WIDE

VALUES: Final = (
    0, 1, 2, 31, 32, 33, 63, 64, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x1_00000000, 0x1_00000001,
    0x7FFFFFFF_FFFFFFFF, 0x80000000_00000000, 0x80000000_00000001, 0xFFFFFFFF_80000000, 0xFFFFFFFF_FFFFFFFE,
    0xFFFFFFFF_FFFFFFFF, 0x01234567_89ABCDEF,
)  # fmt: skip
"""Each with each other: 0, ±1, the powers of two that halves and signs end at, shift counts, and anything."""

IMMEDIATES: Final = (
    0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 0xFF, 0x100, 0xFFF, 0x1000, 0x8000, 0xFFFF, 0xFF00FF, 0x12345678,
    0x7FFFFFFF, -0x80000000, -0x7FFFFFFF, -0x10000, -4096, -256, -255, -64, -32, -2, -1,
)  # fmt: skip
"""Also the ends of what immediates of Thumb-2 can hold."""

LOADS: Final = {
    "dw": "ldxdw",
    "w": "ldxw",
    "h": "ldxh",
    "b": "ldxb",
    "sw": "ldxsw",
    "sh": "ldxsh",
    "sb": "ldxsb",
}
MASKS: Final = {"below 32": (31, 0), "from 32 on": (31, 32), "below 64": (63, 0), "small": (7, 1)}
KINDS: Final = (*LOADS, *MASKS, "top", "negative")
"""Values that come from memory, by what is known of them: their width, a count's range, halves that are 0."""

SOME_KINDS: Final = ("dw", "w", "sw", "b", "below 32", "from 32 on", "top")
PAIRS: Final = tuple((dst, src) for src in range(11) for dst in range(10))
"""All registers that an instruction can have, src equal to dst included."""
FEW_PAIRS: Final = ((0, 1), (4, 4), (7, 2), (9, 10))


@dataclass(frozen=True, slots=True)
class Operand:
    """How a register gets its value: loaded from the context at `at` by one of KINDS, or `value` itself."""

    kind: str = "dw"
    at: int = 0
    value: int | None = None


def put(out: Builder, register: int, operand: Operand, base: int = 1) -> None:
    """Bring it into the register. `base` points to the context."""
    if operand.value is not None:
        constant(out, register, operand.value)
        return
    load = LOADS.get(operand.kind, "ldxw" if operand.kind == "top" else "ldxdw")
    out.emit(ROWS[load, Form.LOAD], register, base, operand.at)
    if operand.kind in MASKS:
        mask, more = MASKS[operand.kind]
        out.alu("and", register, mask)
        if more:
            out.alu("or", register, more)
    elif operand.kind == "top":
        out.alu("lsh", register, 32)
    elif operand.kind == "negative":
        out.alu("or", register, -0x80000000)


def constant(out: Builder, register: int, value: int) -> None:
    """A value that whoever compiles the program knows, in the shorter form."""
    if value < 2**31:
        out.alu("mov", register, value)
    elif value >= 2**64 - 2**31:
        out.alu("mov", register, value - 2**64)
    else:
        out.emit(WIDE, register, imm=value)


def put_all(out: Builder, operands: dict[int, Operand]) -> None:
    """Bring several into their registers; r1, which points to the context, last. r10 is what it is."""
    for register in sorted(operands, key=lambda register: register == 1):
        if register != 10:
            put(out, register, operands[register])


def words(*values: int) -> bytes:
    """Words of 64 bits as they lie in memory."""
    return b"".join((value & 2**64 - 1).to_bytes(8, "little") for value in values)
