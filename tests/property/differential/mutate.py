"""Hostile texts: a valid program with something changed, or nothing that was ever a program."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from device.vm.isa import BY_OPCODE, SLOT_SIZE, Slot
from tests.property.differential.case import Case
from tests.property.differential.statements import IMMEDIATES

OPCODES: Final = sorted(BY_OPCODE)
OFFSETS: Final = (0, 1, -1, -2, 2, 8, -8, 16, 32, 511, -512, -513, 0x7FFF, -0x8000)

Slots = list[Slot]


def mutate(source: random.Random, case: Case) -> Case:
    """The case with a text that may be anything now."""
    kind = source.random()
    if kind < 0.15:
        return replace(case, text=_words(source), entry=0)
    if kind < 0.2:
        return replace(case, text=case.text[: source.randrange(len(case.text) + 1)], entry=0)
    if kind < 0.23:
        return replace(case, entry=source.randrange(-1, len(case.text) // SLOT_SIZE + 2))
    slots = [Slot.parse(case.text, index) for index in range(len(case.text) // SLOT_SIZE)]
    change: Callable[[random.Random, Slots], None] = source.choice((_field, _field, _field, _move, _bit))
    change(source, slots)
    return replace(case, text=b"".join(slot.pack() for slot in slots))


def _words(source: random.Random) -> bytes:
    """Random slots: all bits, or at least an opcode and registers that exist."""
    count = source.randrange(1, 12)
    if source.random() < 0.3:
        return source.randbytes(count * SLOT_SIZE + source.choice((0, 0, 3)))
    slots = [
        Slot(
            source.choice(OPCODES),
            source.randrange(11),
            source.randrange(11),
            source.choice((0, 0, 0, source.choice(OFFSETS))),
            source.choice((0, 0, source.choice(IMMEDIATES))),
        )
        for _ in range(count)
    ]
    return b"".join(slot.pack() for slot in [*slots, Slot(0x95, 0, 0, 0, 0)])


def _field(source: random.Random, slots: Slots) -> None:
    """One field of one slot."""
    index = source.randrange(len(slots))
    field = source.choice(("opcode", "dst", "src", "off", "imm"))
    values = {
        "opcode": source.choice((source.choice(OPCODES), source.randrange(256))),
        "dst": source.randrange(16),
        "src": source.randrange(16),
        "off": source.choice((source.choice(OFFSETS), source.randrange(-len(slots), len(slots)))),
        "imm": source.choice((source.choice(IMMEDIATES), source.randrange(-(2**31), 2**31))),
    }
    slots[index] = slots[index]._replace(**{field: values[field]})


def _move(source: random.Random, slots: Slots) -> None:
    """A slot taken out, doubled, or put elsewhere; jumps do not follow."""
    index = source.randrange(len(slots))
    slot = slots[index]
    match source.randrange(3):
        case 0 if len(slots) > 1:
            del slots[index]
        case 1:
            slots.insert(index, slot)
        case _:
            other = source.randrange(len(slots))
            slots[index], slots[other] = slots[other], slot


def _bit(source: random.Random, slots: Slots) -> None:
    """One bit of one slot."""
    index = source.randrange(len(slots))
    raw = bytearray(slots[index].pack())
    raw[source.randrange(SLOT_SIZE)] ^= 1 << source.randrange(8)
    slots[index] = Slot.parse(bytes(raw), 0)
