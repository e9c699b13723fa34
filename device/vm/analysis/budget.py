"""Where a unit charges the budget, how much, and where it has to look at it."""

from __future__ import annotations

from typing import NamedTuple

from device.vm.analysis.lift import Block, Unit
from device.vm.analysis.structure import Structure
from device.vm.decode import CALL_LOCAL


class Segment(NamedTuple):
    """A block's instructions up to a local call or the end: what they cost together.

    `need` is what has to be left of the budget before them, 0 where that was tested earlier.
    """

    cost: int
    need: int


def segments(unit: Unit, shape: Structure) -> list[list[Segment]]:
    """What every block charges, and where the budget is looked at: where a unit or a loop is entered or left,
    and behind calls.

    What has to be there is the cost of the longest way to where it is looked at again. As that is not beyond
    its loop, a loop of one block needs no more than it costs.
    """
    blocks = unit.blocks
    looked = _looked(unit, shape)
    ahead = [0] * len(blocks)
    found: list[list[Segment]] = [[] for _ in blocks]
    for number in range(len(blocks) - 1, -1, -1):
        block = blocks[number]
        parts = _costs(block)
        needs = list(parts)
        needs[-1] += max([ahead[target] for target in block.successors() if target not in looked], default=0)
        ahead[number] = needs[0]
        found[number] = [Segment(cost, need) for cost, need in zip(parts, needs, strict=True)]
        if number not in looked:
            found[number][0] = Segment(parts[0], 0)
    return found


def _looked(unit: Unit, shape: Structure) -> set[int]:
    """The blocks before which the budget is looked at: the entry, headers, and what a loop is left to."""
    looked = {0, *shape.headers}
    if shape.structured and shape.headers:
        for number, block in enumerate(unit.blocks):
            if shape.loop[number] != -1:
                looked.update([target for target in block.successors() if _leaves(shape, number, target)])
    return looked


def _leaves(shape: Structure, source: int, target: int) -> bool:
    """Whether a jump leaves the innermost loop around `source`."""
    header, around = shape.loop[source], shape.loop[target]
    while around not in (-1, header):
        around = shape.outer[around]
    return around != header


def _costs(block: Block) -> list[int]:
    """Instructions of the block in segments; a call belongs to the one before it."""
    calls = [index + 1 for index, (_, step) in enumerate(block.steps) if step[0] == CALL_LOCAL]
    ends = [*calls, len(block.steps)]
    return [end - start for start, end in zip([0, *calls], ends, strict=True)]
