"""Trials, and how they are numbered: a layer is a list that nobody writes down."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import gcd, prod
from typing import Final, Protocol

from tests.property.differential.case import Case, Setup

_GOLDEN: Final = 0.6180339887498949


class Budgets(Enum):
    """Which budgets a program runs under besides its own."""

    GIVEN = "its own only"
    ENDS = "around its end as well"
    EVERY = "from 1 to beyond its end"


@dataclass(frozen=True, slots=True)
class Trial:
    """One program: a case, further setups for it, and budgets."""

    case: Case
    setups: tuple[Setup, ...] = ()
    budgets: Budgets = Budgets.GIVEN


class Family(Protocol):
    """Trials of one kind, numbered from 0; the same number gives the same trial."""

    @property
    def size(self) -> int:
        """How many there are."""

    def trial(self, number: int) -> Trial:
        """One of them."""


class Product:
    """A trial for each combination of what stands on the axes."""

    def __init__(self, build: Callable[..., Trial], *axes: Sequence[object]) -> None:
        self._build = build
        self._axes = axes
        self.size = prod(map(len, axes))

    def trial(self, number: int) -> Trial:
        """See Family."""
        chosen = []
        for axis in self._axes:
            number, place = divmod(number, len(axis))
            chosen.append(axis[place])
        return self._build(*chosen)


class Drawn:
    """So many trials from a source of randomness each."""

    def __init__(self, draw: Callable[[random.Random], Trial], size: int, seed: str) -> None:
        self._draw = draw
        self._seed = seed
        self.size = size

    def trial(self, number: int) -> Trial:
        """See Family."""
        return self._draw(random.Random(f"{self._seed}/{self._draw.__name__}/{number}"))


@dataclass(frozen=True, slots=True)
class Layer:
    """Families under one name. `watched` of its programs are all run between sentinels, else some."""

    name: str
    families: tuple[Family, ...]
    watched: bool = False

    @property
    def size(self) -> int:
        """How many trials there are."""
        return sum(family.size for family in self.families)

    def trial(self, number: int) -> Trial:
        """One of them."""
        for family in self.families:
            if number < family.size:
                return family.trial(number)
            number -= family.size
        raise IndexError(number)


def spread(size: int, count: int) -> Iterator[int]:
    """`count` of the numbers below `size`, far from each other; all of them when `count` is `size`."""
    step = max(1, round(size * _GOLDEN))
    while gcd(step, size) != 1:
        step += 1
    return (place * step % size for place in range(min(count, size)))
