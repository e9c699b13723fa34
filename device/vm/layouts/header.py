"""The formats of the header family: fields, records, and an image taken apart (programs.md section 2.1).

    header | .data | .rodata | .text | functions | relocated calls | helper ids
                                                   └── extended header only ──┘

All integers are little-endian and nothing is padded. `Parts.encode` puts an image together again; the
strict reader is reader.py, the writer writer.py.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from device.vm.isa import SLOT_SIZE
from device.vm.program import Layout

MAGIC_RBPF: Final = b"rBPF"
MAGIC_UBPF: Final = (123).to_bytes(4, "little")
MAGICS: Final = (MAGIC_RBPF, MAGIC_UBPF)
"""How images of the family start; µBPF writes the second."""

MAX_HELPERS: Final = 256
"""Helper ids that an extended header may list: one byte each, to the end of the file."""

MAX_RECORD_OFFSET: Final = 0xFFFF
"""The largest offset that a function record can hold."""

DATA: Final = "data_len"
RODATA: Final = "rodata_len"
BSS: Final = "bss_len"
TEXT: Final = "text_len"
FUNCTIONS: Final = "functions"
CALLS: Final = "relocated_calls"

FIELDS: Final = MappingProxyType(
    {
        Layout.FEMTO: (DATA, RODATA, TEXT, FUNCTIONS),
        Layout.SMING: (DATA, BSS, RODATA, TEXT, FUNCTIONS),
        Layout.EXTENDED: (DATA, RODATA, TEXT, FUNCTIONS, CALLS),
    }
)
"""The u32 fields of each variant behind those that all have."""

COMMON: Final = struct.Struct("<4sII")
"""Magic, version and flags."""
WORD: Final = struct.Struct("<I")
FUNCTION: Final = struct.Struct("<HHH")
CALL: Final = struct.Struct("<II")

SMALLEST_HEADER: Final = COMMON.size + WORD.size * len(FIELDS[Layout.FEMTO])


class FunctionRecord(NamedTuple):
    """A function: where its name starts in .rodata and its code in .text, both in bytes."""

    name_offset: int
    flags: int
    location: int


class CallRecord(NamedTuple):
    """A relocated call: where it and the function that it calls are in .text, both in bytes."""

    instruction: int
    function: int


@dataclass(frozen=True, slots=True)
class Parts:
    """An image of the family taken apart; one of bare text has nothing but `text`.

    `helpers` are the ids that an extended header lists, in its order, a byte each.
    """

    layout: Layout
    text: bytes
    magic: bytes = MAGIC_UBPF
    data: bytes = b""
    bss_size: int = 0
    rodata: bytes = b""
    functions: tuple[FunctionRecord, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    helpers: bytes = b""

    def fields(self) -> dict[str, int]:
        """The u32 fields of the header behind magic, version and flags, in their order."""
        sizes = {
            DATA: len(self.data),
            BSS: self.bss_size,
            RODATA: len(self.rodata),
            TEXT: len(self.text),
            FUNCTIONS: len(self.functions),
            CALLS: len(self.calls),
        }
        return {name: sizes[name] for name in FIELDS[self.layout]}

    def encode(self) -> bytes:
        """The image."""
        return b"".join(
            (
                COMMON.pack(self.magic, 0, 0),
                *(WORD.pack(value) for value in self.fields().values()),
                self.data,
                self.rodata,
                self.text,
                *(FUNCTION.pack(*record) for record in self.functions),
                *(CALL.pack(*record) for record in self.calls),
                self.helpers,
            )
        )

    def names(self) -> dict[int, str]:
        """Name offset → name, for every function record.

        A name ends at the first NUL, at the next larger name offset, or with .rodata: µBPF ends none.
        """
        offsets = sorted({record.name_offset for record in self.functions})
        return {start: self._name(start, end) for start, end in pairwise([*offsets, len(self.rodata)])}

    def _name(self, start: int, end: int) -> str:
        terminator = self.rodata.find(b"\0", start, end)
        raw = self.rodata[start : end if terminator < 0 else terminator]
        return raw.decode("utf-8", "backslashreplace")

    def named_functions(self) -> dict[int, str | None]:
        """Slot → name of the function that starts there; of several records the first."""
        names = self.names()
        found: dict[int, str | None] = {}
        for record in self.functions:
            found.setdefault(record.location // SLOT_SIZE, names[record.name_offset] or None)
        return found


def body_size(values: Mapping[str, int]) -> int:
    """Bytes that the fields of a header promise behind it; .bss is not stored."""
    return (
        values[DATA]
        + values[RODATA]
        + values[TEXT]
        + FUNCTION.size * values[FUNCTIONS]
        + CALL.size * values.get(CALLS, 0)
    )


def header_size(layout: Layout) -> int:
    """Bytes of a variant's header."""
    return COMMON.size + WORD.size * len(FIELDS[layout])
