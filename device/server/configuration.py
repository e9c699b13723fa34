"""The configuration word of µBPF's requests (api.md, "Configuration bits")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from device.errors import MalformedRequest
from device.execution.access import Access, Point, Source
from device.vm.program import Layout

_WORD: Final = re.compile(r"[0-9A-Fa-f]{1,4}", re.ASCII)
_PAIRS: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)
_LAYOUTS: Final = (Layout.TEXT, Layout.FEMTO, Layout.EXTENDED, Layout.ELF)
_RESERVED: Final = 0xF000


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the word says: slot, layout, where and by whose list helper calls are checked, the engine.

    `femto` is the virtual machine asked for where `jit` does not override it; `recompile` compiles anew.
    """

    slot: int
    layout: Layout
    point: Point
    source: Source
    femto: bool = False
    jit: bool = False
    recompile: bool = False

    @classmethod
    def of(cls, text: str) -> Configuration:
        """From up to four hex digits. Raises MalformedRequest."""
        if not _WORD.fullmatch(text):
            raise MalformedRequest(
                f"{text[:20]!r} is no configuration", where="config", hint="hex, such as 1c0"
            )
        word = int(text, 16)
        if word & _RESERVED:
            raise MalformedRequest(f"configuration {word:04x}: bits 12 to 15 must be 0", where="config")
        return cls(
            slot=word >> 1 & 0xF,
            layout=_LAYOUTS[word >> 5 & 3],
            point=Point(word >> 7 & 3),
            source=Source(word >> 9 & 1),
            femto=bool(word & 1),
            jit=bool(word >> 10 & 1),
            recompile=bool(word >> 11 & 1),
        )

    def access(self, helpers: tuple[int, ...]) -> Access:
        """What the word and the list beside it say of helpers. Raises MalformedRequest.

        The list of a binary is the last part of an extended header; no other layout has one.
        """
        if self.source is Source.BINARY and self.layout is not Layout.EXTENDED:
            raise MalformedRequest("helper list in the image needs layout ExtendedHeader", where="config")
        return Access(helpers, self.source, self.point)


def helpers_of(text: str) -> tuple[int, ...]:
    """The ids in pairs of hex digits. Raises MalformedRequest."""
    if not _PAIRS.fullmatch(text):
        raise MalformedRequest(
            f"{text[:20]!r} are no helper ids", where="helpers", hint="two hex digits each"
        )
    return tuple(bytes.fromhex(text))
