"""What compiled code depends on in a run: where its memory is, not what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from device.vm.memory import GuestMemory, Region, Stack
from device.vm.program import Run


@dataclass(frozen=True, slots=True)
class Shape:
    """`regions` are (name, address, bytes, writable), the stack apart: its frames have `frame_size` bytes."""

    regions: tuple[tuple[str, int, int, bool], ...]
    frame_size: int
    r1: int
    r2: int

    @classmethod
    def of(cls, run: Run) -> Shape:
        """The shape of a run."""
        regions = [
            (one.name, one.origin, one.end - one.origin, one.writable) for one in run.memory.regions[1:]
        ]
        return cls(tuple(regions), run.memory.stack.frame_size, run.r1, run.r2)

    def run(self) -> Run:
        """A run of that shape, to compile for."""
        regions = [
            Region(name, base, bytearray(size), writable=writable)
            for name, base, size, writable in self.regions
        ]
        return Run(GuestMemory(regions, Stack(self.frame_size)), r1=self.r1, r2=self.r2)
