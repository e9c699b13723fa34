"""A seed to a case that the verifier accepts: functions, loops, memory at and over its edges, calls.

What is generated means nothing, but it is not noise either: registers that point somewhere are used as
pointers, loops mostly end, so that runs get far; and now and then none of that holds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from device.vm.isa import SLOT_SIZE, Instruction
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    EXTRA_BASE,
    EXTRA_STRIDE,
    FRAME_SIZE,
    MAX_EXTRA_REGIONS,
    RODATA_BASE,
)
from tests.property.differential.case import Case, Setup
from tests.property.differential.execute import CALLABLE
from tests.property.differential.statements import Area, Writer
from tests.property.programs import EXIT, text_of

FRAME_SIZES: Final = (32, 40, 64, 256, FRAME_SIZE, FRAME_SIZE, FRAME_SIZE)
SIZES: Final = (0, 0, 1, 7, 8, 15, 16, 24, 64)
CORNERS: Final = (
    0, 1, 2, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 0x100000000, 0x80000000_00000001, 0x7FFFFFFF_FFFFFFFF, 0x80000000_00000000,
    0xFFFFFFFF_00000000, 0xFFFFFFFF_80000000, 0xFFFFFFFF_FFFFFFFF, 0x01234567_89ABCDEF, CONTEXT_BASE,
)  # fmt: skip
"""Values of registers and of memory at which arithmetic goes wrong."""

TEXT = b"Fuzz %d %x %s\0-12 %5u|%c%%\0"


@dataclass(frozen=True, slots=True)
class World:
    """Memory that a program is written for."""

    rodata: bytes
    data: bytes
    bss_size: int
    setup: Setup

    def areas(self) -> list[Area]:
        """What pointers can point to, the stack apart."""
        setup = self.setup
        found = [
            Area(RODATA_BASE, len(self.rodata), False),
            Area(DATA_BASE, len(self.data) + self.bss_size, True),
            Area(CONTEXT_BASE, len(setup.context), setup.context_writable),
        ]
        for number, (content, writable) in enumerate(setup.extra):
            found.append(Area(EXTRA_BASE + number * EXTRA_STRIDE, len(content), writable))
        return [area for area in found if area.size]


def generate(source: random.Random) -> Case:
    """A case; the same source makes the same one. Its budget is generous."""
    kind = source.random()
    if kind < 0.06:
        return _straight(source)
    if kind < 0.4:
        zero_divisors = source.random() < 0.1
        return Case(Writer(source, [], FRAME_SIZE).probe(), Setup(zero_divisors=zero_divisors), budget=200)
    world = _world(source)
    small = source.random() < 0.75
    sleepy = world.setup.renews
    writer = Writer(source, world.areas(), world.setup.frame_size, sleepy=sleepy)
    entry = writer.program(source.randrange(3, 14) if small else source.randrange(14, 70))
    return Case(
        text=writer.out.text(),
        setup=world.setup,
        budget=2000 if source.random() < 0.97 else 25_000,
        entry=entry,
        rodata=world.rodata,
        data=world.data,
        bss_size=world.bss_size,
    )


def _straight(source: random.Random) -> Case:
    """Known registers, then anything: the generator of the analyses' tests."""
    text = text_of(source, [source.choice(CORNERS) for _ in range(10)])
    return Case(text=text + Instruction(0, EXIT, 0, 0, 0, 0).encode(), setup=_world(source).setup, budget=500)


def other_setup(source: random.Random, case: Case) -> Case:
    """The same program in another surrounding: what was proved for the first must not be used."""
    setup = case.setup
    world = _world(source)
    match source.randrange(7):
        case 0:
            setup = replace(setup, context_writable=not setup.context_writable)
        case 1:
            setup = replace(setup, context=setup.context[: source.randrange(len(setup.context) + 1)])
        case 2:
            setup = replace(setup, extra=world.setup.extra)
        case 3:
            setup = replace(setup, frame_size=source.choice(FRAME_SIZES))
        case 4:
            setup = replace(
                setup,
                branch_limit=source.choice((None, 0, 3, 30)),
                zero_divisors=not setup.zero_divisors,
                renews=not setup.renews,
            )
        case 5:
            setup = replace(setup, r1=source.choice(CORNERS), r2=source.choice(CORNERS))
        case _:
            setup = replace(world.setup, frame_size=setup.frame_size)
    return replace(case, setup=setup)


def _world(source: random.Random) -> World:
    extra = tuple(
        (content(source, source.choice(SIZES)), source.random() < 0.6)
        for _ in range(source.choice((0, 0, 0, 1, 2, MAX_EXTRA_REGIONS)))
    )
    setup = Setup(
        context=content(source, source.choice(SIZES)),
        context_writable=source.random() < 0.75,
        extra=extra,
        frame_size=source.choice(FRAME_SIZES),
    )
    if source.random() < 0.08:
        setup = replace(setup, r1=source.choice(CORNERS), r2=source.choice(CORNERS))
    if source.random() < 0.1:
        setup = replace(setup, allowed=tuple(sorted(source.sample(list(CALLABLE), 5))))
    if source.random() < 0.1:
        setup = replace(setup, branch_limit=source.choice((0, 1, 2, 5, 20, 200)))
    if source.random() < 0.1:
        setup = replace(setup, zero_divisors=True)
    if source.random() < 0.1:
        setup = replace(setup, renews=True)
    return World(
        rodata=TEXT[: source.choice((0, 8, 14, len(TEXT)))],
        data=content(source, source.choice(SIZES)),
        bss_size=source.choice(SIZES),
        setup=setup,
    )


def content(source: random.Random, size: int) -> bytes:
    """Bytes: corner values, small numbers or anything."""
    words = b"".join(source.choice(CORNERS).to_bytes(8, "little") for _ in range(size // SLOT_SIZE + 1))
    return source.choice((words, bytes(range(1, size + 1)), source.randbytes(size)))[:size]
