"""Which functions a linked object has, and where a run begins (programs.md section 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from device.errors import LoadError
from device.vm.elf_format import STB_GLOBAL, STB_WEAK, STT_FUNC, STT_NOTYPE, ElfObject, Symbol
from device.vm.isa import SLOT_SIZE, Slot
from device.vm.link import Linked
from device.vm.program import Function

_CALL: Final = 0x85
_JA: Final = 0x05
_JA32: Final = 0x06
_MAX_SHORT_JUMP: Final = 2**15 - 1
_LOCAL: Final = 1
_LISTED: Final = 16


def function_table(text: bytes, named: Mapping[int, str | None]) -> tuple[Function, ...]:
    """Named functions plus the targets of local calls, in ascending order of their start slot."""
    starts = dict(named)
    slots = len(text) // SLOT_SIZE
    opcodes = text[::SLOT_SIZE]
    index = opcodes.find(_CALL)
    while 0 <= index < slots:
        slot = Slot.parse(text, index)
        target = index + 1 + slot.imm
        if slot.src == _LOCAL and 0 <= target < slots:
            starts.setdefault(target, None)
        index = opcodes.find(_CALL, index + 1)
    return tuple(Function(start, starts[start]) for start in sorted(starts))


def named_functions(obj: ElfObject, linked: Linked) -> dict[int, str | None]:
    """Start slot → name of every function symbol, static ones too; of several names a global one."""
    named: dict[int, str | None] = {}
    for symbol in sorted(obj.symbols, key=lambda symbol: not _is_global(symbol)):
        start = _start(obj, linked.text_offset, symbol)
        if start is not None and (symbol.type == STT_FUNC or _is_global(symbol)):
            named.setdefault(start, symbol.name or None)
    return named


def global_functions(obj: ElfObject, text_offset: Mapping[int, int]) -> dict[str, int]:
    """Name → start slot of the global functions, in the order of the symbol table.

    `text_offset` is where each executable section starts in the linked text, in bytes.
    """
    functions: dict[str, int] = {}
    for symbol in obj.symbols:
        start = _start(obj, text_offset, symbol)
        if start is not None and _is_global(symbol):
            functions.setdefault(symbol.name, start)
    return functions


def choose_entry(obj: ElfObject, linked: Linked, wanted: str | None, *, lowest: bool = False) -> int:
    """The slot where a run begins. Raises LoadError `load-entry`, listing the candidates.

    The function `wanted`; else a global function at offset 0 of `.text`; else the only global function, or
    with `lowest` (Sming's rule) the first one in `.text`. An object without symbols starts at its first
    instruction.
    """
    functions = global_functions(obj, linked.text_offset)
    if wanted is not None:
        if wanted not in functions:
            raise _no_entry(f"no global function {wanted!r}", functions)
        return functions[wanted]
    first = next(iter(linked.text_offset))
    if len(obj.symbols) <= 1 or (obj.sections[first].name == ".text" and _begins(obj, first, functions)):
        return 0
    starts = set(functions.values())
    if lowest and obj.sections[first].name == ".text":
        inside = {start for start in starts if start * SLOT_SIZE < obj.sections[first].size}
        starts = {min(inside)} if inside else starts
    if len(starts) != 1:
        raise _no_entry(f"{len(functions)} global functions, none at the start of .text", functions)
    return starts.pop()


def jump_to(entry: int) -> bytes:
    """What leads to the entry in a layout that starts at its first slot; nothing when that is the entry."""
    if entry == 0:
        return b""
    if entry <= _MAX_SHORT_JUMP:
        return Slot(_JA, 0, 0, entry, 0).pack()
    return Slot(_JA32, 0, 0, 0, entry).pack()


def _begins(obj: ElfObject, index: int, functions: Mapping[str, int]) -> bool:
    """Whether a global function starts with this section, the first of the text."""
    return obj.sections[index].size > 0 and 0 in functions.values()


def _is_global(symbol: Symbol) -> bool:
    return symbol.bind in (STB_GLOBAL, STB_WEAK)


def _start(obj: ElfObject, text_offset: Mapping[int, int], symbol: Symbol) -> int | None:
    """The slot that a function symbol names; None for other symbols. Assembler labels have no type."""
    offset = text_offset.get(symbol.section)
    if offset is None or symbol.type not in (STT_FUNC, STT_NOTYPE) or symbol.value % SLOT_SIZE:
        return None
    inside = symbol.value < obj.sections[symbol.section].size
    return (offset + symbol.value) // SLOT_SIZE if inside else None


def _no_entry(problem: str, functions: Mapping[str, int]) -> LoadError:
    names = sorted(functions)
    listed = ", ".join(name[:64] for name in names[:_LISTED]) or "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return LoadError(
        f"{problem}; candidates: {listed}{more}",
        code="load-entry",
        where="symbol table",
        hint="put the function to start first in the file, or make the others static",
    )
