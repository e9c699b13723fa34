"""The text taken apart once: what every check and every analysis reads.

Rows of the instruction table are turned into `Row`s that answer in one attribute what the analyses ask of
every instruction; a slot that fits no row gets a stand-in, so that the scan can go on behind it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from device.vm.isa import BY_OPCODE, SLOT_SIZE, Form, Op, Sem
from device.vm.program import Program
from device.vm.verifier.findings import Findings

_SLOT: Final = struct.Struct("<BBhi")
_WORD: Final = struct.Struct("<Q")
FIELD_BITS: Final = {"dst": 0x0F00, "src": 0xF000, "off": 0xFFFF_0000, "imm": 0xFFFF_FFFF_0000_0000}

_LEGACY: Final = frozenset({0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x58})
_CALL_REGISTER: Final = 0x8D


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What is asked of an instruction. `form` is None for a stand-in.

    `fixed` covers the bits of the slot that have to be 0. `ends` says that a basic block ends here. Rows are
    compared by identity, so that tables keyed by them are fast.
    """

    form: Form | None
    sem: Sem | None = None
    mnemonic: str = ""
    width: int = 64
    slots: int = 1
    fixed: int = 0
    reads_dst: bool = False
    reads_src: bool = False
    reads_r0: bool = False
    writes_dst: bool = False
    writes_src: bool = False
    writes_r0: bool = False
    falls_through: bool = True
    jumps: bool = False
    ends: bool = False


class Insn(NamedTuple):
    """An instruction as it stands in its slot; of a wide one `high` is the imm of the second half."""

    pc: int
    row: Row
    word: int
    dst: int
    src: int
    off: int
    imm: int
    high: int


@dataclass(slots=True)
class Code:
    """All instructions in order; which slots are second halves; where valid jumps and local calls go.

    `jumps` and `calls` map the slot of the instruction to the slot of its target, `helpers` the id of a
    helper to the slots that call it. They are filled in by the checks.
    """

    program: Program
    slots: int
    insns: list[Insn]
    halves: bytearray
    jumps: dict[int, int] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    helpers: dict[int, list[int]] = field(default_factory=dict)

    def starts_at(self, slot: int) -> bool:
        """Whether an instruction starts at `slot`."""
        return 0 <= slot < self.slots and not self.halves[slot]

    @property
    def last(self) -> int:
        """Where findings about the whole program are reported."""
        return max(self.slots - 1, 0)


def _row(op: Op) -> Row:
    form = op.form
    fixed = sum(FIELD_BITS[name] for name in form.zero if name != form.selector or not _shared(op))
    if form is Form.WIDE:
        fixed &= ~FIELD_BITS["src"]  # a pseudo source has a finding of its own
    return Row(
        form=form,
        sem=op.sem,
        mnemonic=op.mnemonic,
        width=op.width,
        slots=form.slots,
        fixed=fixed,
        reads_dst=op.reads_dst,
        reads_src=op.reads_src,
        reads_r0=op.reads_r0,
        writes_dst=op.writes_dst,
        writes_src=op.writes_src,
        writes_r0=op.writes_r0,
        falls_through=form.falls_through,
        jumps=form.jumps,
        ends=form.jumps or form in (Form.EXIT, Form.CALL_HELPER, Form.CALL_LOCAL),
    )


def _shared(op: Op) -> bool:
    """Whether the selector tells this row from others of the same opcode."""
    return len(BY_OPCODE[op.opcode]) > 1


def _stand_in(row: Row) -> Row:
    """For a slot whose selector fits no row: registers and fields are judged as those of its relatives."""
    return Row(None, slots=row.slots, fixed=row.fixed, writes_dst=row.writes_dst)


UNKNOWN: Final = Row(None)
_BY_SELECTOR: Final = {opcode: {op.select: _row(op) for op in rows} for opcode, rows in BY_OPCODE.items()}
_ONLY: Final = {opcode: next(iter(rows.values())) for opcode, rows in _BY_SELECTOR.items() if len(rows) == 1}
ROWS: Final = tuple(row for rows in _BY_SELECTOR.values() for row in rows.values())
_STAND_INS: Final = {opcode: _stand_in(next(iter(rows.values()))) for opcode, rows in _BY_SELECTOR.items()}


def decode(program: Program, findings: Findings) -> Code:
    """Take the text apart, reporting slots that are no instruction and second halves that are none."""
    text = program.text
    count = len(text) // SLOT_SIZE
    code = Code(program, count, [], bytearray(count))
    whole = memoryview(text)[: count * SLOT_SIZE]
    slots = zip(_SLOT.iter_unpack(whole), _WORD.iter_unpack(whole), strict=True)
    for pc, ((opcode, registers, off, imm), (word,)) in enumerate(slots):
        if code.halves[pc]:
            continue
        row = _ONLY.get(opcode) or _select(findings, pc, opcode, registers >> 4, off, imm)
        high = _second_half(code, findings, pc, row) if row.slots == 2 else 0
        code.insns.append(Insn(pc, row, word, registers & 0x0F, registers >> 4, off, imm, high))
    return code


def _select(findings: Findings, pc: int, opcode: int, src: int, off: int, imm: int) -> Row:
    """The row among several of one opcode, or a stand-in and a finding."""
    rows = _BY_SELECTOR.get(opcode)
    if rows is None:
        findings.add(*_unknown(opcode, pc))
        return UNKNOWN
    first = BY_OPCODE[opcode][0]
    value = {"src": src, "off": off, "imm": imm}[first.form.selector or "src"]
    if value in rows:
        return rows[value]
    match first.form:
        case Form.BYTE_ORDER:
            findings.add("end-width", pc, f"byte swap width {imm}")
        case Form.ATOMIC:
            findings.add("atomic-op", pc, f"unknown atomic operation 0x{imm & 0xFFFFFFFF:02x}")
        case Form.CALL_HELPER | Form.CALL_LOCAL:
            findings.add("call-kind", pc, f"call of kind {src}")
        case _:
            findings.add("modifier", pc, f"off {off} not allowed for {first.mnemonic}")
    return _STAND_INS[opcode]


def _unknown(opcode: int, pc: int) -> tuple[str, int, str]:
    if opcode in _LEGACY:
        return "opcode-legacy", pc, f"packet load 0x{opcode:02x} not supported"
    if opcode == _CALL_REGISTER:
        return "opcode-callx", pc, "call by register not supported"
    return "opcode", pc, f"unknown opcode 0x{opcode:02x}"


def _second_half(code: Code, findings: Findings, pc: int, row: Row) -> int:
    """Mark the slot after `pc` as a second half and check it; its imm."""
    name = row.mnemonic
    if pc + 1 >= code.slots:
        findings.add("lddw-half", pc, f"second half of {name} missing")
        return 0
    code.halves[pc + 1] = 1
    opcode, registers, off, imm = _SLOT.unpack_from(code.program.text, (pc + 1) * SLOT_SIZE)
    for what, value in (("opcode", opcode), ("registers", registers), ("off", off)):
        if value:
            findings.add("lddw-half", pc, f"second half of {name} has {what} {value:#x}, must be 0")
    return int(imm)
