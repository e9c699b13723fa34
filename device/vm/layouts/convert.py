"""Any image → any layout that can carry its program (programs.md section 2.4).

An object has symbols and relocations, so everything can be made of it; what is linked already is recast.
Writers are deterministic, and what they write loads: it is read back before it is handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device.errors import LoadError
from device.vm import loader, writer
from device.vm.layouts import reader, recast
from device.vm.layouts.from_object import Written, check_text, from_object
from device.vm.layouts.header import Parts
from device.vm.layouts.style import Style, style_for
from device.vm.program import Layout

_NO_LIMIT: Final = 2**64
_ENTRY_HINT: Final = "name no function: it starts at its first instruction"


@dataclass(frozen=True, slots=True)
class Wish:
    """How an image is to be written.

    `profile` is whose virtual machine reads it, by default the first that reads the layout; `entry` the
    global function of an object to start at; `helpers` the ids that an extended header lists, by default
    those that the program calls.
    """

    layout: Layout
    profile: str | None = None
    entry: str | None = None
    helpers: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """An image, and notes for whoever asked for it."""

    image: bytes
    notes: tuple[str, ...] = ()


def convert(image: bytes, wish: Wish) -> Converted:
    """Write the program of an image in another layout. Raises LoadError naming what cannot be carried."""
    style = style_for(wish.layout, wish.profile)
    if wish.helpers is not None and wish.layout is not Layout.EXTENDED:
        raise LoadError(
            f"layout {wish.layout.value} has no list of helpers",
            code="load-layout",
            where="helpers",
            hint="the layout extended has one",
        )
    source = loader.detect_layout(image)
    converted = (
        _of_object(image, wish, style) if source is Layout.ELF else _of_linked(image, source, wish, style)
    )
    loader.load(converted.image, declared=wish.layout, ram_limit=_NO_LIMIT)
    return converted


def _of_object(image: bytes, wish: Wish, style: Style) -> Converted:
    match wish.layout:
        case Layout.TEXT:
            return Converted(writer.write_text(image, entry=wish.entry))
        case Layout.ELF:
            stripped = writer.strip_object(image)
            _check_entry(stripped, wish.entry)
            return Converted(stripped)
        case _:
            written: Written = from_object(image, wish.layout, style, entry=wish.entry, helpers=wish.helpers)
            return Converted(written.parts.encode(), written.notes)


def _of_linked(image: bytes, source: Layout, wish: Wish, style: Style) -> Converted:
    """Of bare text, or of an image with a header."""
    if wish.entry is not None:
        raise LoadError(
            f"no function {wish.entry!r} to start at: the image is linked already",
            code="load-entry",
            where="entry",
            hint=_ENTRY_HINT,
        )
    parts = _parts_of_text(image) if source is Layout.TEXT else reader.resolved(reader.parse(image))
    left = _left_behind(parts, wish.layout)
    match wish.layout:
        case Layout.TEXT:
            return Converted(recast.to_text(parts), left)
        case Layout.ELF:
            return Converted(recast.to_object(parts), left)
        case _:
            return Converted(recast.to_header(parts, wish.layout, style, wish.helpers).encode(), left)


def _parts_of_text(image: bytes) -> Parts:
    check_text(image)
    parts = Parts(Layout.TEXT, image)
    recast.to_text(parts)
    return parts


def _left_behind(parts: Parts, layout: Layout) -> tuple[str, ...]:
    """What the other layout has no place for, though no program runs differently without it."""
    notes = []
    if parts.helpers and layout is not Layout.EXTENDED:
        notes.append(f"the list of helpers is left behind: {parts.helpers.hex(' ')}")
    if layout is Layout.TEXT and parts.functions:
        notes.append("the names of the functions are left behind")
    return tuple(notes)


def _check_entry(stripped: bytes, entry: str | None) -> None:
    """An object cannot say where it starts: a device goes by its own rules. Raises LoadError `load-entry`."""
    if entry is None:
        return
    wanted = loader.load(stripped, entry=entry, ram_limit=_NO_LIMIT).entry
    if loader.load(stripped, ram_limit=_NO_LIMIT).entry != wanted:
        raise LoadError(
            f"an object cannot say that it starts at {entry}",
            code="load-entry",
            where="entry",
            hint="use a layout that is linked here, or put the function first in the file",
        )
