"""Where a unit charges the budget, how much, and where it has to look at it."""

from __future__ import annotations

from dataclasses import dataclass

from device.vm.analysis.lift import Block, Unit
from device.vm.analysis.structure import Structure
from device.vm.decode import CALL_LOCAL


@dataclass(frozen=True, slots=True)
class Segment:
    """A block's instructions up to a local call or the end: what they cost together.

    `need` is what has to be left of the budget before them, 0 where that was tested earlier.
    """

    cost: int
    need: int


def segments(unit: Unit, shape: Structure) -> list[list[Segment]]:
    """What every block charges, and where the budget is looked at: entry, loops' headers, behind calls.

    What has to be there is the cost of the longest way to where it is looked at again.
    """
    blocks = unit.blocks
    ahead = [0] * len(blocks)
    found: list[list[Segment]] = [[] for _ in blocks]
    for number in range(len(blocks) - 1, -1, -1):
        block = blocks[number]
        forward = [t for t in block.successors() if t > number and t not in shape.headers]
        parts = _costs(block)
        needs = list(parts)
        needs[-1] += max((ahead[target] for target in forward), default=0)
        ahead[number] = needs[0]
        looked = number == 0 or number in shape.headers
        found[number] = [
            Segment(cost, need if index or looked else 0)
            for index, (cost, need) in enumerate(zip(parts, needs, strict=True))
        ]
    return found


def _costs(block: Block) -> list[int]:
    """Instructions of the block in segments; a call belongs to the one before it."""
    found = [0]
    for _, step in block.steps:
        found[-1] += 1
        if step[0] == CALL_LOCAL:
            found.append(0)
    return found
