"""What compilation yields: bytes that run at an aligned place, what is in them, and where they come from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from device.jit.errors import JitError


@dataclass(frozen=True, slots=True)
class Code:
    """Assembled code. It is position-independent as long as its address is a multiple of 4.

    `text` is everything, literals included; `literals` are the bytes of it that are constants or their
    padding. `marks` are (offset, eBPF pc) in ascending order: code from an offset up to the next mark
    belongs to that pc. `labels` are the offsets of the named labels. `pools` are the (offset, bytes) of
    literals, in ascending order.
    """

    text: bytes
    literals: int
    marks: tuple[tuple[int, int], ...]
    labels: Mapping[str, int] = field(default_factory=dict)
    pools: tuple[tuple[int, int], ...] = ()

    @property
    def instructions_size(self) -> int:
        """The bytes that are instructions."""
        return len(self.text) - self.literals

    def pc_at(self, offset: int) -> int:
        """The eBPF pc (slot) that the code at `offset` belongs to; -1 before the first mark."""
        if not 0 <= offset < len(self.text):
            raise JitError(f"offset {offset} is not in {len(self.text)} bytes of code")
        index = bisect_right(self.marks, offset, key=lambda mark: mark[0]) - 1
        return self.marks[index][1] if index >= 0 else -1

    def label(self, name: str) -> int:
        """The offset of a named label."""
        if name not in self.labels:
            raise JitError(f"the code has no label {name!r}")
        return self.labels[name]
