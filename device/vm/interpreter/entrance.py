"""Where the runs of a program begin that are like one before: nothing has to be found out for them again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from device.vm.interpreter.prepared import Enterable, Prepared
from device.vm.program import PLAIN, Program, Run

ENTRANCES: Final = 256
"""Entrances that an engine keeps. With one more all are forgotten: they come back with the next runs."""

LARGEST_BUDGET: Final = 2**32 - 1
"""What the analysis of counters allows for."""


@dataclass(frozen=True, slots=True, eq=False)
class Entrance:
    """A unit that runs begin with whose program, shape of memory, r1 and r2 are the same.

    `registers` are r0 to r10 there, `arguments` those of them that it takes, `places` those of the regions.
    It is open as long as `version` is that of `prepared`.
    """

    program: Program
    prepared: Prepared
    version: int
    unit: Enterable
    registers: tuple[int, ...]
    arguments: tuple[int, ...]
    places: Sequence[int] | None


class Entrances:
    """The entrances of one engine. Programs are known by identity: an entrance keeps its own alive."""

    def __init__(self) -> None:
        self._entrances: dict[Hashable, Entrance] = {}

    def find(self, program: Program, run: Run) -> Entrance | None:
        """The entrance of a run, if there is one, it is open, and nothing else speaks against it."""
        entrance = self._entrances.get((id(program), run.memory.shape, run.r1, run.r2))
        if entrance is None or run.rules is not PLAIN or not 0 < run.budget <= LARGEST_BUDGET:
            return None
        prepared = entrance.prepared
        if entrance.version != prepared.version:
            return None
        prepared.used = True
        return entrance

    def add(self, run: Run, entrance: Entrance) -> None:
        """Let runs like this one begin there."""
        if len(self._entrances) >= ENTRANCES:
            self._entrances.clear()
        self._entrances[id(entrance.program), run.memory.shape, run.r1, run.r2] = entrance

    def forget(self, prepared: Prepared) -> None:
        """Keep nothing of what an engine keeps no longer. Other threads may add entrances meanwhile."""
        for key, entrance in list(self._entrances.items()):
            if entrance.prepared is prepared:
                self._entrances.pop(key, None)
