"""The operands of Thumb-2 instructions: registers, conditions, shifts, and what happens to the flags.

Registers are plain ints to the encoder; `R` and `S` only name them. An encoding is an int too: below
0x10000 it is one halfword, else the first halfword stands in the upper 16 bits.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NoReturn

from device.jit.errors import EncodingError


class R(IntEnum):
    """The core registers."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10
    R11 = 11
    R12 = 12
    SP = 13
    LR = 14
    PC = 15


class Cond(IntEnum):
    """The conditions, by their field; `AL` only where an encoding has it."""

    EQ = 0
    NE = 1
    HS = 2
    LO = 3
    MI = 4
    PL = 5
    VS = 6
    VC = 7
    HI = 8
    LS = 9
    GE = 10
    LT = 11
    GT = 12
    LE = 13
    AL = 14

    @property
    def inverse(self) -> Cond:
        """The condition that holds exactly when this one does not."""
        if self is Cond.AL:
            raise EncodingError("the condition AL has no inverse")
        return Cond(self ^ 1)


class Shift(IntEnum):
    """The shifts of a register operand, by their field."""

    LSL = 0
    LSR = 1
    ASR = 2
    ROR = 3


class Flags(Enum):
    """What the code around an instruction needs of N, Z, C and V.

    Sixteen-bit forms of most data processing set the flags outside an IT block and keep them inside
    one. `ANY` takes the shorter form; inside an IT block it therefore keeps the flags. `SET` is for
    code outside IT blocks, `SET_IN_IT` for code inside one (always 32 bits).
    """

    ANY = "any"
    KEEP = "keep"
    SET = "set"
    SET_IN_IT = "set inside an IT block"


SINGLES: Final = frozenset(range(32))
"""S0 to S31."""
LOW: Final = frozenset(range(8))
"""The registers that 16-bit forms can name."""
GENERAL: Final = frozenset({*range(13), 14})
"""Every core register but SP and PC: what 32-bit forms can name without being unpredictable."""
WITH_SP: Final = frozenset(range(15))
NARROW_LIMIT: Final = 0x10000
"""Encodings below it are one halfword."""


def size_of(encoding: int) -> int:
    """The bytes of an encoding: 2 or 4."""
    return 2 if encoding < NARROW_LIMIT else 4


def impossible(instruction: str, **operands: object) -> NoReturn:
    """Raise EncodingError: `instruction` has no encoding with these operands."""
    shown = ", ".join(f"{name}={value!s}" for name, value in operands.items())
    raise EncodingError(f"{instruction} has no encoding with {shown}", where=instruction)
