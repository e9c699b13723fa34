"""An image that is linked already → another layout: what is known of it is moved, nothing is guessed.

The bytes of .data, .rodata and .text stay what they are. Names are used where they lie, and written again
only for a reader that wants them ended by NUL and does not find them so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from device.errors import LoadError
from device.vm.elf_builder import OutputSection, OutputSymbol, build
from device.vm.elf_format import (
    R_BPF_64_64,
    REL,
    SHF_ALLOC,
    SHF_EXEC,
    SHF_INFO_LINK,
    SHF_WRITE,
    SHT_NOBITS,
    SHT_PROGBITS,
    SHT_REL,
    STB_GLOBAL,
    STB_LOCAL,
    STT_FUNC,
)
from device.vm.isa import SLOT_SIZE, Form, Instruction, Sem, describe_at, walk
from device.vm.layouts.from_object import MAX_RAM, function_record, helper_list, name_table
from device.vm.layouts.header import FunctionRecord, Parts
from device.vm.layouts.style import PADDING, Style
from device.vm.program import Layout

_LDDW: Final = 0x18
_STT_SECTION: Final = 3
_ENTRY: Final = "main"
"""The name of a first function that has none; an object has to have one there."""


def to_header(parts: Parts, layout: Layout, style: Style, helpers: Sequence[int] | None = None) -> Parts:
    """The same program behind another header. Raises LoadError naming what that cannot carry."""
    data, bss_size = parts.data, parts.bss_size
    if layout is not Layout.SMING and bss_size:
        check_ram(parts)
        data, bss_size = padded(data + bytes(bss_size)), 0
    rodata, functions = _named(parts, style)
    extended = layout is Layout.EXTENDED
    listed = parts.helpers if parts.layout is Layout.EXTENDED and helpers is None else None
    return replace(
        parts,
        layout=layout,
        magic=style.magic,
        data=data,
        bss_size=bss_size,
        rodata=rodata,
        functions=functions,
        calls=parts.calls if extended else (),
        helpers=(helper_list(parts.text, helpers) if listed is None else listed) if extended else b"",
    )


def to_text(parts: Parts) -> bytes:
    """The text alone. Raises LoadError `load-reloc` for the first instruction that needs more."""
    for instruction in _relative(parts.text):
        raise LoadError(
            f"{instruction.op.mnemonic} at {describe_at(instruction.pc)} needs .data or .rodata, which bare"
            " text has not",
            code="load-reloc",
            where=describe_at(instruction.pc),
            hint="use the layout elf, or one with a header",
        )
    return parts.text


def to_object(parts: Parts) -> bytes:
    """A relocatable object of the same program.

    Raises LoadError for an instruction that counts from a section that is empty.
    """
    check_ram(parts)
    sections = [
        OutputSection(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXEC, _absolute(parts.text), align=SLOT_SIZE)
    ]
    numbers: dict[str, int] = {}
    for section in (
        OutputSection(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, parts.data, align=PADDING),
        OutputSection(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, size=parts.bss_size),
        OutputSection(".rodata", SHT_PROGBITS, SHF_ALLOC, parts.rodata, align=PADDING),
    ):
        if section.content or section.size:
            sections.append(section)
            numbers[section.name] = len(sections)
    positions = {place: position for position, place in enumerate(numbers, start=1)}
    content = b"".join(
        REL.pack(i.pc * SLOT_SIZE, positions[_base(parts, i, positions)] << 32 | R_BPF_64_64)
        for i in _relative(parts.text)
    )
    if content:
        sections.append(
            OutputSection(".rel.text", SHT_REL, SHF_INFO_LINK, content, align=8, info=1, entsize=REL.size)
        )
    symbols = [OutputSymbol("", STB_LOCAL, _STT_SECTION, number, 0, 0) for number in numbers.values()]
    return build(sections, [*symbols, *_function_symbols(parts)])


def check_ram(parts: Parts) -> None:
    """Refuse more .bss than any device has before it becomes bytes. Raises LoadError `load-ram`."""
    if len(parts.data) + parts.bss_size > MAX_RAM:
        raise LoadError(
            f".data and .bss need {len(parts.data) + parts.bss_size} bytes, there is room for {MAX_RAM}",
            code="load-ram",
            where="bss_len",
            hint="make static arrays smaller",
        )


def padded(content: bytes) -> bytes:
    """Filled up with zeros to a multiple of PADDING."""
    return content + bytes(-len(content) % PADDING)


def _named(parts: Parts, style: Style) -> tuple[bytes, tuple[FunctionRecord, ...]]:
    """(.rodata, function records) with names that the style's reader finds the ends of."""
    offsets = sorted({record.name_offset for record in parts.functions})
    ends = dict(zip(offsets, [*offsets[1:], len(parts.rodata)], strict=False))
    if all(style.terminator in parts.rodata[start:end] for start, end in ends.items()):
        return parts.rodata, parts.functions
    names = parts.names()
    listed = [names[record.name_offset] for record in parts.functions]
    table, places = name_table(listed, style.terminator)
    records = tuple(
        function_record(name, len(parts.rodata) + place, record.location)
        for name, place, record in zip(listed, places, parts.functions, strict=True)
    )
    return padded(parts.rodata + table), records


def _relative(text: bytes) -> Iterator[Instruction]:
    """The instructions that count from .data or .rodata."""
    return (i for _, i in walk(text) if i is not None and i.op.form is Form.WIDE_RELATIVE)


def _absolute(text: bytes) -> bytes:
    """The text with `lddw` in place of them, as compilers leave it to the linker."""
    found = bytearray(text)
    for instruction in _relative(text):
        at = instruction.pc * SLOT_SIZE
        found[at] = _LDDW
        found[at + 2 * SLOT_SIZE - 4 : at + 2 * SLOT_SIZE] = bytes(4)
    return bytes(found)


def _base(parts: Parts, instruction: Instruction, there: dict[str, int]) -> str:
    """The section that an instruction counts from."""
    to_data = instruction.op.sem is Sem.LDDW_DATA and (parts.data or parts.bss_size)
    name = ".data" if to_data and parts.data else ".bss" if to_data else ".rodata"
    if name not in there:
        raise LoadError(
            f"{instruction.op.mnemonic} at {describe_at(instruction.pc)} needs {name}, which is empty",
            code="load-reloc",
            where=describe_at(instruction.pc),
            hint="an object has sections with contents only",
        )
    return name


def _function_symbols(parts: Parts) -> list[OutputSymbol]:
    """The functions as global symbols; the one at the start, where a run begins, comes first."""
    starts = {0: _ENTRY} | {start: known for start, known in parts.named_functions().items() if known}
    return [
        OutputSymbol(function, STB_GLOBAL, STT_FUNC, 1, start * SLOT_SIZE, 0)
        for start, function in sorted(starts.items())
    ]
