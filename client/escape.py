"""Text from elsewhere, made harmless for a terminal (client.md, Output).

A device's name, its log and what its programs print are somebody else's bytes: without this, they could
move the cursor, change colours, or show text in another order than it is in.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SEPARATORS: Final = frozenset("\u2028\u2029")
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(value: Any, *, lines: bool = False) -> str:
    r"""`value` as text without control (C0, DEL, C1), bidirectional or line-separating characters.

    They become `\n`, `\xNN` or `\uNNNN`; everything else stays. With `lines`, newlines stay too.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_character(character, lines) for character in text)


def _character(character: str, lines: bool) -> str:
    if character == "\n" and lines:
        return character
    if character in _NAMED:
        return _NAMED[character]
    category = unicodedata.category(character)
    if category == "Cc":
        return f"\\x{ord(character):02x}"
    if character in _BIDI or character in _SEPARATORS or category in ("Cs", "Cf"):
        return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
    return character


def display_width(text: str) -> int:
    """Terminal columns that `text` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
