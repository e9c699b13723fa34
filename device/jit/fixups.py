"""The places of code whose size or bytes depend on where other things lie: branches, literals, pools.

Each has a size that only ever grows while the assembler lays the code out, so that this ends: `fit` is asked
again and again until nothing grows. Distances are from the fixup's own first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from device.jit.encoder.control import (
    NARROW_BRANCH,
    NARROW_BRANCH_IF,
    NARROW_BRANCH_ZERO,
    PIPELINE,
    WIDE_BRANCH_IF,
    address_of,
    branch_if_narrow,
    branch_if_wide,
    branch_link,
    branch_narrow,
    branch_wide,
    branch_zero,
)
from device.jit.encoder.data import Compare, compare_imm
from device.jit.encoder.memory import Access, load_literal
from device.jit.encoder.operands import LOW, Cond


class Label:
    """A place in the code. `name` is for listings; the assembler binds it, once."""

    __slots__ = ("before", "fixups", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.before = -1  # bytes of plain instructions before it; -1 until it is bound
        self.fixups = 0  # fixups before it


Offset = Callable[[Label], int]
"""Where a label lies at the moment."""


class Fixup(Protocol):
    """A place whose bytes are decided last. `worst` bounds `size`, both in bytes."""

    size: int
    worst: int

    def fit(self, at: int, offset: Offset) -> bool:
        """Grow if it has to, being at `at`; tells whether it did."""

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """The encodings, `size` bytes together."""


class Jump:
    """`b`: 16 or 32 bits."""

    __slots__ = ("size", "target", "worst")

    def __init__(self, target: Label) -> None:
        self.target = target
        self.size, self.worst = 2, 4

    def fit(self, at: int, offset: Offset) -> bool:
        """Grow when the target is beyond 2 KiB."""
        if self.size == 4 or NARROW_BRANCH[0] <= offset(self.target) - at <= NARROW_BRANCH[1]:
            return False
        self.size = 4
        return True

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """One branch."""
        distance = offset(self.target) - at
        return ((branch_narrow if self.size == 2 else branch_wide)(distance),)


class Call:
    """`bl`: always 32 bits."""

    __slots__ = ("size", "target", "worst")

    def __init__(self, target: Label) -> None:
        self.target = target
        self.size = self.worst = 4

    def fit(self, _at: int, _offset: Offset) -> bool:
        """There is one size."""
        return False

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """One call."""
        return (branch_link(offset(self.target) - at),)


class JumpIf:
    """`bcc`: 16 bits, 32 bits, or the inverse condition over a `b.w`."""

    __slots__ = ("cond", "size", "target", "worst")

    def __init__(self, cond: Cond, target: Label) -> None:
        self.cond = cond
        self.target = target
        self.size, self.worst = 2, 6

    def fit(self, at: int, offset: Offset) -> bool:
        """Grow when the target is beyond 256 bytes, and again beyond 1 MiB."""
        before, distance = self.size, offset(self.target) - at
        if self.size == 2 and not NARROW_BRANCH_IF[0] <= distance <= NARROW_BRANCH_IF[1]:
            self.size = 4
        if self.size == 4 and not WIDE_BRANCH_IF[0] <= distance <= WIDE_BRANCH_IF[1]:
            self.size = 6
        return self.size > before

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """One branch, or two."""
        distance = offset(self.target) - at
        if self.size == 2:
            return (branch_if_narrow(self.cond, distance),)
        if self.size == 4:
            return (branch_if_wide(self.cond, distance),)
        return (branch_if_narrow(self.cond.inverse, 6), branch_wide(distance - 2))


class JumpIfZero:
    """`cbz` or `cbnz`, or a comparison with zero and a `bcc`, which changes the flags."""

    __slots__ = ("nonzero", "register", "size", "tail", "target", "worst")

    def __init__(self, register: int, target: Label, *, nonzero: bool) -> None:
        self.register = register
        self.target = target
        self.nonzero = nonzero
        self.tail = JumpIf(Cond.NE if nonzero else Cond.EQ, target)
        self.size, self.worst = 2, 10
        if register not in LOW:
            self.size = self._compared()

    def _compared(self) -> int:
        return self.tail.size + (2 if self.register in LOW else 4)

    def fit(self, at: int, offset: Offset) -> bool:
        """Grow when the target is behind, or beyond 126 bytes."""
        before, distance = self.size, offset(self.target) - at
        if self.size == 2 and NARROW_BRANCH_ZERO[0] <= distance <= NARROW_BRANCH_ZERO[1]:
            return False
        self.size = self._compared()
        self.tail.fit(at + self.size - self.tail.size, offset)
        self.size = self._compared()
        return self.size > before

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """One branch, or a comparison and one or two."""
        if self.size == 2:
            return (branch_zero(self.register, offset(self.target) - at, nonzero=self.nonzero),)
        comparison = compare_imm(Compare.CMP, self.register, 0)
        return (comparison, *self.tail.encode(at + self.size - self.tail.size, offset))


class FromLiteral:
    """`ldr rt, =value`, or `adr rd, label` with `address`: 16 bits for a low register, else 32."""

    __slots__ = ("address", "register", "size", "target", "worst")

    def __init__(self, register: int, target: Label, *, address: bool = False) -> None:
        self.register = register
        self.target = target
        self.address = address
        self.size, self.worst = (2 if register in LOW else 4), 4

    def _distance(self, at: int, offset: Offset) -> int:
        return offset(self.target) - (at + PIPELINE & ~3)

    def fit(self, at: int, offset: Offset) -> bool:
        """Grow when the target is behind, beyond 1 KiB or no word."""
        distance = self._distance(at, offset)
        if self.size == 4 or (0 <= distance <= 1020 and distance & 3 == 0):
            return False
        self.size = 4
        return True

    def encode(self, at: int, offset: Offset) -> Sequence[int]:
        """One instruction."""
        distance, narrow = self._distance(at, offset), self.size == 2
        if self.address:
            return (address_of(self.register, distance, narrow=narrow),)
        return (load_literal(Access.LDR, self.register, distance, narrow=narrow),)


class Padding:
    """Nothing or two zero bytes, so that what follows is aligned to words; `align` decides at each layout."""

    __slots__ = ("size", "worst")

    def __init__(self) -> None:
        self.size, self.worst = 0, 2

    def align(self, at: int) -> None:
        """Take the size that `at` calls for."""
        self.size = at & 2

    def fit(self, _at: int, _offset: Offset) -> bool:
        """It never grows by itself."""
        return False

    def encode(self, _at: int, _offset: Offset) -> Sequence[int]:
        """A halfword that is never executed."""
        return (0,) if self.size else ()
