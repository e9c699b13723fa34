"""The instruction set: one table, read by everything that knows an opcode.

RFC 9669, groups base32, base64, divmul32, divmul64, atomic32 and atomic64, up to compiler level v4,
plus the two data-relative loads of the header layouts. Decoder, verifier, engines, assembler,
disassembler and the documentation page (reference.py) read `TABLE`, and a test fails when one of them misses
a row. Modules that look for one instruction only, such as the linker for calls, name its opcode themselves.

A slot is eight bytes: opcode, registers (low nibble dst, high nibble src), off (s16), imm (s32),
little-endian (RFC 9669 section 3). `lddw` and its relatives take two slots.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, NamedTuple

SLOT_SIZE: Final = 8
REGISTERS: Final = 11
FRAME_POINTER: Final = 10

_SLOT = struct.Struct("<BBhi")


class Form(Enum):
    """The operand shape: how it is written, which fields must be 0, which field selects the row.

    Where several rows share an opcode, `selector` names the field that tells them apart.
    """

    ALU_IMM = ("dst, imm", ("src", "off"), "off")
    ALU_REG = ("dst, src", ("off", "imm"), "off")
    ALU_UNARY = ("dst", ("src", "off", "imm"), None)
    BYTE_ORDER = ("dst", ("src", "off"), "imm")
    LOAD = ("dst, [src+off]", ("imm",), None)
    STORE_IMM = ("[dst+off], imm", ("src",), None)
    STORE_REG = ("[dst+off], src", ("imm",), None)
    ATOMIC = ("[dst+off], src", (), "imm")
    WIDE = ("dst, imm64", ("src", "off"), None)
    WIDE_RELATIVE = ("dst, imm", ("src", "off"), None)
    JUMP = ("target", ("dst", "src", "imm"), None)
    JUMP_FAR = ("target", ("dst", "src", "off"), None)
    BRANCH_IMM = ("dst, imm, target", ("src",), None)
    BRANCH_REG = ("dst, src, target", ("imm",), None)
    CALL_HELPER = ("helper", ("dst", "off"), "src")
    CALL_LOCAL = ("function", ("dst", "off"), "src")
    EXIT = ("", ("dst", "src", "off", "imm"), None)

    def __init__(self, syntax: str, zero: tuple[str, ...], selector: str | None) -> None:
        self.syntax = syntax
        self.zero = zero
        self.selector = selector

    @property
    def operands(self) -> tuple[str, ...]:
        """The operands as they are written, in order; the assembler's and disassembler's grammar."""
        return tuple(self.syntax.split(", ")) if self.syntax else ()

    @property
    def slots(self) -> int:
        """Slots that an instruction of this form takes: 1, or 2 for the wide loads."""
        return 2 if self in (Form.WIDE, Form.WIDE_RELATIVE) else 1

    @property
    def jumps(self) -> bool:
        """Whether the instruction is a jump within the function (calls and exit are not)."""
        return self in (Form.JUMP, Form.JUMP_FAR, Form.BRANCH_IMM, Form.BRANCH_REG)

    @property
    def falls_through(self) -> bool:
        """Whether execution can go on with the next instruction."""
        return self not in (Form.JUMP, Form.JUMP_FAR, Form.EXIT)


class Sem(StrEnum):
    """What an instruction does, whatever its width and operand form."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    SDIV = "sdiv"
    OR = "or"
    AND = "and"
    LSH = "lsh"
    RSH = "rsh"
    MOD = "mod"
    SMOD = "smod"
    XOR = "xor"
    MOV = "mov"
    MOVSX8 = "movsx8"
    MOVSX16 = "movsx16"
    MOVSX32 = "movsx32"
    ARSH = "arsh"
    NEG = "neg"
    LE16 = "le16"
    LE32 = "le32"
    LE64 = "le64"
    BE16 = "be16"
    BE32 = "be32"
    BE64 = "be64"
    BSWAP16 = "bswap16"
    BSWAP32 = "bswap32"
    BSWAP64 = "bswap64"
    LOAD = "load"
    LOAD_SIGNED = "load_signed"
    STORE = "store"
    ATOMIC_ADD = "atomic_add"
    ATOMIC_OR = "atomic_or"
    ATOMIC_AND = "atomic_and"
    ATOMIC_XOR = "atomic_xor"
    ATOMIC_FETCH_ADD = "atomic_fetch_add"
    ATOMIC_FETCH_OR = "atomic_fetch_or"
    ATOMIC_FETCH_AND = "atomic_fetch_and"
    ATOMIC_FETCH_XOR = "atomic_fetch_xor"
    ATOMIC_XCHG = "atomic_xchg"
    ATOMIC_CMPXCHG = "atomic_cmpxchg"
    LDDW = "lddw"
    LDDW_DATA = "lddwd"
    LDDW_RODATA = "lddwr"
    JA = "ja"
    JEQ = "jeq"
    JGT = "jgt"
    JGE = "jge"
    JSET = "jset"
    JNE = "jne"
    JSGT = "jsgt"
    JSGE = "jsge"
    JLT = "jlt"
    JLE = "jle"
    JSLT = "jslt"
    JSLE = "jsle"
    CALL = "call"
    CALL_LOCAL = "call_local"
    EXIT = "exit"


class Group(StrEnum):
    """Conformance groups of RFC 9669 section 2.4, and what is outside it."""

    BASE32 = "base32"
    BASE64 = "base64"
    DIVMUL32 = "divmul32"
    DIVMUL64 = "divmul64"
    ATOMIC32 = "atomic32"
    ATOMIC64 = "atomic64"
    HEADER = "header layouts"


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the table.

    `width` is in bits: of the operation (32 or 64), of the access (8 to 64), of the comparison.
    `select` is the value of the form's selector field where several rows share the opcode.
    `cpu` is the compiler level (clang's `-mcpu=vN`) that first emits it.
    """

    mnemonic: str
    opcode: int
    form: Form
    sem: Sem
    width: int
    group: Group
    cpu: int = 1
    select: int = 0

    @property
    def size(self) -> int:
        """Bytes of memory that the instruction accesses, if it does."""
        return self.width // 8

    @property
    def writes_dst(self) -> bool:
        """Whether the register in dst gets a value."""
        return self.form in _WRITES_DST

    @property
    def writes_src(self) -> bool:
        """Whether the register in src gets a value: the fetching atomics except cmpxchg (that is r0)."""
        return self.sem in _WRITES_SRC

    @property
    def reads_dst(self) -> bool:
        """Whether the register in dst is read (as operand or as address)."""
        return self.form in _READS_DST or (
            self.form in (Form.ALU_IMM, Form.ALU_REG) and self.sem not in _MOVES
        )

    @property
    def reads_src(self) -> bool:
        """Whether the register in src is read (as operand, value or address)."""
        return self.form in _READS_SRC

    @property
    def reads_r0(self) -> bool:
        """Whether r0 is read without being named: cmpxchg compares with it, exit returns it."""
        return self.sem in (Sem.ATOMIC_CMPXCHG, Sem.EXIT)

    @property
    def writes_r0(self) -> bool:
        """Whether r0 gets a value without being named: calls, and cmpxchg's old value."""
        return self.sem in (Sem.ATOMIC_CMPXCHG, Sem.CALL, Sem.CALL_LOCAL)


_WRITES_DST = frozenset(
    {Form.ALU_IMM, Form.ALU_REG, Form.ALU_UNARY, Form.BYTE_ORDER, Form.LOAD, Form.WIDE, Form.WIDE_RELATIVE}
)
_READS_DST = frozenset(
    {
        Form.ALU_UNARY,
        Form.BYTE_ORDER,
        Form.STORE_IMM,
        Form.STORE_REG,
        Form.ATOMIC,
        Form.BRANCH_IMM,
        Form.BRANCH_REG,
    }
)
_READS_SRC = frozenset({Form.ALU_REG, Form.LOAD, Form.STORE_REG, Form.ATOMIC, Form.BRANCH_REG})
_MOVES = frozenset({Sem.MOV, Sem.MOVSX8, Sem.MOVSX16, Sem.MOVSX32})
_WRITES_SRC = frozenset(
    {
        Sem.ATOMIC_FETCH_ADD,
        Sem.ATOMIC_FETCH_OR,
        Sem.ATOMIC_FETCH_AND,
        Sem.ATOMIC_FETCH_XOR,
        Sem.ATOMIC_XCHG,
    }
)

# RFC 9669 tables 5, 7 and 9: the operation in the high nibble of the opcode.
_ALU = (
    (0x00, Sem.ADD),
    (0x10, Sem.SUB),
    (0x20, Sem.MUL),
    (0x30, Sem.DIV),
    (0x40, Sem.OR),
    (0x50, Sem.AND),
    (0x60, Sem.LSH),
    (0x70, Sem.RSH),
    (0x90, Sem.MOD),
    (0xA0, Sem.XOR),
    (0xB0, Sem.MOV),
    (0xC0, Sem.ARSH),
)
# Operations with a second meaning under off: div and mod become signed with 1, register moves sign-extend.
_SIGNED = {Sem.DIV: Sem.SDIV, Sem.MOD: Sem.SMOD}
_MOVSX = {8: Sem.MOVSX8, 16: Sem.MOVSX16, 32: Sem.MOVSX32}
_BRANCHES = (
    (0x10, Sem.JEQ, 1),
    (0x20, Sem.JGT, 1),
    (0x30, Sem.JGE, 1),
    (0x40, Sem.JSET, 1),
    (0x50, Sem.JNE, 1),
    (0x60, Sem.JSGT, 1),
    (0x70, Sem.JSGE, 1),
    (0xA0, Sem.JLT, 2),
    (0xB0, Sem.JLE, 2),
    (0xC0, Sem.JSLT, 2),
    (0xD0, Sem.JSLE, 2),
)
_SIZES = (("w", 0x00, 32), ("h", 0x08, 16), ("b", 0x10, 8), ("dw", 0x18, 64))
_ATOMICS = (
    ("lock add", 0x00, Sem.ATOMIC_ADD),
    ("lock or", 0x40, Sem.ATOMIC_OR),
    ("lock and", 0x50, Sem.ATOMIC_AND),
    ("lock xor", 0xA0, Sem.ATOMIC_XOR),
    ("lock fetch add", 0x01, Sem.ATOMIC_FETCH_ADD),
    ("lock fetch or", 0x41, Sem.ATOMIC_FETCH_OR),
    ("lock fetch and", 0x51, Sem.ATOMIC_FETCH_AND),
    ("lock fetch xor", 0xA1, Sem.ATOMIC_FETCH_XOR),
    ("lock xchg", 0xE1, Sem.ATOMIC_XCHG),
    ("lock cmpxchg", 0xF1, Sem.ATOMIC_CMPXCHG),
)
_BYTE_ORDERS = (
    ("le", 0xD4, {16: Sem.LE16, 32: Sem.LE32, 64: Sem.LE64}, 1),
    ("be", 0xDC, {16: Sem.BE16, 32: Sem.BE32, 64: Sem.BE64}, 1),
    ("bswap", 0xD7, {16: Sem.BSWAP16, 32: Sem.BSWAP32, 64: Sem.BSWAP64}, 4),
)


def _alu(suffix: str, width: int, base: int, cpu: int) -> Iterator[Op]:
    plain, divmul = (Group.BASE64, Group.DIVMUL64) if width == 64 else (Group.BASE32, Group.DIVMUL32)
    for code, sem in _ALU:
        group = divmul if sem in (Sem.MUL, Sem.DIV, Sem.MOD) else plain
        for form, source in ((Form.ALU_IMM, 0x00), (Form.ALU_REG, 0x08)):
            opcode = base | code | source
            yield Op(f"{sem}{suffix}", opcode, form, sem, width, group, cpu)
            if sem in _SIGNED:
                signed = _SIGNED[sem]
                yield Op(f"{signed}{suffix}", opcode, form, signed, width, group, 4, select=1)
            if sem is Sem.MOV and form is Form.ALU_REG:
                for bits, extend in _MOVSX.items():
                    if bits < width:
                        yield Op(f"{extend}{suffix}", opcode, form, extend, width, group, 4, select=bits)
    yield Op(f"neg{suffix}", base | 0x80, Form.ALU_UNARY, Sem.NEG, width, plain, cpu)


def _branches(suffix: str, width: int, base: int, first_cpu: int) -> Iterator[Op]:
    group = Group.BASE64 if width == 64 else Group.BASE32
    for code, sem, cpu in _BRANCHES:
        level = max(cpu, first_cpu)
        yield Op(f"{sem}{suffix}", base | code, Form.BRANCH_IMM, sem, width, group, level)
        yield Op(f"{sem}{suffix}", base | code | 0x08, Form.BRANCH_REG, sem, width, group, level)


def _memory() -> Iterator[Op]:
    for letter, size, width in _SIZES:
        group = Group.BASE64 if width == 64 else Group.BASE32
        yield Op(f"ldx{letter}", 0x61 | size, Form.LOAD, Sem.LOAD, width, group)
        yield Op(f"st{letter}", 0x62 | size, Form.STORE_IMM, Sem.STORE, width, group)
        yield Op(f"stx{letter}", 0x63 | size, Form.STORE_REG, Sem.STORE, width, group)
        if width < 64:
            yield Op(f"ldxs{letter}", 0x81 | size, Form.LOAD, Sem.LOAD_SIGNED, width, Group.BASE64, 4)
    for mnemonic, code, sem in _ATOMICS:
        cpu = 1 if sem is Sem.ATOMIC_ADD else 3
        yield Op(mnemonic, 0xDB, Form.ATOMIC, sem, 64, Group.ATOMIC64, cpu, select=code)
        yield Op(f"{mnemonic}32", 0xC3, Form.ATOMIC, sem, 32, Group.ATOMIC32, cpu, select=code)


def _table() -> Iterator[Op]:
    yield from _alu("", 64, 0x07, 1)
    yield from _alu("32", 32, 0x04, 3)
    for name, opcode, widths, cpu in _BYTE_ORDERS:
        for bits, sem in widths.items():
            group = Group.BASE64 if bits == 64 else Group.BASE32
            yield Op(f"{name}{bits}", opcode, Form.BYTE_ORDER, sem, bits, group, cpu, select=bits)
    yield from _memory()
    yield Op("lddw", 0x18, Form.WIDE, Sem.LDDW, 64, Group.BASE64)
    yield Op("lddwd", 0xB8, Form.WIDE_RELATIVE, Sem.LDDW_DATA, 64, Group.HEADER)
    yield Op("lddwr", 0xD8, Form.WIDE_RELATIVE, Sem.LDDW_RODATA, 64, Group.HEADER)
    yield Op("ja", 0x05, Form.JUMP, Sem.JA, 64, Group.BASE32)
    yield Op("ja32", 0x06, Form.JUMP_FAR, Sem.JA, 32, Group.BASE32, 4)
    yield from _branches("", 64, 0x05, 1)
    yield from _branches("32", 32, 0x06, 3)
    yield Op("call", 0x85, Form.CALL_HELPER, Sem.CALL, 64, Group.BASE32, select=0)
    yield Op("call local", 0x85, Form.CALL_LOCAL, Sem.CALL_LOCAL, 64, Group.BASE32, 3, select=1)
    yield Op("exit", 0x95, Form.EXIT, Sem.EXIT, 64, Group.BASE32)


TABLE: Final[tuple[Op, ...]] = tuple(_table())


def _rows_by_opcode() -> dict[int, tuple[Op, ...]]:
    rows: dict[int, list[Op]] = {}
    for op in TABLE:
        rows.setdefault(op.opcode, []).append(op)
    return {opcode: tuple(found) for opcode, found in rows.items()}


BY_OPCODE: Final[dict[int, tuple[Op, ...]]] = _rows_by_opcode()


class Slot(NamedTuple):
    """The raw fields of one slot, as encoded: registers 0 to 15, off s16, imm s32."""

    opcode: int
    dst: int
    src: int
    off: int
    imm: int

    @classmethod
    def parse(cls, text: bytes, index: int) -> Slot:
        """Read the slot at `index`; the caller keeps it inside the text."""
        opcode, registers, off, imm = _SLOT.unpack_from(text, index * SLOT_SIZE)
        return cls(opcode, registers & 0x0F, registers >> 4, off, imm)

    def pack(self) -> bytes:
        """Encode the slot; fields must be in range."""
        return _SLOT.pack(self.opcode, self.dst | self.src << 4, self.off, self.imm)

    @property
    def op(self) -> Op | None:
        """The row that this slot's opcode and selector field name, or None."""
        rows = BY_OPCODE.get(self.opcode, ())
        if len(rows) == 1:
            return rows[0]
        for op in rows:
            selector = op.form.selector
            if selector is not None and getattr(self, selector) == op.select:
                return op
        return None


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded instruction. `pc` is its slot index.

    `imm` is signed, except for `lddw` (the unsigned 64-bit value), `lddwd` and `lddwr` (the unsigned
    low word, an offset) and helper calls (the unsigned id).
    """

    pc: int
    op: Op
    dst: int
    src: int
    off: int
    imm: int

    @property
    def target(self) -> int | None:
        """The slot that a jump or local call goes to, or None."""
        match self.op.form:
            case Form.JUMP | Form.BRANCH_IMM | Form.BRANCH_REG:
                return self.pc + 1 + self.off
            case Form.JUMP_FAR | Form.CALL_LOCAL:
                return self.pc + 1 + self.imm
            case _:
                return None

    def encode(self) -> bytes:
        """The slot or slots of this instruction."""
        imm = self.imm
        if self.op.form.slots == 1:
            signed = (imm & 0xFFFFFFFF) - ((imm & 0x80000000) << 1)
            return Slot(self.op.opcode, self.dst, self.src, self.off, signed).pack()
        low, high = imm & 0xFFFFFFFF, imm >> 32 & 0xFFFFFFFF
        first = Slot(self.op.opcode, self.dst, self.src, self.off, low - ((low & 0x80000000) << 1))
        return first.pack() + Slot(0, 0, 0, 0, high - ((high & 0x80000000) << 1)).pack()


def decode_at(text: bytes, index: int) -> Instruction | None:
    """The instruction at slot `index`, or None when its opcode is unknown or its second half is missing.

    Nothing else is checked: that is the verifier's work.
    """
    slot = Slot.parse(text, index)
    op = slot.op
    if op is None:
        return None
    imm = slot.imm
    if op.form.slots == 2:
        if (index + 2) * SLOT_SIZE > len(text):
            return None
        imm &= 0xFFFFFFFF
        if op.form is Form.WIDE:
            imm |= (Slot.parse(text, index + 1).imm & 0xFFFFFFFF) << 32
    elif op.form is Form.CALL_HELPER:
        imm &= 0xFFFFFFFF
    return Instruction(index, op, slot.dst, slot.src, slot.off, imm)


def walk(text: bytes) -> Iterator[tuple[int, Instruction | None]]:
    """(slot index, instruction or None) from the start on, stepping over second halves."""
    index, count = 0, len(text) // SLOT_SIZE
    while index < count:
        instruction = decode_at(text, index)
        yield index, instruction
        index += instruction.op.form.slots if instruction else 1


def describe_at(pc: int) -> str:
    """How every message names an instruction."""
    return f"insn #{pc} (offset 0x{pc * SLOT_SIZE:x})"
