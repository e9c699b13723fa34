"""Target profiles: what a virtual machine that people deploy to offers (programs.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.vm.program import Layout


@dataclass(frozen=True, slots=True)
class Profile:
    """The layouts, helper ids and run rules under which a slot's program runs."""

    name: str
    layouts: frozenset[Layout]
    helpers: frozenset[int]


UBPF: Final = Profile(
    name="ubpf",
    layouts=frozenset({Layout.TEXT, Layout.ELF}),
    helpers=frozenset({0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13, 0x20, 0x50, 0x51, 0x52, 0x60}),
)

PROFILES: Final = {UBPF.name: UBPF}
