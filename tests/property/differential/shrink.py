"""The smallest case that still does it: instructions and memory taken away, operands made simple.

Jumps keep their targets while instructions between are removed. Every attempt is verified anew: a case that
is refused shows nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from device.vm.isa import SLOT_SIZE, Form, Instruction, walk
from tests.property.differential.builder import Item, aimed
from tests.property.differential.case import Case, Setup
from tests.property.programs import JUMP, ROWS, shaped

ATTEMPTS: Final = 4000
"""Runs that shrinking may take."""

_MOV: Final = ROWS["mov", Form.ALU_IMM]
_KEEPS: Final = frozenset({Form.EXIT, Form.CALL_HELPER, Form.JUMP})


@dataclass(frozen=True, slots=True)
class Listing:
    """A text as instructions whose targets are indices, and the index of the entry."""

    items: tuple[Item, ...]
    entry: int

    @classmethod
    def of(cls, case: Case) -> Listing | None:
        """None for a text that has something else in it than instructions, or jumps that go nowhere."""
        walked = list(walk(case.text))
        index_of = {slot: index for index, (slot, _) in enumerate(walked)}
        items = []
        for _, instruction in walked:
            if instruction is None or instruction.target not in (None, *index_of):
                return None
            target = instruction.target
            items.append(Item(instruction, None if target is None else index_of[target]))
        if case.entry not in index_of or len(case.text) % SLOT_SIZE:
            return None
        return cls(tuple(items), index_of[case.entry])

    def text(self) -> bytes:
        """The slots."""
        starts = self._starts()
        parts = []
        for item, start in zip(self.items, starts, strict=False):
            instruction = item.instruction
            if item.label is not None:
                instruction = aimed(instruction, starts[item.label] - start - 1)
            parts.append(instruction.encode())
        return b"".join(parts)

    def start(self) -> int:
        """The slot of the entry."""
        return self._starts()[self.entry]

    def _starts(self) -> list[int]:
        starts = [0]
        for item in self.items:
            starts.append(starts[-1] + item.instruction.op.form.slots)
        return starts

    def without(self, first: int, count: int) -> Listing | None:
        """Some instructions less; what led to them leads behind them. None when nothing would be left."""
        rest = len(self.items) - count
        if rest < 1:
            return None

        def moved(index: int) -> int:
            return min(index if index < first else max(first, index - count), rest - 1)

        kept = (*self.items[:first], *self.items[first + count :])
        items = (Item(item.instruction, None if item.label is None else moved(item.label)) for item in kept)
        return Listing(tuple(items), moved(self.entry))

    def simpler(self, index: int) -> Iterator[Listing]:
        """The same with one instruction that is easier to read in the place of another."""
        item = self.items[index]
        one = item.instruction
        candidates: list[Item] = []
        if item.label is not None and one.op.form in (Form.BRANCH_IMM, Form.BRANCH_REG):
            candidates.append(Item(Instruction(0, JUMP, 0, 0, 0, 0), item.label))
        elif item.label is None and one.op.form not in _KEEPS and not _is_constant(one):
            candidates += [Item(Instruction(0, _MOV, one.dst, 0, 0, value)) for value in (0, 1)]
        if item.label is None:
            smaller = sorted({0, 1, -1, one.imm // 2, one.imm & 0xFFFFFFFF}, key=_size)
            candidates.append(Item(shaped(replace(one, off=0))))
            candidates += [
                Item(shaped(replace(one, imm=value))) for value in smaller if _size(value) < _size(one.imm)
            ]
        for candidate in candidates:
            if candidate != item:
                yield Listing((*self.items[:index], candidate, *self.items[index + 1 :]), self.entry)


def _size(value: int) -> int:
    """How hard a number is to read: 0, 1, -1, 2, …"""
    return abs(value) * 2 - (value > 0)


def _is_constant(one: Instruction) -> bool:
    return one.op is _MOV and one.imm in (0, 1)


class Shrinker:
    """Tries smaller cases while `still` holds; the best so far is `case`."""

    def __init__(self, case: Case, still: Callable[[Case], bool], attempts: int = ATTEMPTS) -> None:
        self.case = case
        self._still = still
        self._left = attempts
        self._seen: set[Case] = set()

    def run(self) -> Case:
        """The smallest case found."""
        before = None
        while before != self.case and self._left > 0:
            before = self.case
            self._remove()
            self._simplify()
            for smaller in _surroundings:
                self._try_all(smaller)
        return self.case

    def _try(self, case: Case) -> bool:
        if self._left <= 0 or case == self.case or case in self._seen:
            return False
        self._left -= 1
        self._seen.add(case)
        if self._still(case):
            self.case = case
            return True
        return False

    def _try_all(self, smaller: Callable[[Case], Iterator[Case]]) -> None:
        while any(self._try(candidate) for candidate in smaller(self.case)):
            pass

    def _try_listing(self, listing: Listing | None) -> bool:
        if listing is None:
            return False
        try:
            text, entry = listing.text(), listing.start()
        except struct.error:  # a number that its field cannot hold
            return False
        return self._try(replace(self.case, text=text, entry=entry))

    def _remove(self) -> None:
        listing = Listing.of(self.case)
        if listing is None:
            return
        size = max(1, len(listing.items) // 2)
        while size:
            index = 0
            while index < len(listing.items):
                smaller = listing.without(index, min(size, len(listing.items) - index))
                if smaller is not None and self._try_listing(smaller):
                    listing = smaller
                else:
                    index += size
            size //= 2

    def _simplify(self) -> None:
        listing = Listing.of(self.case)
        if listing is None:
            return
        for index in range(len(listing.items)):
            while (found := next(filter(self._try_listing, listing.simpler(index)), None)) is not None:
                listing = found


def _budget(case: Case) -> Iterator[Case]:
    for budget in (1, case.budget // 2, case.budget - 1):
        if 0 < budget < case.budget:
            yield replace(case, budget=budget)


def _sections(case: Case) -> Iterator[Case]:
    yield replace(case, rodata=case.rodata[: len(case.rodata) // 2])
    yield replace(case, data=case.data[: len(case.data) // 2])
    yield replace(case, bss_size=case.bss_size // 2)
    yield replace(case, data=bytes(len(case.data)))


def _setup(case: Case) -> Iterator[Case]:
    setup, plain = case.setup, Setup()
    half = setup.context[: len(setup.context) // 2]
    for smaller in (
        plain,
        replace(setup, extra=()),
        replace(setup, extra=setup.extra[:-1]),
        replace(setup, context=b""),
        replace(setup, context=half),
        replace(setup, context=bytes(len(setup.context))),
        replace(setup, context_writable=True),
        replace(setup, r1=None),
        replace(setup, r2=None),
        replace(setup, allowed=None),
        replace(setup, branch_limit=None),
        replace(setup, zero_divisors=False),
        replace(setup, renews=False),
        replace(setup, frame_size=plain.frame_size),
    ):
        yield replace(case, setup=smaller)


_surroundings: Final = (_budget, _sections, _setup)


def shrink(case: Case, still: Callable[[Case], bool], attempts: int = ATTEMPTS) -> Case:
    """The smallest case found for which `still` holds, as it does for `case`."""
    return Shrinker(case, still, attempts).run()
