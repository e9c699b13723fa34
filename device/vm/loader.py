"""bytes → Program: recognise the layout, parse it, link it (programs.md section 2).

Only LoadError leaves this module, whatever the bytes; the work is linear in their number. The stored
image is never patched: linking the same bytes twice gives the same program.
"""

from __future__ import annotations

import hashlib
from typing import Final

from device.errors import LoadError
from device.vm import elf
from device.vm.isa import SLOT_SIZE
from device.vm.link import function_table, link_object
from device.vm.program import Layout, Program

HEADER_MAGICS: Final = (bytes.fromhex("72425046"), bytes.fromhex("7b000000"))
RAM_LIMIT: Final = 4096
MIN_IMAGE: Final = SLOT_SIZE


def detect_layout(image: bytes) -> Layout:
    """Which layout the bytes are: ELF by its magic, a header image by its magic, else bare text.

    Raises LoadError `load-layout` for the header family, which this version does not take.
    """
    if image.startswith(elf.MAGIC):
        return Layout.ELF
    if image.startswith(HEADER_MAGICS):
        raise LoadError(
            f"magic 0x{image[:4].hex()} is a header image; this device takes text and elf",
            code="load-layout",
            where="magic",
            hint="deploy the object itself: client deploy --layout elf",
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
    """Parse and link an image.

    `declared` is the layout that the caller expects, `entry` the global function to start at,
    `slot_size` the bytes of the storage slot, `ram_limit` the bytes of .data and .bss together.
    """
    if slot_size is not None and len(image) > slot_size:
        raise LoadError(
            f"the image has {len(image)} bytes, a slot {slot_size}",
            code="load-size",
            hint="strip it: client deploy does",
        )
    if len(image) < MIN_IMAGE:
        raise LoadError(f"{len(image)} bytes, one instruction has {MIN_IMAGE}", code="load-short")
    layout = detect_layout(image)
    if declared is not None and declared is not layout:
        raise LoadError(
            f"declared as {declared.name.lower()}, the bytes are {layout.name.lower()}", code="load-layout"
        )
    digest = hashlib.sha256(image).digest()
    if layout is Layout.ELF:
        return link_object(elf.parse(image), digest, entry=entry, ram_limit=ram_limit)
    return _load_text(image, digest, entry)


def _load_text(image: bytes, digest: bytes, entry: str | None) -> Program:
    if entry is not None:
        raise LoadError(f"bare text has no function {entry!r}", code="load-entry")
    return Program(
        text=image,
        layout=Layout.TEXT,
        digest=digest,
        functions=function_table(image, {0: None}),
    )
