"""What a turn of a loop costs: loops whose every turn costs the same count the budget by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device.vm.analysis.budget import Segment
from device.vm.analysis.lift import Block
from device.vm.analysis.structure import Structure


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn of a loop costs, whichever way it goes, and what was spent of it in front of each block."""

    cost: int
    spent: Mapping[int, int]


class Turns:
    """The turns of a unit's loops; `segments` are the costs of its blocks."""

    def __init__(
        self, blocks: Sequence[Block], shape: Structure, segments: Sequence[Sequence[Segment]]
    ) -> None:
        self._blocks = blocks
        self._loop = shape.loop
        self._segments = segments
        self._around = set(shape.outer.values())
        self._members: dict[int, list[int]] = {}
        for number, header in enumerate(shape.loop):
            self._members.setdefault(header, []).append(number)

    def of(self, header: int) -> Turn | None:
        """A turn of an innermost loop; None where it does not always cost the same, or is not known here."""
        if header in self._around:
            return None
        spent, turn = {header: 0}, 0
        for number in self._members[header]:
            segments = self._segments[number]
            if len(segments) > 1:  # a call gives the budget back
                return None
            behind = spent[number] + segments[0].cost
            for target in self._blocks[number].successors():
                if target == header:
                    if turn not in (0, behind):
                        return None
                    turn = behind
                elif self._loop[target] == header and spent.setdefault(target, behind) != behind:
                    return None
        return Turn(turn, spent)
