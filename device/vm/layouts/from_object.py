"""An object → the parts of an image with a header: what a host resolves (programs.md sections 2.4 and 2.5).

The linker places the sections as the image has them, at the addresses of this fleet. Instructions that hold
one of these addresses become `lddwd` or `lddwr`, which count from .data or .rodata wherever those lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError
from device.vm import elf
from device.vm.elf_format import (
    R_BPF_64_32,
    R_BPF_64_64,
    R_BPF_64_NODYLD32,
    ElfObject,
    Relocation,
    Section,
)
from device.vm.entry import choose_entry, global_functions, jump_to
from device.vm.isa import SLOT_SIZE, Sem, Slot, walk
from device.vm.layouts.header import (
    MAX_HELPERS,
    MAX_RECORD_OFFSET,
    CallRecord,
    FunctionRecord,
    Parts,
)
from device.vm.layouts.style import PADDING, Style
from device.vm.link import Arrangement, Linked, link, text_offsets
from device.vm.memory import ADDRESS_MASK, DATA_BASE, RODATA_BASE
from device.vm.program import Layout

MAX_RAM: Final = 0x100000
"""Bytes of .data and .bss that the memory map has room for."""

FLEET_ONLY: Final = "pointers in data hold addresses of this fleet: on other machines they lead elsewhere"

_LDDWD: Final = 0xB8
_LDDWR: Final = 0xD8
_MAX_HELPER: Final = 0xFF


@dataclass(frozen=True, slots=True)
class Written:
    """An image in parts, and what whoever writes it should know."""

    parts: Parts
    notes: tuple[str, ...] = ()


def from_object(
    image: bytes,
    layout: Layout,
    style: Style,
    *,
    entry: str | None = None,
    helpers: Sequence[int] | None = None,
) -> Written:
    """Link an object for a layout with a header. Raises LoadError naming what the layout cannot carry.

    `entry` is the global function to start at, `helpers` the ids that an extended header is to list
    instead of those that the program calls.
    """
    obj = elf.parse(image)
    functions = {name: at for name, at in global_functions(obj, text_offsets(obj.sections)).items() if name}
    names, offsets = name_table(functions, style.terminator)
    arrangement = Arrangement(names, style.names_first, PADDING, style.bss_in_data)
    linked = link(obj, ram_limit=MAX_RAM, arrangement=arrangement)
    notes = _check_pointers(obj, style)
    _relate(obj, linked)
    start = choose_entry(obj, linked, entry, lowest=style.lowest_entry)
    jump = jump_to(start)
    text = jump + bytes(linked.text)
    check_text(text)
    parts = Parts(
        layout,
        text,
        magic=style.magic,
        data=bytes(linked.data),
        bss_size=linked.bss_size,
        rodata=bytes(linked.rodata),
        functions=tuple(
            function_record(name, linked.names_at + offset, len(jump) + at * SLOT_SIZE)
            for (name, at), offset in zip(functions.items(), offsets, strict=True)
        ),
        calls=_call_records(obj, linked, len(jump)) if layout is Layout.EXTENDED else (),
        helpers=helper_list(text, helpers) if layout is Layout.EXTENDED else b"",
    )
    return Written(parts, notes)


def check_text(text: bytes) -> None:
    """Refuse what no header can say the length of. Raises LoadError `load-text`."""
    if not text or len(text) % SLOT_SIZE:
        raise LoadError(
            f"the text has {len(text)} bytes, an instruction has {SLOT_SIZE}",
            code="load-text",
            where="text",
            hint="a program has one whole instruction at least",
        )


def name_table(names: Iterable[str], terminator: bytes) -> tuple[bytes, list[int]]:
    """The names one after the other, and where each starts."""
    table, offsets = bytearray(), []
    for name in names:
        offsets.append(len(table))
        table += name.encode() + terminator
    return bytes(table), offsets


def function_record(name: str, name_offset: int, location: int) -> FunctionRecord:
    """A record. Raises LoadError `load-function` for offsets that its 16 bits cannot hold."""
    if max(name_offset, location) > MAX_RECORD_OFFSET:
        raise LoadError(
            f"function {name}: its name at byte {name_offset} of .rodata, its code at byte {location} of"
            f" .text: a record holds at most {MAX_RECORD_OFFSET}",
            code="load-function",
            where=name,
            hint="use the layout elf, or make the functions static",
        )
    return FunctionRecord(name_offset, 0, location)


def helper_list(text: bytes, wanted: Sequence[int] | None) -> bytes:
    """The ids that an extended header lists: `wanted` in its order, else those that are called, ascending.

    Raises LoadError for an id, or a number of them, that it cannot hold.
    """
    called = {i.imm for _, i in walk(text) if i is not None and i.op.sem is Sem.CALL}
    ids = sorted(called) if wanted is None else list(wanted)
    for number in ids:
        if not 0 <= number <= _MAX_HELPER:
            raise LoadError(
                f"helper 0x{number:x}: an extended header lists ids up to 0x{_MAX_HELPER:x}",
                code="load-layout",
                where="helpers",
                hint="use the layout elf",
            )
    if len(ids) > MAX_HELPERS:
        raise LoadError(
            f"{len(ids)} helpers: an extended header lists {MAX_HELPERS} at most",
            code="load-layout",
            where="helpers",
            hint="list each id once",
        )
    return bytes(ids)


def _applied(obj: ElfObject) -> Iterator[tuple[Section, Relocation]]:
    """(target, entry) of every relocation that the linker applied."""
    for target, entries in obj.relocation_tables():
        if target.loaded:
            for entry in entries:
                if entry.type != R_BPF_64_NODYLD32:
                    yield target, entry


def _check_pointers(obj: ElfObject, style: Style) -> tuple[str, ...]:
    """Refuse pointers in data where they would be wrong; a note where they are right on this fleet only."""
    for target, entry in _applied(obj):
        if target.is_text:
            continue
        if style.pointers:
            return (FLEET_ONLY,)
        raise LoadError(
            f"{target.label} holds the address of {obj.label(obj.symbols[entry.symbol])}, which an image for"
            f" profile {style.profile} cannot know",
            code="load-reloc",
            where=f"{target.label}+0x{entry.offset:x}",
            hint="use the layout elf, which the device links itself",
        )
    return ()


def _relate(obj: ElfObject, linked: Linked) -> None:
    """Make the instructions that hold an address count from .data or .rodata.

    Without .data and .bss `lddwd` counts from .rodata: an address of nothing stays what it is.
    """
    has_data = bool(linked.data) or linked.bss_size > 0
    places: dict[int, bool] = {}
    for target, entry in _applied(obj):
        if target.is_text and entry.type == R_BPF_64_64:
            symbol = obj.symbols[entry.symbol]
            read_only = symbol.is_defined and obj.sections[symbol.section].is_rodata
            places[linked.text_offset[target.index] + entry.offset] = read_only
    for at, read_only in places.items():
        if not (read_only or has_data):
            continue
        opcode, base = (_LDDWR, RODATA_BASE) if read_only else (_LDDWD, DATA_BASE)
        value = int.from_bytes(linked.text[at + 4 : at + 8], "little")
        linked.text[at] = opcode
        linked.text[at + 4 : at + 8] = ((value - base) & ADDRESS_MASK).to_bytes(4, "little")


def _call_records(obj: ElfObject, linked: Linked, shift: int) -> tuple[CallRecord, ...]:
    """A record for every relocated call; the text is `shift` bytes further behind than the linker's."""
    records: dict[int, CallRecord] = {}
    for target, entry in _applied(obj):
        if target.is_text and entry.type == R_BPF_64_32:
            at = linked.text_offset[target.index] + entry.offset
            slot = Slot.parse(bytes(linked.text[at : at + SLOT_SIZE]), 0)
            records[at] = CallRecord(shift + at, shift + at + SLOT_SIZE * (slot.imm + 1))
    return tuple(records.values())
