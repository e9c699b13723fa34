"""Images with a header made by hand, field by field; shares nothing with reader and writer but the format."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

RBPF: Final = bytes.fromhex("72425046")
UBPF: Final = bytes.fromhex("7b000000")
MOV: Final = bytes.fromhex("b700000007000000")
EXIT: Final = bytes.fromhex("9500000000000000")
BODY: Final = MOV + EXIT

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "femto": ("data_len", "rodata_len", "text_len", "functions"),
    "sming": ("data_len", "bss_len", "rodata_len", "text_len", "functions"),
    "extended": ("data_len", "rodata_len", "text_len", "functions", "relocated_calls"),
}
START: Final = ("magic", "version", "flags")


@dataclass(frozen=True)
class Header:
    """An image in the making; `lies` overrides what its header says."""

    variant: str
    text: bytes = BODY
    magic: bytes = RBPF
    data: bytes = b""
    bss: int = 0
    rodata: bytes = b""
    functions: tuple[tuple[int, int, int], ...] = ()
    calls: tuple[tuple[int, int], ...] = ()
    helpers: bytes = b""
    lies: dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        says = {
            "version": 0,
            "flags": 0,
            "data_len": len(self.data),
            "bss_len": self.bss,
            "rodata_len": len(self.rodata),
            "text_len": len(self.text),
            "functions": len(self.functions),
            "relocated_calls": len(self.calls),
            **self.lies,
        }
        words = [says[name] for name in (*START[1:], *FIELDS[self.variant])]
        return b"".join(
            (
                self.magic,
                struct.pack(f"<{len(words)}I", *words),
                self.data,
                self.rodata,
                self.text,
                *(struct.pack("<HHH", *record) for record in self.functions),
                *(struct.pack("<II", *record) for record in self.calls),
                self.helpers,
            )
        )

    def lying(self, **lies: int) -> bytes:
        """The same image with other numbers in its header."""
        return replace(self, lies=lies).build()


def offset_of(variant: str, name: str) -> int:
    """Where a field of the header is."""
    return 4 * (START + FIELDS[variant]).index(name)
