"""Who reads an image with a header decides how it is written: the columns of programs.md section 2.4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from device.errors import LoadError
from device.vm.layouts.header import MAGIC_RBPF, MAGIC_UBPF
from device.vm.program import Layout

PADDING: Final = 8
"""What .data and .rodata are filled up to a multiple of, in bytes."""


@dataclass(frozen=True, slots=True)
class Style:
    """The writer's rules of a profile.

    `terminator` ends function names, which `names_first` puts behind `.rodata` itself, before the other
    read-only sections. `bss_in_data` stores .bss as zero bytes; `pointers` resolves pointers in data to the
    addresses of this fleet's memory map; `lowest_entry` is Sming's rule for where a run begins.
    """

    profile: str
    layouts: frozenset[Layout]
    magic: bytes = MAGIC_UBPF
    terminator: bytes = b""
    names_first: bool = False
    bss_in_data: bool = True
    pointers: bool = True
    lowest_entry: bool = False


STYLES: Final[Mapping[str, Style]] = MappingProxyType(
    {
        style.profile: style
        for style in (
            Style("ubpf", frozenset({Layout.TEXT, Layout.FEMTO, Layout.EXTENDED, Layout.ELF})),
            Style("femto", frozenset({Layout.FEMTO}), MAGIC_RBPF, b"\0", pointers=False),
            Style(
                "sming",
                frozenset({Layout.SMING}),
                MAGIC_RBPF,
                b"\0",
                names_first=True,
                bss_in_data=False,
                pointers=False,
                lowest_entry=True,
            ),
            Style("riot2020", frozenset({Layout.TEXT})),
        )
    }
)
"""The writer's rules by the name of the profile."""


def style_for(layout: Layout, profile: str | None) -> Style:
    """The rules to write a layout by: those of `profile`, else of the first profile that writes it.

    Raises LoadError `load-layout` when the profile does not read the layout.
    """
    style = (
        next(style for style in STYLES.values() if layout in style.layouts)
        if profile is None
        else STYLES[profile]
    )
    if layout not in style.layouts:
        offered = ", ".join(member.value for member in Layout if member in style.layouts)
        raise LoadError(
            f"profile {style.profile} does not read layout {layout.value}",
            code="load-layout",
            where="layout",
            hint=f"it reads {offered}",
        )
    return style
