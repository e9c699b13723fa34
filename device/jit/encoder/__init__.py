"""The Thumb-2 and VFP-move instructions that the JIT emits, as pure functions: operands in, encoding out.

    from device.jit.encoder import Alu, Flags, R, Shift, alu, alu_imm, size_of

    alu(Alu.ADD, R.R0, R.R1, R.R2)                     # 0x1888, two bytes, may set the flags
    alu(Alu.ADD, R.R0, R.R1, R.R2, Flags.KEEP)         # 0xEB010002, four bytes, keeps them
    alu(Alu.ORR, R.R0, R.R0, R.R1, Flags.ANY, Shift.LSL, 8)

For the author of the lowering:

- Registers may be plain ints. An encoding is an int; `size_of` tells its bytes without encoding it again, so
  alternatives can be compared by length.
- `Flags.ANY` is the default and gives the shortest form. Ask for `KEEP` where a comparison is still to be
  used, `SET` where the result is tested against zero afterwards (that saves the `cmp`), `SET_IN_IT` for the
  fused budget (`cmp; it; subs; b`). Inside an IT block `ANY` keeps the flags.
- Two-operand forms are half as long: let the destination be the first source of AND, ORR, EOR, BIC, ADC, SBC,
  MUL and shifts by register. ADD and SUB have three low operands in 16 bits.
- `try_alu_imm`, `try_compare_imm` and `try_mov_imm` return None for a constant that has to go into a register
  or the literal pool; the functions without `try_` raise EncodingError, which is a bug of ours.
- SBC and ADC take the complement, ADD and SUB the negative, AND and ORR BIC and ORN by themselves.
- The carry of ARM's subtraction is the inverse of a borrow: LO after a comparison means unsigned less, and a
  64-bit comparison is `cmp low; sbcs high` with LO, HS, LT and GE (exchange the operands for the other four).
- UDIV and SDIV by zero give zero, and SDIV of MIN by -1 gives MIN: eBPF's own rules. Shifts by register look
  at the low byte, so eBPF's counts have to be cut to 5 or 6 bits first.
"""

from device.jit.encoder.arithmetic import (
    Extend,
    Long,
    Unary,
    bfc,
    bfi,
    extend,
    long_mul,
    mla,
    mls,
    mul,
    sbfx,
    sdiv,
    ubfx,
    udiv,
    unary,
)
from device.jit.encoder.control import (
    NOP,
    address_of,
    blx,
    branch_if_narrow,
    branch_if_wide,
    branch_link,
    branch_narrow,
    branch_wide,
    branch_zero,
    bx,
    copy_single,
    from_pair,
    from_single,
    if_then,
    svc,
    to_pair,
    to_single,
    udf,
)
from device.jit.encoder.data import (
    Alu,
    Compare,
    alu,
    alu_imm,
    compare,
    compare_imm,
    load_constant,
    mov,
    movt,
    movw,
    mvn,
    mvn_imm,
    rrx,
    shift_imm,
    shift_reg,
    try_alu_imm,
    try_compare_imm,
    try_mov_imm,
)
from device.jit.encoder.immediates import decode_modified, encode_modified
from device.jit.encoder.memory import (
    Access,
    access,
    access_after,
    access_before,
    access_register,
    load_literal,
    load_many,
    pop,
    push,
    store_many,
)
from device.jit.encoder.operands import Cond, Flags, R, Shift, size_of

__all__ = [
    "NOP",
    "Access",
    "Alu",
    "Compare",
    "Cond",
    "Extend",
    "Flags",
    "Long",
    "R",
    "Shift",
    "Unary",
    "access",
    "access_after",
    "access_before",
    "access_register",
    "address_of",
    "alu",
    "alu_imm",
    "bfc",
    "bfi",
    "blx",
    "branch_if_narrow",
    "branch_if_wide",
    "branch_link",
    "branch_narrow",
    "branch_wide",
    "branch_zero",
    "bx",
    "compare",
    "compare_imm",
    "copy_single",
    "decode_modified",
    "encode_modified",
    "extend",
    "from_pair",
    "from_single",
    "if_then",
    "load_constant",
    "load_literal",
    "load_many",
    "long_mul",
    "mla",
    "mls",
    "mov",
    "movt",
    "movw",
    "mul",
    "mvn",
    "mvn_imm",
    "pop",
    "push",
    "rrx",
    "sbfx",
    "sdiv",
    "shift_imm",
    "shift_reg",
    "size_of",
    "store_many",
    "svc",
    "to_pair",
    "to_single",
    "try_alu_imm",
    "try_compare_imm",
    "try_mov_imm",
    "ubfx",
    "udf",
    "udiv",
    "unary",
]
