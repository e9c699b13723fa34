"""bytes → Program: recognise the layout, read it, link it (programs.md section 2).

Only LoadError leaves this module, whatever the bytes; the work is linear in their number. The stored
image is never patched: linking the same bytes twice gives the same program.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from device.errors import LoadError
from device.vm import elf
from device.vm.elf_format import EHDR, MAGIC
from device.vm.entry import choose_entry, function_table, named_functions
from device.vm.isa import SLOT_SIZE
from device.vm.layouts import reader
from device.vm.layouts.header import MAGICS
from device.vm.link import link
from device.vm.program import Layout, Program

RAM_LIMIT: Final = 4096
"""Bytes of .data and .bss that a device has for a program, unless it says otherwise."""

_WHOLE: Final = "build and publish it again: it is not all there"


@dataclass(frozen=True, slots=True)
class _Request:
    """What a reader needs to know beside the bytes."""

    digest: bytes
    entry: str | None
    ram_limit: int


class _Reader(Protocol):
    def __call__(self, image: bytes, request: _Request) -> Program:
        """The linked program of an image in the reader's layout. Raises LoadError."""


def detect_layout(image: bytes) -> Layout:
    """Which layout the bytes are: ELF by its magic, a header by its magic and lengths, else bare text.

    Raises LoadError for the magic of a header whose lengths fit no variant.
    """
    if image.startswith(MAGIC):
        return Layout.ELF
    return reader.parse(image).layout if image.startswith(MAGICS) else Layout.TEXT


def load(
    image: bytes,
    *,
    declared: Layout | None = None,
    entry: str | None = None,
    slot_size: int | None = None,
    ram_limit: int = RAM_LIMIT,
) -> Program:
    """Read and link an image. Raises LoadError with one of the ids of programs.md section 2.3.

    `declared` is the layout that the caller expects, `entry` the global function to start at (ELF only),
    `slot_size` the bytes of the storage slot, `ram_limit` the bytes of .data and .bss together.
    """
    if slot_size is not None and len(image) > slot_size:
        raise LoadError(
            f"the image has {len(image)} bytes, the slot {slot_size}",
            code="load-size",
            where="image",
            hint="strip it of debug information",
        )
    layout = _as_declared(image, declared)
    request = _Request(hashlib.sha256(image).digest(), entry, ram_limit)
    return _READERS[layout](image, request)


def _as_declared(image: bytes, declared: Layout | None) -> Layout:
    """The layout of the bytes. Raises LoadError when they are not what they are declared to be."""
    if declared is None:
        return detect_layout(image)
    if declared.has_header and not image.startswith((MAGIC, *MAGICS)):
        raise reader.bad_magic(image)
    if not declared.has_header and image.startswith(MAGICS):
        raise _wrong_layout(declared, "begin as an image with a header does")
    layout = detect_layout(image)
    if not declared.admits(layout):
        raise _wrong_layout(declared, f"are {layout.value}")
    return layout


def _wrong_layout(declared: Layout, found: str) -> LoadError:
    return LoadError(
        f"layout is declared {declared.value}, the bytes {found}",
        code="load-layout",
        where="layout",
        hint="declare the layout that the image has",
    )


def _read_text(image: bytes, request: _Request) -> Program:
    """Bare text starts at its first instruction. Its length is the verifier's to judge (`text-len`)."""
    if not image:
        raise LoadError(
            f"the image has 0 bytes, one instruction has {SLOT_SIZE}",
            code="load-short",
            where="image",
            hint=_WHOLE,
        )
    if request.entry is not None:
        raise LoadError(
            f"no function {request.entry!r}: bare text has no names",
            code="load-entry",
            where="image",
            hint="deploy the object file, or name no function",
        )
    functions = function_table(image, {0: None})
    return Program(text=image, layout=Layout.TEXT, digest=request.digest, functions=functions)


def _read_elf(image: bytes, request: _Request) -> Program:
    """An object is linked here, once; its names stay for messages."""
    smallest = EHDR.size + SLOT_SIZE
    if len(image) < smallest:
        raise LoadError(
            f"the image has {len(image)} bytes, an ELF header and one instruction {smallest}",
            code="load-short",
            where="image",
            hint=_WHOLE,
        )
    obj = elf.parse(image)
    linked = link(obj, ram_limit=request.ram_limit)
    text, entry = bytes(linked.text), choose_entry(obj, linked, request.entry)
    return Program(
        text=text,
        layout=Layout.ELF,
        digest=request.digest,
        entry=entry,
        rodata=bytes(linked.rodata),
        data=bytes(linked.data),
        bss_size=linked.bss_size,
        functions=function_table(text, {entry: None} | named_functions(obj, linked)),
    )


def _read_header(image: bytes, request: _Request) -> Program:
    """An image with a header starts at its first instruction; its function records are names."""
    if request.entry is not None:
        raise LoadError(
            f"no function {request.entry!r} to start at: an image with a header starts at its text",
            code="load-entry",
            where="image",
            hint="deploy the object file, or name no function",
        )
    parts = reader.parse(image)
    if len(parts.data) + parts.bss_size > request.ram_limit:
        raise LoadError(
            f".data ({len(parts.data)} bytes) and .bss ({parts.bss_size}) need more than the device's"
            f" {request.ram_limit} bytes",
            code="load-ram",
            where="bss_len" if parts.bss_size > len(parts.data) else "data_len",
            hint="make static arrays smaller",
        )
    text = reader.resolve_calls(parts)
    return Program(
        text=text,
        layout=parts.layout,
        digest=request.digest,
        rodata=parts.rodata,
        data=parts.data,
        bss_size=parts.bss_size,
        functions=function_table(text, {0: None} | parts.named_functions()),
        declared_helpers=frozenset(parts.helpers) if parts.layout is Layout.EXTENDED else None,
    )


_READERS: Final[dict[Layout, _Reader]] = {
    Layout.TEXT: _read_text,
    Layout.FEMTO: _read_header,
    Layout.SMING: _read_header,
    Layout.EXTENDED: _read_header,
    Layout.ELF: _read_elf,
}
