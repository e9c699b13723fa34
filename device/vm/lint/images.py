"""Rows about the image: layouts, sections, relocations, loops and the stack (programs.md section 2.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from device.vm import profiles
from device.vm.elf_format import R_BPF_64_32, R_BPF_64_64, R_BPF_64_NODYLD32
from device.vm.isa import Form, Sem
from device.vm.lint.deviation import FEMTO, RIOT, SMING, UBPF, Deviation, Finder
from device.vm.lint.loops import branch_budget
from device.vm.lint.subject import Subject
from device.vm.profiles import Profile
from device.vm.program import Layout

_WHOLE: Final[Sequence[int]] = ()
_SMALLEST_STACK: Final = 32


def _unread(profile: Profile) -> Finder:
    return lambda subject: None if subject.program.layout in profile.layouts else _WHOLE


def _uses_sections(subject: Subject) -> Sequence[int] | None:
    """Whether instructions hold addresses of data; names of functions in .rodata do no harm."""
    program = subject.program
    if program.layout.has_header:
        return subject.slots_of(lambda insn: insn.row.form is Form.WIDE_RELATIVE)
    if subject.obj is None:
        return _WHOLE if program.rodata or program.has_memory else None
    tables = subject.obj.relocation_tables()
    found = any(
        entry.type == R_BPF_64_64 for target, entries in tables if target.is_text for entry in entries
    )
    return _WHOLE if found else None


def _without_data(subject: Subject) -> list[int] | None:
    """`lddwd` in an image without .data and .bss, which counts from .rodata here (section 1.3)."""
    if subject.program.has_memory:
        return None
    return subject.slots_of(lambda insn: insn.row.sem is Sem.LDDW_DATA)


def _relocates_data(subject: Subject) -> Sequence[int] | None:
    """Whether the object has pointers in data or read-only data."""
    tables = subject.obj.relocation_tables() if subject.obj else ()
    return (
        _WHOLE
        if any(
            entry.type != R_BPF_64_NODYLD32
            for target, entries in tables
            if target.loaded and not target.is_text
            for entry in entries
        )
        else None
    )


def _relocates_calls(subject: Subject) -> Sequence[int] | None:
    """Whether the raw layout leaves calls for the device to resolve."""
    if subject.program.layout is not Layout.ELF or subject.obj is None:
        return None
    tables = subject.obj.relocation_tables()
    found = any(
        entry.type == R_BPF_64_32 for target, entries in tables if target.is_text for entry in entries
    )
    return _WHOLE if found else None


def _read_only(subject: Subject) -> list[str]:
    sections = subject.obj.sections if subject.obj else ()
    return [section.name for section in sections if section.is_rodata and section.size]


def _has_strings(subject: Subject) -> Sequence[int] | None:
    return _WHOLE if any(name.startswith(".rodata.") for name in _read_only(subject)) else None


def _raw_rodata(subject: Subject) -> Sequence[int] | None:
    return _WHOLE if subject.program.layout is Layout.ELF and len(_read_only(subject)) > 1 else None


def _raw_bss(subject: Subject) -> Sequence[int] | None:
    return _WHOLE if subject.program.layout is Layout.ELF and subject.program.bss_size else None


def _tool_fails(subject: Subject) -> Sequence[int] | None:
    return _WHOLE if subject.program.bss_size and subject.obj else _has_strings(subject)


def _calls_in_text(subject: Subject) -> list[int] | None:
    if subject.program.layout is not Layout.TEXT:
        return None
    return subject.slots_of(lambda insn: insn.row.form is Form.CALL_LOCAL)


def _jit_lacks(subject: Subject) -> Sequence[int] | None:
    found = sorted(subject.local_calls)
    if found:
        return found
    return _has_strings(subject) if _relocates_data(subject) is None else _WHOLE


def _needs_stack(subject: Subject) -> Sequence[int] | None:
    depth = subject.report.stack_depth
    return _WHOLE if depth is None or depth > _SMALLEST_STACK else None


IMAGES: Final = (
    Deviation(
        "layout-femto", (FEMTO,), _unread(profiles.FEMTO),
        "only images with a Femto-Containers header are read",
        "client package --layout femto --profile femto",
    ),
    Deviation(
        "layout-sming", (SMING,), _unread(profiles.SMING), "only images with Sming's header are read",
        "client package --layout sming --profile sming",
    ),
    Deviation(
        "layout-text", (RIOT,), _unread(profiles.RIOT2020), "only bare text is read",
        "client package --layout text",
    ),
    Deviation(
        "sections", (RIOT,), _uses_sections, "there is no .data, .rodata and .bss", "keep data on the stack",
    ),
    Deviation(
        "section-offset", (FEMTO,), _uses_sections,
        ".data and .rodata begin at the wrong offset of the image: other bytes are read",
        "keep data on the stack",
    ),
    Deviation(
        "lddwd-rodata", (FEMTO, SMING), _without_data,
        "lddwd counts from .data, here from .rodata where there is no .data", "package the object again",
    ),
    Deviation(
        "data-pointer", (UBPF, FEMTO, SMING), _relocates_data,
        "pointers in .data and .rodata are ignored, or 8 bytes are copied for 4",
        "set them when the program starts",
    ),
    Deviation(
        "global-call", (UBPF,), _relocates_calls, "calls of global functions loop for ever or crash",
        "make the functions static and inline",
    ),
    Deviation(
        "text-call", (UBPF,), _calls_in_text, "a local call in bare text runs the helper of the same number",
        "mark functions __attribute__((always_inline))",
    ),
    Deviation(
        "raw-rodata", (UBPF,), _raw_rodata, "only the first read-only section of a raw object can be read",
        "client package --layout extended",
    ),
    Deviation(
        "raw-bss", (UBPF,), _raw_bss, ".bss of a raw object overlays other contents of the file",
        "give the variables an initial value other than 0",
    ),
    Deviation(
        "jit-lacks", (UBPF,), _jit_lacks,
        "its JIT knows no string sections, pointers in .data and local calls",
        "do not use that machine's JIT",
    ),
    Deviation(
        "tool-sections", (FEMTO,), _tool_fails, "its tool fails on .bss and string sections",
        "convert with client package --layout femto --profile femto",
    ),
    Deviation(
        "tool-strings", (SMING,), _has_strings, "its tool appends string sections once per relocation",
        "convert with client package --layout sming --profile sming",
    ),
    Deviation(
        "stack-instance", (SMING,), _needs_stack, "an instance may be given as little as 32 bytes of stack",
        "give the instance as many bytes as the stack depth",
    ),
    Deviation(
        "branch-budget", (FEMTO, SMING), branch_budget, "the 201st taken jump of a run is OUT_OF_BRANCHES",
        "do less in one run",
    ),
)  # fmt: skip
"""The rows of this module."""
