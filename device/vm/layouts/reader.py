"""The strict reader of images with a header: bytes → Parts (programs.md sections 2.2 and 2.3).

Magic, version and flags are the same in all variants: only the length of the file tells them apart. Every
length is compared with it before anything is cut out, so the work and the memory are linear in the file;
`LoadError` is the only exception that leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from device.errors import LoadError
from device.vm.isa import SLOT_SIZE, Slot, describe_at
from device.vm.layouts.header import (
    CALL,
    CALLS,
    COMMON,
    DATA,
    FIELDS,
    FUNCTION,
    FUNCTIONS,
    MAGICS,
    MAX_HELPERS,
    RODATA,
    SMALLEST_HEADER,
    TEXT,
    WORD,
    CallRecord,
    FunctionRecord,
    Parts,
    body_size,
    header_size,
)
from device.vm.program import Layout

_CALL: Final = 0x85
_COMPRESSED: Final = 1
_HINT: Final = "write the image again: client package"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The header read as one variant, and what the length of the file says to that."""

    layout: Layout
    values: Mapping[str, int]
    size: int

    @property
    def expected(self) -> int:
        """Bytes that the file must have; an extended one up to MAX_HELPERS more."""
        return header_size(self.layout) + body_size(self.values)

    @property
    def fits(self) -> bool:
        """Whether the lengths add up to the file's."""
        room = MAX_HELPERS if self.layout is Layout.EXTENDED else 0
        return 0 <= self.size - self.expected <= room

    @property
    def problem(self) -> LoadError | None:
        """What is wrong with a variant whose lengths add up: at most one has nothing wrong."""
        text = self.values[TEXT]
        if text == 0 or text % SLOT_SIZE:
            what = f"must be a multiple of {SLOT_SIZE}" if text else "the text is empty"
            detail = f"text_len is {text} in the {self.layout.value} header: {what}"
            return LoadError(detail, code="load-text", where=TEXT, hint=_HINT)
        for name in (FUNCTIONS, CALLS):
            count, slots = self.values.get(name, 0), text // SLOT_SIZE
            if count > slots:
                detail = f"{name} is {count} in the {self.layout.value} header, the text has {slots} slots"
                return LoadError(detail, code="load-length", where=name, hint=_HINT)
        return None

    def describe(self) -> str:
        """What would have to be there: `femto needs 40 bytes (data_len 0, rodata_len 0, …)`."""
        more = f" to {self.expected + MAX_HELPERS}" if self.layout is Layout.EXTENDED else ""
        fields = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"{self.layout.value} needs {self.expected}{more} ({fields})"


def parse(image: bytes) -> Parts:
    """Take an image of the header family apart. Raises LoadError naming field and value.

    The calls of an extended header are left as they are: `resolve_calls` does that.
    """
    _check_start(image)
    candidates = [_candidate(image, layout) for layout in FIELDS]
    fitting = [candidate for candidate in candidates if candidate.fits]
    found = next((candidate for candidate in fitting if candidate.problem is None), None)
    if found is None:
        raise next((candidate.problem for candidate in fitting if candidate.problem), _no_variant(candidates))
    parts = _cut(image, found)
    _check_functions(parts)
    return parts


def resolve_calls(parts: Parts) -> bytes:
    """The text with the calls resolved that call records name. Raises LoadError `load-call`.

    A call that is still -1 gets the distance to its function; one that is resolved has to go there.
    """
    text = bytearray(parts.text)
    seen: set[int] = set()
    for number, record in enumerate(parts.calls):
        at, function = record
        _check_offset(number, "instruction_offset", at, len(text))
        _check_offset(number, "function_text_offset", function, len(text))
        if at in seen:
            raise _bad_call(number, f"instruction_offset is 0x{at:x}, which another record has as well")
        seen.add(at)
        slot = Slot.parse(parts.text, at // SLOT_SIZE)
        if slot.opcode != _CALL:
            raise _bad_call(number, f"instruction_offset is 0x{at:x}, there is opcode 0x{slot.opcode:02x}")
        distance = (function - at) // SLOT_SIZE - 1
        if slot.imm == -1 and slot.src in (0, 1):
            text[at : at + SLOT_SIZE] = slot._replace(src=1, imm=distance).pack()
        elif slot.src != 1 or slot.imm != distance:
            raise _bad_call(
                number,
                f"function_text_offset is 0x{function:x}, but the call at {describe_at(at // SLOT_SIZE)}"
                f" has kind {slot.src} and imm {slot.imm}",
            )
    return bytes(text)


def resolved(parts: Parts) -> Parts:
    """The same image with its calls resolved. Raises LoadError `load-call`."""
    return replace(parts, text=resolve_calls(parts)) if parts.calls else parts


def _check_start(image: bytes) -> None:
    """Size, magic, version and flags."""
    smallest = SMALLEST_HEADER + SLOT_SIZE
    if len(image) < smallest:
        raise LoadError(
            f"the image has {len(image)} bytes, the smallest header and one instruction {smallest}",
            code="load-short",
            where="image",
            hint=_HINT,
        )
    if image[:4] not in MAGICS:
        raise bad_magic(image)
    _, version, flags = COMMON.unpack_from(image)
    if version:
        raise LoadError(f"version is {version}, must be 0", code="load-version", where="version", hint=_HINT)
    if flags:
        why = "compressed text is not supported" if flags & _COMPRESSED else "no flag has a meaning"
        raise LoadError(
            f"flags is 0x{flags:x}, must be 0: {why}", code="load-flags", where="flags", hint=_HINT
        )


def bad_magic(image: bytes) -> LoadError:
    """The refusal of bytes that were to be an image with a header."""
    shown = " or ".join(f"0x{int.from_bytes(magic, 'little'):08x}" for magic in MAGICS)
    return LoadError(
        f"magic is 0x{int.from_bytes(image[:4], 'little'):08x}, an image with a header has {shown}",
        code="load-magic",
        where="magic",
        hint="declare the layout that the image has",
    )


def _candidate(image: bytes, layout: Layout) -> _Candidate:
    """The fields of a variant; the smallest image is longer than the largest header."""
    start, names = COMMON.size, FIELDS[layout]
    values = (value for (value,) in WORD.iter_unpack(image[start : start + WORD.size * len(names)]))
    return _Candidate(layout, dict(zip(names, values, strict=True)), len(image))


def _no_variant(candidates: list[_Candidate]) -> LoadError:
    """No variant's lengths add up to the file's: what each would need."""
    size = candidates[0].size
    needs = "; ".join(candidate.describe() for candidate in candidates)
    return LoadError(
        f"the image has {size} bytes, which is the length of no header's contents: {needs}",
        code="load-length",
        where=_liar(candidates),
        hint=_HINT,
    )


def _liar(candidates: list[_Candidate]) -> str:
    """The field that says more than the whole file has; all lengths together where that need not be so."""
    liars = [
        next((n for n in (DATA, RODATA, TEXT, FUNCTIONS) if candidate.values[n] > candidate.size), None)
        for candidate in candidates
    ]
    return "header lengths" if None in liars else liars[0] or ""


def _cut(image: bytes, found: _Candidate) -> Parts:
    """The body, cut at the lengths that were checked."""
    values, at = found.values, header_size(found.layout)
    cuts: dict[str, bytes] = {}
    sizes = {
        DATA: values[DATA],
        RODATA: values[RODATA],
        TEXT: values[TEXT],
        FUNCTIONS: FUNCTION.size * values[FUNCTIONS],
        CALLS: CALL.size * values.get(CALLS, 0),
    }
    for name, length in sizes.items():
        cuts[name] = image[at : at + length]
        at += length
    return Parts(
        layout=found.layout,
        magic=image[:4],
        data=cuts[DATA],
        bss_size=values.get("bss_len", 0),
        rodata=cuts[RODATA],
        text=cuts[TEXT],
        functions=tuple(FunctionRecord(*fields) for fields in FUNCTION.iter_unpack(cuts[FUNCTIONS])),
        calls=tuple(CallRecord(*fields) for fields in CALL.iter_unpack(cuts[CALLS])),
        helpers=image[at:],
    )


def _check_functions(parts: Parts) -> None:
    for number, record in enumerate(parts.functions):
        where = f"function {number}"
        if record.name_offset >= len(parts.rodata):
            problem = f"name_offset is {record.name_offset}, .rodata has {len(parts.rodata)} bytes"
        elif record.location >= len(parts.text):
            problem = f"location_offset is {record.location}, .text has {len(parts.text)} bytes"
        elif record.location % SLOT_SIZE:
            problem = f"location_offset is {record.location}, must be a multiple of {SLOT_SIZE}"
        elif record.flags:
            raise LoadError(
                f"{where}: flags is 0x{record.flags:x}, must be 0",
                code="load-flags",
                where=f"{where}, flags",
                hint=_HINT,
            )
        else:
            continue
        field = problem.split(" ", 1)[0]
        raise LoadError(f"{where}: {problem}", code="load-function", where=f"{where}, {field}", hint=_HINT)


def _check_offset(number: int, field: str, value: int, size: int) -> None:
    if value >= size:
        raise _bad_call(number, f"{field} is 0x{value:x}, .text has {size} bytes")
    if value % SLOT_SIZE:
        raise _bad_call(number, f"{field} is 0x{value:x}, must be a multiple of {SLOT_SIZE}")


def _bad_call(number: int, problem: str) -> LoadError:
    field = problem.split(" ", 1)[0]
    where = f"relocated call {number}"
    return LoadError(f"{where}: {problem}", code="load-call", where=f"{where}, {field}", hint=_HINT)
