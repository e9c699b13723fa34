"""Assembler: text in the manner of uBPF's tests, to the bytes of a linked text.

    ; comments start with `;`, `#` or `//`
    start:  lddw r1, 0x1122334455667788
            stxdw [r10-8], r1           ; memory operands: [register], [register+off], [register-off]
            jeq r1, 0, +3               ; slots to jump over, or a label
            lock fetch add32 [r10-8], r2
            call bpf_fetch_global       ; a helper by name, or by id: call 0x13
            call local double
            exit
    double: add %r0, %r0                ; `add64` is `add`; `%` is optional
            exit
            .bytes 8d00000000000000     ; anything else, as hexadecimal bytes

Mnemonics and operands are those of the instruction table (`isa.TABLE`, `Form.syntax`). Numbers are decimal
or hexadecimal. A decimal immediate is a value and has to fit; a hexadecimal one may be any 32-bit pattern,
which 64-bit instructions sign-extend. A jump to `exit` without such a label goes to the first `exit`
instruction, as in the conformance suite. The first thing that is wrong raises AssemblyError, with the
number of its line in `where`; nothing else is ever raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from device.errors import AssemblyError
from device.vm.isa import SLOT_SIZE, TABLE, Form, Instruction, Op
from device.vm.operands import fits, nearest, parse, quote, target_field

_FLAGS: Final = re.ASCII | re.IGNORECASE
_COMMENT: Final = re.compile(r";|#|//")
_LABEL: Final = re.compile(r"\s*([a-z_.$][\w.$]*)\s*:", _FLAGS)
_BYTES: Final = re.compile(r"\.bytes((?:\s*[0-9a-f]{2})+)", _FLAGS)

# Forms whose 64-bit mnemonics may also be written with the width, as in `add64`.
_EXPLICIT: Final = frozenset(
    {Form.ALU_IMM, Form.ALU_REG, Form.ALU_UNARY, Form.ATOMIC, Form.BRANCH_IMM, Form.BRANCH_REG}
)


def _spellings(op: Op) -> list[str]:
    """The mnemonic of a row, and what else uBPF and its relatives call it."""
    names = [op.mnemonic]
    if op.width == 64 and op.form in _EXPLICIT:
        names.append(f"{op.mnemonic}64")
    if op.mnemonic.startswith("bswap"):
        names.append(op.mnemonic.removeprefix("b"))
    if op.form is Form.CALL_HELPER:
        names.append("call helper")
    return names


def _rows() -> dict[str, tuple[Op, ...]]:
    rows: dict[str, tuple[Op, ...]] = {}
    for op in TABLE:
        for name in _spellings(op):
            rows[name] = (*rows.get(name, ()), op)
    return rows


_ROWS: Final = _rows()
_MOST_WORDS: Final = max(len(name.split()) for name in _ROWS)


def assemble(source: str, *, helpers: Mapping[str, int] = MappingProxyType({})) -> bytes:
    """The bytes of `source`. `helpers` gives the ids of helpers that are called by name.

    Raises AssemblyError for the first line that is wrong.
    """
    return assemble_functions(source, helpers=helpers).text


def assemble_functions(source: str, *, helpers: Mapping[str, int] = MappingProxyType({})) -> Assembled:
    """The same, with the labels that are called as the names of functions. Raises AssemblyError."""
    return _Assembler(helpers).run(source)


@dataclass(frozen=True, slots=True)
class Assembled:
    """Linked text, and slot → label of what local calls go to."""

    text: bytes
    functions: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Reference:
    """An instruction whose jump or call has still to find its label."""

    line: int
    pc: int
    op: Op
    fields: Mapping[str, int]
    label: str


class _Assembler:
    """One pass over the lines, then the labels."""

    def __init__(self, helpers: Mapping[str, int]) -> None:
        self._helpers = helpers
        self._labels: dict[str, int] = {}
        self._references: list[_Reference] = []
        self._text = bytearray()
        self._line = 0
        self._first_exit: int | None = None

    def run(self, source: str) -> Assembled:
        """Assemble it all; the errors get their line here."""
        try:
            for self._line, text in enumerate(source.split("\n"), 1):
                self._statement(self._take_labels(_COMMENT.split(text, maxsplit=1)[0]).strip())
            for reference in self._references:
                self._line = reference.line
                self._resolve(reference)
        except AssemblyError as error:
            error.where = str(self._line)
            raise
        called = {reference.label for reference in self._references if reference.op.form is Form.CALL_LOCAL}
        functions = {slot: label for label, slot in self._labels.items() if label in called}
        return Assembled(bytes(self._text), functions)

    def _take_labels(self, text: str) -> str:
        """Define the labels that the line begins with; what follows them."""
        while match := _LABEL.match(text):
            if match[1] in self._labels:
                detail = f"expected a new label, {quote(match[1])} is defined already"
                raise AssemblyError(detail, hint="give one of them another name")
            self._labels[match[1]] = self._pc()
            text = text[match.end() :]
        return text

    def _pc(self) -> int:
        """The slot that comes next."""
        if len(self._text) % SLOT_SIZE:
            hint = f"only the last .bytes may have a length that is no multiple of {SLOT_SIZE}"
            raise AssemblyError("expected the end, the slot before this is incomplete", hint=hint)
        return len(self._text) // SLOT_SIZE

    def _statement(self, text: str) -> None:
        if text.startswith("."):
            self._pc()
            self._text += _bytes(text)
        elif text:
            rows, operands = _split(text)
            self._instruction(rows, operands)

    def _instruction(self, rows: tuple[Op, ...], text: str) -> None:
        pc = self._pc()
        written = [part.strip() for part in text.split(",")] if text else []
        op = next((row for row in rows if fits(row, written)), None)
        if op is None:
            raise _misfit(rows, text)
        fields = {} if op.form.selector is None else {op.form.selector: op.select}
        for word, operand in zip(op.form.operands, written, strict=True):
            parsed = parse(op, word, operand, self._helpers)
            if isinstance(parsed, str):
                self._references.append(_Reference(self._line, pc, op, fields, parsed))
            else:
                fields.update(parsed)
        if op.form is Form.EXIT and self._first_exit is None:
            self._first_exit = pc
        self._text += _encode(pc, op, fields)

    def _resolve(self, reference: _Reference) -> None:
        label = reference.label
        target = self._labels.get(label, self._first_exit if label == "exit" else None)
        if target is None:
            hint = nearest(label, self._labels, "a label is a name and a colon, where the jump should go")
            raise AssemblyError(f"expected a label, {quote(label)} is not defined", hint=hint)
        place, bits = target_field(reference.op)
        distance = target - reference.pc - 1
        if not -(1 << bits - 1) <= distance < 1 << bits - 1:
            detail = f"expected a label within {bits} bits, {quote(label)} is {distance} slots away"
            raise AssemblyError(detail, hint="ja32 reaches further")
        encoded = _encode(reference.pc, reference.op, {**reference.fields, place: distance})
        start = reference.pc * SLOT_SIZE
        self._text[start : start + SLOT_SIZE] = encoded


def _bytes(text: str) -> bytes:
    match = _BYTES.fullmatch(text)
    if match is None:
        hint = "such as .bytes 9500000000000000"
        raise AssemblyError(f"expected .bytes and hexadecimal bytes, found {quote(text)}", hint=hint)
    return bytes.fromhex(match[1])


def _split(text: str) -> tuple[tuple[Op, ...], str]:
    """The rows of the mnemonic, which has up to three words, and the operands."""
    for count in range(_MOST_WORDS, 0, -1):
        parts = text.split(None, count)
        rows = _ROWS.get(" ".join(parts[:count]).lower().replace("_", " "))
        if rows is not None:
            return rows, parts[count].strip() if len(parts) > count else ""
    word = text.split(None, 1)[0]
    hint = nearest(word.lower(), _ROWS, "such as mov, ldxdw, jeq, call")
    raise AssemblyError(f"expected a mnemonic, found {quote(word)}", hint=hint)


def _misfit(rows: tuple[Op, ...], text: str) -> AssemblyError:
    usages = " or ".join(f"`{' '.join((row.mnemonic, row.form.syntax)).strip()}`" for row in rows)
    found = f"operands {quote(text)}" if text else "no operands"
    hint = "operands are separated by commas, registers are r0 to r10"
    return AssemblyError(f"expected {usages}, found {found}", hint=hint)


def _encode(pc: int, op: Op, fields: Mapping[str, int]) -> bytes:
    values = {"dst": 0, "src": 0, "off": 0, "imm": 0, **fields}
    return Instruction(pc, op, **values).encode()
