"""What an encoding means, as capstone reads it: one spelling for each meaning, whatever form was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs

WORD: Final = 0xFFFFFFFF
ADDRESS: Final = 0x0A000000
ALIASES: Final = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}
NAMES: Final = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc")
ODDMENTS: Final = {"addw": "add", "subw": "sub", "movw": "mov"}
NEGATED: Final = {"sub": "add", "cmn": "cmp"}
COMPLEMENTED: Final = {"bic": "and", "orn": "orr", "sbc": "adc", "mvn": "mov"}
THREE: Final = frozenset(
    {"and", "bic", "orr", "orn", "eor", "add", "adc", "sbc", "sub", "rsb", "mul", "lsl", "lsr", "asr", "ror"}
)
"""What may be written with two operands when the destination is the first source."""
COMMUTE: Final = frozenset({"and", "orr", "eor", "add", "adc", "mul"})
_SPLIT: Final = re.compile(r",\s*(?![^\[{]*[\]}])")
_NUMBER: Final = re.compile(r"#(-?)(0x[0-9a-f]+|\d+)")

_DISASSEMBLER: Final = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)


def to_bytes(encoding: int) -> bytes:
    """An encoding as it lies in memory."""
    if encoding < 0x10000:
        return encoding.to_bytes(2, "little")
    return (encoding >> 16).to_bytes(2, "little") + (encoding & 0xFFFF).to_bytes(2, "little")


def disassemble(code: bytes, address: int = ADDRESS) -> Iterator[tuple[str, str]]:
    """(mnemonic, operands) of each instruction, as capstone writes them."""
    for _, _, mnemonic, operands in _DISASSEMBLER.disasm_lite(code, address):
        yield mnemonic, operands


def plain(encoding: int) -> str:
    """The listing of one instruction: aliases resolved, numbers decimal, `.w` dropped."""
    lines = list(disassemble(to_bytes(encoding)))
    assert len(lines) == 1, f"{encoding:#x} is no single instruction"
    mnemonic, operands = lines[0]
    operands = re.sub(r"\b(sb|sl|fp|ip)\b", lambda match: ALIASES[match[0]], operands)
    operands = _NUMBER.sub(lambda match: f"#{match[1]}{int(match[2], 0)}", operands)
    return f"{mnemonic.removesuffix('.w')} {operands}".strip()


def meaning(listing: str) -> tuple[str, ...]:
    """One spelling of a data-processing instruction: three operands, no SUB, BIC, ORN, SBC, MVN, CMN of a
    constant, sources that may be exchanged in order, an `s` behind the name when flags are set.
    """
    name, _, rest = listing.partition(" ")
    name = ODDMENTS.get(name, name)
    bare = name.removesuffix("s") if name != "mls" else name
    setting = "s" if bare != name else ""
    operands = _SPLIT.split(rest)
    if bare in THREE and (len(operands) == 2 or (len(operands) == 3 and " #" in operands[2])):
        operands.insert(0, operands[0])
    if operands[-1].startswith("#"):
        value = int(operands[-1][1:])
        if bare in NEGATED:
            bare, value = NEGATED[bare], -value
        elif bare in COMPLEMENTED:
            bare, value = COMPLEMENTED[bare], ~value
        operands[-1] = f"#{value & WORD}"
    elif bare in COMMUTE and len(operands) == 3:
        operands[1:] = sorted(operands[1:])
    return (bare + setting, *operands)


def differences(cases: Iterable[tuple[int, str]]) -> list[str]:
    """The first few cases whose encoding does not mean the text beside it."""
    found = []
    for encoding, text in cases:
        got = plain(encoding)
        if got != text and meaning(got) != meaning(text):
            found.append(f"{encoding:#x}: {got!r}, not {text!r}")
            if len(found) == 5:
                break
    return found
