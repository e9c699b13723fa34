"""Checks that need one instruction and the text around it, no flow: every E but `call-depth`, and the
warnings about constants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from device.vm.isa import FRAME_POINTER, REGISTERS, Form, Sem
from device.vm.verifier.code import FIELD_BITS, ROWS, UNKNOWN, Code, Insn, Row
from device.vm.verifier.findings import Findings

MAX_SLOTS: Final = 65_536

_DIVISIONS: Final = frozenset({Sem.DIV, Sem.SDIV, Sem.MOD, Sem.SMOD})
_SHIFTS: Final = frozenset({Sem.LSH, Sem.RSH, Sem.ARSH})
_UNRESOLVED: Final = -1


@dataclass(frozen=True, slots=True)
class HelperRules:
    """What may be called: the ids of the profile, and of the allow-list when there is one."""

    available: Mapping[int, str] | Collection[int]
    allowed: Collection[int] | None
    profile: str

    def name(self, helper: int) -> str:
        """Id and name, as messages show a helper."""
        known = self.available.get(helper, "") if isinstance(self.available, Mapping) else ""
        return f"helper 0x{helper:02x} {known}".strip()


def check_text(code: Code, findings: Findings) -> None:
    """Length of the text, its last instruction, and where a run begins."""
    size, last = len(code.program.text), code.last
    if size % 8:
        findings.add("text-len", last, f"text length {size} is not a multiple of 8")
    if size == 0:
        findings.add("text-empty", last, "no instructions")
    if code.slots > MAX_SLOTS:
        findings.add("text-max", last, f"{code.slots} slots, limit {MAX_SLOTS}")
    if not code.insns:
        return
    if code.insns[-1].row.form not in (Form.EXIT, Form.JUMP, Form.JUMP_FAR):
        findings.add("no-exit", last, "last instruction is neither exit nor an unconditional jump")
    _is_target(code, findings, last, code.program.entry, "jump", "entry")


def check_instructions(code: Code, helpers: HelperRules, findings: Findings) -> None:
    """Every instruction by itself; valid targets and helpers are entered into `code`."""
    checker = _Checker(code, helpers, findings)
    for insn in code.insns:
        row = insn.row
        if (insn.dst >= FRAME_POINTER or insn.src >= FRAME_POINTER) and row is not UNKNOWN:
            checker.registers(insn)
        if insn.word & row.fixed:
            checker.fields(insn)
        check = _CHECKS.get(row)
        if check is not None:
            check(checker, insn)


@dataclass(frozen=True, slots=True)
class _Checker:
    code: Code
    helpers: HelperRules
    findings: Findings

    def registers(self, insn: Insn) -> None:
        if insn.dst >= REGISTERS:
            self.findings.add("reg-dst", insn.pc, f"invalid destination register r{insn.dst}")
        if insn.src >= REGISTERS:
            self.findings.add("reg-src", insn.pc, f"invalid source register r{insn.src}")
        row = insn.row
        if (row.writes_dst and insn.dst == FRAME_POINTER) or (row.writes_src and insn.src == FRAME_POINTER):
            self.findings.add("reg-r10", insn.pc, "write to read-only r10")

    def fields(self, insn: Insn) -> None:
        for name, bits in FIELD_BITS.items():
            if insn.word & insn.row.fixed & bits:
                what = f"field {name} of opcode 0x{insn.word & 0xFF:02x} is {getattr(insn, name)}, must be 0"
                self.findings.add("field", insn.pc, what)

    def division(self, insn: Insn) -> None:
        if insn.imm == 0:
            self.findings.add("div-zero", insn.pc, "division by constant 0")

    def shift(self, insn: Insn) -> None:
        width = insn.row.width
        if not 0 <= insn.imm < width:
            self.findings.add("shift-range", insn.pc, f"shift count {insn.imm} of {width} bits")

    def wide(self, insn: Insn) -> None:
        if insn.src:
            self.findings.add("lddw-src", insn.pc, f"lddw pseudo source {insn.src}")

    def relative(self, insn: Insn) -> None:
        program, name = self.code.program, insn.row.mnemonic
        if not program.layout.has_header:
            self.findings.add("lddw-base", insn.pc, f"{name} in a layout without header")
            return
        if insn.high not in (0, -1):
            self.findings.add("lddw-base", insn.pc, f"{name} with {insn.high} in imm_high")
        to_data = insn.row.sem is Sem.LDDW_DATA and program.has_memory
        section, size = (
            (".data", len(program.data) + program.bss_size) if to_data else (".rodata", len(program.rodata))
        )
        offset = insn.imm & 0xFFFFFFFF
        if offset >= size:
            what = f"{name} offset 0x{offset:x} outside {section} of {size} bytes"
            self.findings.add("lddw-range", insn.pc, what)

    def jump(self, insn: Insn) -> None:
        distance = insn.imm if insn.row.form is Form.JUMP_FAR else insn.off
        target = insn.pc + 1 + distance
        if distance == -1:
            self.findings.add("jump-self", insn.pc, "jump to itself")
        if _is_target(self.code, self.findings, insn.pc, target, "jump"):
            self.code.jumps[insn.pc] = target

    def local_call(self, insn: Insn) -> None:
        target = insn.pc + 1 + insn.imm
        if insn.imm == _UNRESOLVED:
            self.findings.add("call-unresolved", insn.pc, "call -1, relocation not resolved")
        elif _is_target(self.code, self.findings, insn.pc, target, "call", "local call"):
            self.code.calls[insn.pc] = target

    def helper_call(self, insn: Insn) -> None:
        helper, rules = insn.imm & 0xFFFFFFFF, self.helpers
        if insn.imm == _UNRESOLVED:
            self.findings.add("call-unresolved", insn.pc, "call -1, relocation not resolved")
            return
        self.code.helpers.setdefault(helper, []).append(insn.pc)
        if helper not in rules.available:
            what = f"{rules.name(helper)} does not exist in profile {rules.profile}"
            self.findings.add("helper-unknown", insn.pc, what)
        elif rules.allowed is not None and helper not in rules.allowed:
            self.findings.add("helper-denied", insn.pc, f"{rules.name(helper)} is not in the allow-list")


def _is_target(code: Code, findings: Findings, pc: int, target: int, rule: str, what: str = "") -> bool:
    """Whether an instruction starts at `target`; if not, `<rule>-range` or `<rule>-half` is found."""
    if code.starts_at(target):
        return True
    if 0 <= target < code.slots:
        findings.add(f"{rule}-half", pc, f"{what or rule} into the second half of #{target - 1}")
    else:
        findings.add(f"{rule}-range", pc, f"{what or rule} to #{target} outside the program")
    return False


def _check_of(row: Row) -> Callable[[_Checker, Insn], None] | None:
    """What there is to check for a row beyond registers and fields."""
    if row.jumps:
        return _Checker.jump
    match row.form:
        case Form.ALU_IMM if row.sem in _DIVISIONS:
            return _Checker.division
        case Form.ALU_IMM if row.sem in _SHIFTS:
            return _Checker.shift
        case Form.WIDE:
            return _Checker.wide
        case Form.WIDE_RELATIVE:
            return _Checker.relative
        case Form.CALL_LOCAL:
            return _Checker.local_call
        case Form.CALL_HELPER:
            return _Checker.helper_call
        case _:
            return None


_CHECKS: Final = {row: check for row in ROWS if (check := _check_of(row)) is not None}
