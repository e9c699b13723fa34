"""Rows about single instructions: what the originals do not have, and what they compute otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.vm.decode import MASK32
from device.vm.isa import Form, Sem
from device.vm.lint.deviation import ALL, FEMTO, OLD, RIOT, SMING, UBPF, Deviation, Finder
from device.vm.lint.subject import Subject
from device.vm.verifier.code import Insn

_ALU: Final = frozenset({Form.ALU_IMM, Form.ALU_REG, Form.ALU_UNARY})
_BRANCHES: Final = frozenset({Form.BRANCH_IMM, Form.BRANCH_REG})
_DIVISIONS: Final = frozenset({Sem.DIV, Sem.SDIV, Sem.MOD, Sem.SMOD})
_SHIFTS: Final = frozenset({Sem.LSH, Sem.RSH, Sem.ARSH})
_SUMS: Final = frozenset({Sem.ADD, Sem.SUB, Sem.MUL})
_EXTENDING: Final = frozenset({Sem.MOVSX8, Sem.MOVSX16, Sem.MOVSX32})
_V4: Final = frozenset({Sem.SDIV, Sem.SMOD, Sem.BSWAP16, Sem.BSWAP32, Sem.BSWAP64, Sem.LOAD_SIGNED})
_SIGN: Final = 1 << 31
_NEG64: Final = 0x87


def _where(applies: Callable[[Insn], bool]) -> Finder:
    return lambda subject: subject.slots_of(applies)


def _is_v4(insn: Insn) -> bool:
    return insn.row.sem in _V4 or insn.row.sem in _EXTENDING or insn.row.form is Form.JUMP_FAR


def _is_end(insn: Insn) -> bool:
    return insn.row.form is Form.BYTE_ORDER and not _is_v4(insn)


def _is_alu32(insn: Insn) -> bool:
    row = insn.row
    return row.form in _ALU and row.width == 32 and not _is_v4(insn)


def _is_neg32(insn: Insn) -> bool:
    return insn.row.sem is Sem.NEG and insn.row.width == 32


def _neg(*, is_87: bool) -> Finder:
    """`neg` in one of its two encodings, as it stands in the image."""

    def finds(subject: Subject) -> list[int] | None:
        return subject.slots_of(
            lambda insn: (
                insn.row.sem is Sem.NEG
                and insn.row.width == 64
                and (subject.opcode(insn.pc) == _NEG64) is is_87
            )
        )

    return finds


def _divides(insn: Insn) -> bool:
    """Division by a register, which may be 0, or by the constant 0."""
    row = insn.row
    return row.sem in _DIVISIONS and (row.form is Form.ALU_REG or insn.imm == 0)


def _shifts_far(insn: Insn) -> bool:
    row = insn.row
    return row.sem in _SHIFTS and row.form is Form.ALU_IMM and not 0 <= insn.imm < row.width


def _arsh_unmasked(insn: Insn) -> bool:
    row = insn.row
    far = row.form is Form.ALU_REG or not 0 <= insn.imm < row.width
    return row.sem is Sem.ARSH and row.width == 64 and far


def _lddw_extends(insn: Insn) -> bool:
    """The low word has bit 31 set, and the upper word is not what sign extension would make of it."""
    return insn.row.sem is Sem.LDDW and insn.imm < 0 and insn.high != -1


def _matters(applies: Callable[[Insn], bool]) -> Finder:
    """Instructions whose result may exceed 32 bits where somebody reads the upper half."""
    return lambda subject: subject.slots_of(
        lambda insn: applies(insn) and subject.halves.matters(insn.pc, insn.dst)
    )


def _is_mov64(insn: Insn) -> bool:
    return insn.row.sem is Sem.MOV and insn.row.width == 64


def _is_wide_result(insn: Insn) -> bool:
    return insn.row.writes_dst and insn.row.width == 64 and insn.row.form is not Form.WIDE_RELATIVE


def _sign_extended(subject: Subject) -> list[int] | None:
    """Sums of 32 bits that may have bit 31 set, where somebody reads the upper half."""

    def applies(insn: Insn) -> bool:
        row = insn.row
        sums = row.sem in _SUMS and row.form in _ALU and row.width == 32
        halves = subject.halves
        return (
            sums
            and halves.high_is_read(insn.pc, insn.dst)
            and halves.most(insn.pc, insn.dst) & MASK32 >= _SIGN
        )

    return subject.slots_of(applies)


def _to_start(subject: Subject) -> list[int] | None:
    return subject.slots_of(lambda insn: subject.code.jumps.get(insn.pc) == 0)


def _lacks(name: str, profiles: tuple[str, ...], what: str, finds: Finder, hint: str) -> Deviation:
    return Deviation(f"lacks-{name}", profiles, finds, f"{what}: ILLEGAL_INSTRUCTION there", hint)


def _build(cpu: str) -> str:
    return f"build with --cpu {cpu}"


INSTRUCTIONS: Final = (
    _lacks(
        "atomic", ALL, "no atomics",
        _where(lambda insn: insn.row.form is Form.ATOMIC),
        "load, change and store: one run has the slot alone",
    ),
    _lacks("v4", ALL, "no instructions of v4", _where(_is_v4), _build("v3 or lower")),
    _lacks(
        "alu32", OLD, "no 32-bit arithmetic",
        _where(lambda insn: _is_alu32(insn) and not _is_neg32(insn)), _build("v2 or lower"),
    ),
    _lacks(
        "neg32", (FEMTO, SMING), "no 32-bit arithmetic", _where(_is_neg32), _build("v2 or lower"),
    ),
    _lacks(
        "jmp32", OLD, "no 32-bit comparisons",
        _where(lambda insn: insn.row.form in _BRANCHES and insn.row.width == 32), _build("v2 or lower"),
    ),
    _lacks(
        "end", OLD, "no byte order instructions", _where(_is_end), "swap bytes with shifts and masks",
    ),
    _lacks(
        "local-call", OLD, "no calls of local functions",
        _where(lambda insn: insn.row.form is Form.CALL_LOCAL),
        "mark functions __attribute__((always_inline))",
    ),
    _lacks(
        "lddwd", (RIOT,), "no lddwd and lddwr",
        _where(lambda insn: insn.row.form is Form.WIDE_RELATIVE), "keep data on the stack",
    ),
    Deviation(
        "neg-87", OLD, _neg(is_87=True), "neg is encoded as 8f, 87 is ILLEGAL_INSTRUCTION there",
        "subtract from 0 instead, or rewrite the opcode for that machine alone",
    ),
    Deviation(
        "neg-8f", (UBPF,), _neg(is_87=False), "neg is encoded as 87, 8f is ILLEGAL_INSTRUCTION there",
        "build it with an assembler that follows RFC 9669",
    ),
    Deviation(
        "neg32-sign", (RIOT,), _where(_is_neg32), "neg32 drops the sign there", _build("v2 or lower"),
    ),
    Deviation(
        "zero-divisor", (FEMTO, SMING), _where(_divides), "a zero divisor is ILLEGAL_DIV there",
        "test the divisor before dividing",
    ),
    Deviation(
        "zero-divisor-undefined", (RIOT,), _where(_divides), "a zero divisor is undefined there",
        "test the divisor before dividing",
    ),
    Deviation(
        "mov64-cut", (SMING, RIOT), _matters(_is_mov64),
        "mov64 is cut to 32 bits there, and the upper half is read",
        "keep values within 32 bits, or load constants with lddw",
    ),
    Deviation(
        "lddw-sign", OLD, _where(_lddw_extends), "lddw sign-extends its low word there",
        "clear the upper half with two shifts, or put the constant together from halves below 2^31",
    ),
    Deviation(
        "jump-start", OLD, _to_start, "a jump to insn #0 is refused there",
        "put an instruction before the loop",
    ),
    Deviation(
        "shift-range", OLD, _where(_shifts_far), "shifts by the width or more are undefined there",
        "mask the count",
    ),
    Deviation(
        "alu32-sign", (UBPF,), _sign_extended,
        "32-bit sums are sign-extended there, and the upper half is read",
        "clear the upper half with two shifts before it is read",
    ),
    Deviation(
        "arsh-count", (UBPF,), _where(_arsh_unmasked), "counts of arsh64 are not cut to 6 bits there",
        "mask the count with 63",
    ),
    Deviation(
        "jit-64", (UBPF,), _matters(_is_wide_result),
        "its JIT cuts values to 32 bits, and the upper half is read",
        "keep values within 32 bits, or do not use that machine's JIT",
    ),
)  # fmt: skip
"""The rows of this module."""
