"""A machine that counts what it executes: instructions, and an estimate of cycles (engines.md, "Cycles").

Every block tells of itself, which makes it some hundred times slower: it is for runs that are counted, never
for those that are timed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from device.jit.cycles import TAKEN, costs
from device.jit.layout import CODE_BASE, CODE_SIZE
from device.jit.machine import Machine
from device.jit.watchdog import Watchdog

Block = tuple[int, int]
"""Address and bytes of code that is executed from its beginning to its end."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What was executed of installed code: how often each block, and how many branches were taken."""

    blocks: Mapping[Block, int]
    instructions: int
    cycles: int
    taken: int


class CountingMachine(Machine):
    """A machine whose runs are counted. The resident dispatcher is not: every engine has it."""

    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__(watchdog)
        self._blocks: Counter[Block] = Counter()
        self._taken = 0
        self._end = 0
        self._core.on_block(self._on_block)

    def _on_block(self, address: int, size: int) -> None:
        if CODE_BASE <= address < CODE_BASE + CODE_SIZE:
            self._blocks[address, size] += 1
            self._taken += address != self._end
        self._end = address + size

    def forget(self) -> None:
        """Begin to count anew."""
        self._blocks.clear()
        self._taken = 0

    def executed(self) -> Executed:
        """What was counted. The code must still be there."""
        instructions, cycles = 0, TAKEN * self._taken
        for (address, size), times in self._blocks.items():
            offset = address - CODE_BASE
            each = list(costs(bytes(self._code.data[offset : offset + size])))
            instructions += times * len(each)
            cycles += times * sum(each)
        return Executed(dict(self._blocks), instructions, cycles, self._taken)
