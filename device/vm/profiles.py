"""Target profiles: what a virtual machine that people deploy to offers (programs.md section 7,
helpers.md section 8).

A profile says under which rules a storage slot runs its program here. What the real machine of that name
does otherwise, or lacks, is no rule: the lint (`device/vm/lint`) reports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from device.vm.faults import Fault, FaultCode
from device.vm.isa import SLOT_SIZE, walk
from device.vm.program import PLAIN, Layout, Program, Rules

_Numbers = Mapping[FaultCode, int | None]


@dataclass(frozen=True, slots=True)
class Profile:
    """The layouts, helper ids and run rules under which a slot's program runs.

    `layouts` are those that the original reads; here every layout runs under every profile. `renumbered`
    maps ids of the profile to the ids that the same functions have in helpers.md section 2; `void` are the
    ids that return nothing here. `narrow_results`: results of helpers are the low 32 bits, zero-extended.
    `neg_register`: opcode 8f is neg as well. `token_first`: the packet view has the token before the payload
    (helpers.md section 5.2). `sound_class`: SAUL has a class for sound, which moves the later ones (section
    3.1). `no_return` makes `no-exit` a warning. `numbers` are the fault numbers that the original answers
    where they are not ours, None for faults that it does not have.
    """

    name: str
    layouts: frozenset[Layout]
    helpers: frozenset[int]
    rules: Rules = PLAIN
    renumbered: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    void: frozenset[int] = frozenset()
    narrow_results: bool = False
    neg_register: bool = False
    token_first: bool = False
    sound_class: bool = True
    no_return: bool = False
    numbers: _Numbers = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def number(self, code: FaultCode) -> int | None:
        """What the original answers for a fault (programs.md section 6); None when it has no such fault."""
        return self.numbers.get(code, int(code))

    def renumber(self, fault: Fault) -> Fault:
        """The fault with the original's number where that is another one than ours."""
        number = self.number(fault.code)
        return fault if number in (None, int(fault.code)) else replace(fault, profile_number=number)


_FEMTO_NUMBERS: Final[_Numbers] = MappingProxyType(
    {
        FaultCode.OUT_OF_INSTRUCTIONS: -8,
        FaultCode.CALL_DEPTH: -2,
        FaultCode.HELPER_DENIED: -4,
        FaultCode.KILLED: None,
        FaultCode.NO_MEMORY: None,
    }
)
_SMING_NUMBERS: Final[_Numbers] = MappingProxyType({**_FEMTO_NUMBERS, FaultCode.NO_MEMORY: -100})
_RIOT_NUMBERS: Final[_Numbers] = MappingProxyType(
    {
        FaultCode.HELPER_DENIED: -4,
        FaultCode.NO_RETURN: -6,
        FaultCode.ILLEGAL_REGISTER: None,
        FaultCode.OUT_OF_BRANCHES: None,
        FaultCode.ILLEGAL_DIV: None,
        FaultCode.OUT_OF_INSTRUCTIONS: None,
        FaultCode.CALL_DEPTH: None,
        FaultCode.KILLED: None,
        FaultCode.NO_MEMORY: None,
    }
)
_BRANCHES: Final = 200
"""Taken branches that Femto-Containers allow a run."""

_FEMTO_RULES: Final = Rules(branch_limit=_BRANCHES, zero_divisor_faults=True)

UBPF: Final = Profile(
    name="ubpf",
    layouts=frozenset(Layout),
    helpers=frozenset(
        {
            *range(0x01, 0x04),
            *range(0x10, 0x14),
            0x20,
            *range(0x30, 0x35),
            *range(0x40, 0x44),
            *range(0x50, 0x53),
            *(0x60, 0x61),
            *range(0x70, 0x73),
            *range(0x80, 0x85),
        }
    ),
)

UBPF_FC: Final = Profile(
    name="ubpf",
    layouts=frozenset({Layout.FEMTO, Layout.SMING}),
    helpers=UBPF.helpers - {0x03, 0x20, *range(0x70, 0x73), *range(0x80, 0x85)},
    rules=Rules(zero_divisor_faults=True),
    narrow_results=True,
    no_return=True,
    numbers=_FEMTO_NUMBERS,
)
"""The Femto-Containers engine of µBPF, which configuration bit 0 of its requests asks for."""

FEMTO: Final = Profile(
    name="femto",
    layouts=frozenset({Layout.FEMTO}),
    helpers=frozenset(
        {0x01, 0x02, *range(0x10, 0x14), 0x20, *range(0x30, 0x33), *range(0x40, 0x44), 0x50, 0x51, 0x60, 0x61}
    ),
    rules=_FEMTO_RULES,
    narrow_results=True,
    neg_register=True,
    token_first=True,
    sound_class=False,
    numbers=_FEMTO_NUMBERS,
)

SMING: Final = Profile(
    name="sming",
    layouts=frozenset({Layout.SMING}),
    helpers=frozenset({0x01, 0x02, *range(0x10, 0x14), 0x20, *range(0x100, 0x104)}),
    rules=_FEMTO_RULES,
    renumbered=MappingProxyType({0x10: 0x11, 0x11: 0x10, 0x12: 0x13, 0x13: 0x12}),
    void=frozenset({0x02}),
    narrow_results=True,
    neg_register=True,
    sound_class=False,
    numbers=_SMING_NUMBERS,
)

RIOT2020: Final = Profile(
    name="riot2020",
    layouts=frozenset({Layout.TEXT}),
    helpers=frozenset({0x01, *range(0x10, 0x14), 0x20, *range(0x30, 0x33), *range(0x40, 0x44), 0x50}),
    narrow_results=True,
    neg_register=True,
    token_first=True,
    sound_class=False,
    numbers=_RIOT_NUMBERS,
)

PROFILES: Final = MappingProxyType({profile.name: profile for profile in (UBPF, FEMTO, SMING, RIOT2020)})


_NEG: Final = 0x87
_NEG_REGISTER: Final = 0x8F


def neg_registers(text: bytes) -> list[int]:
    """The slots that hold neg with the register bit, which has no row in the instruction table."""
    if _NEG_REGISTER not in text[::SLOT_SIZE]:
        return []
    return [pc for pc, found in walk(text) if found is None and text[pc * SLOT_SIZE] == _NEG_REGISTER]


def adapt(program: Program, profile: Profile) -> Program:
    """The program as engines run it under `profile`: what only the profile accepts is put as everybody does.

    Guests cannot read text, so they see no difference.
    """
    slots = neg_registers(program.text) if profile.neg_register else []
    if not slots:
        return program
    text = bytearray(program.text)
    for pc in slots:
        text[pc * SLOT_SIZE] = _NEG
    return replace(program, text=bytes(text))
