"""What compiled code depends on in a run: where its memory is, not what is in it."""

from __future__ import annotations

from typing import Final, NamedTuple

from device.vm.memory import GuestMemory, Region, Stack
from device.vm.program import Run

_NUMBERS: Final = 3
"""Of each region in the shape of memory, the stack first."""


class Shape(NamedTuple):
    """`memory` is GuestMemory.shape; r1 and r2 are the run's."""

    memory: tuple[int, ...]
    r1: int
    r2: int

    @classmethod
    def of(cls, run: Run) -> Shape:
        """The shape of a run."""
        return cls(run.memory.shape, run.r1, run.r2)

    def run(self) -> Run:
        """A run of that shape, to compile for."""
        frame_size, frames, *numbers = self.memory
        regions = [
            Region("a region", origin, bytearray(end - origin), writable=bool(writable))
            for origin, end, writable in zip(
                numbers[3::_NUMBERS],
                numbers[4::_NUMBERS],
                numbers[5::_NUMBERS],
                strict=True,
            )
        ]
        return Run(GuestMemory(regions, Stack(frame_size, frames)), r1=self.r1, r2=self.r2)
