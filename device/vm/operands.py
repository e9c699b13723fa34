"""Operands of assembler text: registers, numbers, memory operands, targets, helpers.

The words that stand for them are those of `Form.syntax`. Errors are AssemblyError without a line: the
assembler knows that and adds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Final

from device.errors import AssemblyError
from device.vm.isa import REGISTERS, Form, Op

_DIGITS: Final = "0x[0-9a-f]{1,32}|[0-9]{1,32}"
_FLAGS: Final = re.ASCII | re.IGNORECASE
_NAME: Final = re.compile(r"[a-z_.$][\w.$]*", _FLAGS)
_NUMBER: Final = re.compile(rf"([+-]?)\s*({_DIGITS})", _FLAGS)
_REGISTER: Final = re.compile(r"%?r([0-9]{1,9})", _FLAGS)
_MEMORY: Final = re.compile(rf"\[\s*(%?r[0-9]{{1,9}})\s*([+-]\s*(?:{_DIGITS}))?\s*\]", _FLAGS)

# Operands that tell rows of one mnemonic apart: whether they are a register.
_BY_KIND: Final = {"dst": True, "src": True, "imm": False}

_SHOWN: Final = 40
_COMPARED: Final = 500


def quote(text: str) -> str:
    """A piece of the source for a message, cut to a length that a line holds."""
    return f"`{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}`"


def nearest(word: str, names: Iterable[str], otherwise: str) -> str:
    """A hint that names the most similar of the first few hundred names, or says something else."""
    near = get_close_matches(word[:_SHOWN], islice(names, _COMPARED), 1)
    return f"did you mean {quote(near[0])}?" if near else otherwise


def is_name(text: str) -> bool:
    """Whether `text` can be written as a label or as the name of a helper."""
    return _NAME.fullmatch(text) is not None


def fits(op: Op, written: list[str]) -> bool:
    """Whether the operands have the shape of this row: their number, and a register where one has to be."""
    expected = op.form.operands
    return len(expected) == len(written) and all(
        word not in _BY_KIND or _BY_KIND[word] == (_REGISTER.fullmatch(text) is not None)
        for word, text in zip(expected, written, strict=True)
    )


def target_field(op: Op) -> tuple[str, int]:
    """The field that holds the distance of a jump or local call, and its width in bits."""
    return ("imm", 32) if op.form in (Form.JUMP_FAR, Form.CALL_LOCAL) else ("off", 16)


def parse(op: Op, word: str, text: str, helpers: Mapping[str, int]) -> dict[str, int] | str:
    """The fields that the operand `word` of `op` gives, or the label that it names.

    Raises AssemblyError with what was expected.
    """
    match word:
        case "dst" | "src":
            return {word: _register(text)}
        case "[dst+off]" | "[src+off]":
            register, offset = _memory(text)
            return {word[1:4]: register, "off": offset}
        case "imm" | "imm64":
            return {"imm": _immediate(op, text)}
        case "helper":
            return {"imm": _helper(text, helpers)}
        case _:
            return _target(op, text)


def _register(text: str) -> int:
    match = _REGISTER.fullmatch(text)
    if match is None or int(match[1]) >= REGISTERS:
        raise AssemblyError(f"expected a register, found {quote(text)}", hint=f"r0 to r{REGISTERS - 1}")
    return int(match[1])


def _memory(text: str) -> tuple[int, int]:
    match = _MEMORY.fullmatch(text)
    if match is None:
        hint = "such as [r1+8] or [r10-8]"
        raise AssemblyError(f"expected a memory operand, found {quote(text)}", hint=hint)
    return _register(match[1]), _number(match[2] or "0", 16, "offset", hint="add to the register first")


def _immediate(op: Op, text: str) -> int:
    if op.form is Form.WIDE:
        return _number(text, 64, "immediate", unsigned=True, hint="a register holds 64 bits")
    pattern = op.width < 64 or op.form is Form.WIDE_RELATIVE or "0x" in text.lower()
    return _number(text, 32, "immediate", unsigned=pattern, hint="lddw takes 64 bits")


def _helper(text: str, helpers: Mapping[str, int]) -> int:
    if text in helpers:
        return helpers[text]
    if is_name(text):
        hint = nearest(text, helpers, f"a function of this text is called with `call local {text[:_SHOWN]}`")
        raise AssemblyError(f"expected a helper, found {quote(text)}", hint=hint)
    return _number(text, 32, "helper id", unsigned=True, hint="such as 0x13")


def _target(op: Op, text: str) -> dict[str, int] | str:
    if is_name(text):
        return text
    if text[:1] in ("+", "-"):
        place, bits = target_field(op)
        return {place: _number(text, bits, "distance", hint="ja32 reaches further")}
    hint = "a label, or how many slots to jump over: +3, -2"
    raise AssemblyError(f"expected a target, found {quote(text)}", hint=hint)


def _number(text: str, bits: int, what: str, *, unsigned: bool = False, hint: str) -> int:
    """A number that fits `bits` as a signed value, or with `unsigned` as either."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        hint = "decimal or hexadecimal, such as -8 or 0x1f"
        raise AssemblyError(f"expected a number, found {quote(text)}", hint=hint)
    value = int(match[2], 16 if match[2][:2].lower() == "0x" else 10)
    value = -value if match[1] == "-" else value
    low, high = -(1 << bits - 1), (1 << (bits if unsigned else bits - 1)) - 1
    if not low <= value <= high:
        raise AssemblyError(f"{what} {quote(text)} is out of range, expected {low} to {high}", hint=hint)
    return value
