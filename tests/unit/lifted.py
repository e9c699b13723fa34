"""A source as the unit that begins with its first instruction."""

from __future__ import annotations

from device.vm.analysis.lift import Unit, lift
from device.vm.asm import assemble
from device.vm.decode import decode_step
from device.vm.isa import SLOT_SIZE


def unit_of(source: str) -> Unit:
    """The unit, which has to be small enough for one."""
    text = assemble(source)
    unit = lift(lambda pc: decode_step(text, pc), len(text) // SLOT_SIZE, 0)
    assert unit is not None
    return unit
