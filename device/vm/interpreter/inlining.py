"""Small functions that only compute, written where they are called: a call costs Python more than they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from device.vm.analysis.lift import RETURN, UNIT_LIMIT, Block, Unit
from device.vm.decode import ALU, CALL_LOCAL, CONSTANT, DATA_ADDRESS, EXIT, JUMP, RODATA_ADDRESS, Step
from device.vm.isa import FRAME_POINTER, Sem

LEAF_LIMIT: Final = 32
"""Instructions of a function that is written where it is called."""

ENTERING: Final[Step] = (JUMP, Sem.JA, 64, 0, 0, 0, 0, 1, False)
"""Stands for the call: it costs an instruction and needs a frame."""

LEAVING: Final[Step] = (JUMP, Sem.JA, 64, 0, 0, 0, 0, 2, False)
"""Stands for the function's exit: it costs an instruction."""

Steps = list[tuple[int, Step]]

_COMPUTING: Final = frozenset({ALU, CONSTANT, DATA_ADDRESS, RODATA_ADDRESS})
_SAVED: Final = 6
"""The first register that a function has to leave to its caller as it was."""


def leaf(unit: Unit) -> Steps | None:
    """What stands for a call of the function `unit`, behind ENTERING; None where it has to be called.

    It is one block, nothing in it can fault, and it neither writes what its caller keeps nor knows its frame.
    """
    block = unit.blocks[0]
    if block.end != RETURN or len(block.steps) > LEAF_LIMIT or len(unit.blocks) > 1:
        return None
    found: Steps = []
    for pc, step in block.steps:
        case, _, _, _, dst, src, _, _, from_register = step
        if case == EXIT:
            found.append((pc, LEAVING))
        elif case not in _COMPUTING or dst >= _SAVED or (from_register and src == FRAME_POINTER):
            return None
        else:
            found.append((pc, step))
    return found


def inlined(unit: Unit, leaf_at: Callable[[int], Steps | None]) -> Unit:
    """The unit with what its calls of small functions do in their place, as far as it stays within limits."""
    room = UNIT_LIMIT - unit.instructions
    blocks: list[Block] = []
    for block in unit.blocks:
        steps: Steps = []
        for pc, step in block.steps:
            body = leaf_at(step[6]) if step[0] == CALL_LOCAL else None
            if body is None or len(body) > room:
                steps.append((pc, step))
            else:
                room -= len(body)
                steps.append((pc, ENTERING))
                steps += body
        blocks.append(block if len(steps) == len(block.steps) else replace(block, steps=steps))
    return unit if room == UNIT_LIMIT - unit.instructions else replace(unit, blocks=blocks)
