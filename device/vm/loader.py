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
from device.vm.link import link
from device.vm.program import Layout, Program

HEADER_MAGICS: Final = (bytes.fromhex("72425046"), bytes.fromhex("7b000000"))
"""How images of the header family start: "rBPF", and 123, which µBPF writes."""

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
    """Which layout the bytes are: ELF by its magic, the header family by its magics, else bare text.

    Raises LoadError `load-layout` for the header family, which has no reader here.
    """
    if image.startswith(MAGIC):
        return Layout.ELF
    if image.startswith(HEADER_MAGICS):
        raise LoadError(
            f"magic 0x{int.from_bytes(image[:4], 'little'):08x} starts an image with a header;"
            f" this build takes {_offered()}",
            code="load-layout",
            where="magic",
            hint="deploy the object file itself, in the layout elf",
        )
    return Layout.TEXT


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
    layout = detect_layout(image)
    if declared is not None and declared is not layout:
        raise _wrong_layout(image, declared, layout)
    request = _Request(hashlib.sha256(image).digest(), entry, ram_limit)
    return _READERS[layout](image, request)


def _wrong_layout(image: bytes, declared: Layout, detected: Layout) -> LoadError:
    """Bytes that begin neither with a known magic nor as what they were declared to be."""
    if declared in (Layout.FEMTO, Layout.EXTENDED) and detected is Layout.TEXT:
        return LoadError(
            f"magic is 0x{image[:4].hex()}, an image with a header starts with"
            f" {' or '.join(magic.hex() for magic in HEADER_MAGICS)}",
            code="load-magic",
            where="magic",
            hint="declare the layout that the image has",
        )
    return LoadError(
        f"layout is declared {declared.name.lower()}, the bytes are {detected.name.lower()}",
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


_READERS: Final[dict[Layout, _Reader]] = {Layout.TEXT: _read_text, Layout.ELF: _read_elf}


def _offered() -> str:
    return " and ".join(layout.name.lower() for layout in _READERS)
