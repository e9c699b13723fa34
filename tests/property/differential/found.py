"""A difference made small and told, with all that it takes to see it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.property.differential import listing
from tests.property.differential.campaign import Difference, differs
from tests.property.differential.case import Case
from tests.property.differential.engines import Factory
from tests.property.differential.shrink import shrink

RUNS: Final = 3
"""Times that a case runs on one engine: an engine may change its tier between them."""


LONGEST: Final = 2400
"""Bytes of a text up to which it is made smaller: of longer ones each attempt takes a second."""


def again(name: str, make: Factory, case: Case) -> Difference | None:
    """The case on an engine that has seen no other."""
    engine = make()
    for _ in range(RUNS):
        if (difference := differs(name, engine, case)) is not None:
            return difference
    return None


def smallest(difference: Difference, make: Factory) -> Difference | None:
    """The smallest case that differs on a new engine, None when the case itself does not."""
    name = difference.engine
    if again(name, make, difference.case) is None:
        return None
    case = shrink(difference.case, lambda case: again(name, make, case) is not None)
    return again(name, make, case)


def describe(difference: Difference, factories: Mapping[str, Factory], seed: str, number: int) -> str:
    """The report of a difference that case `number` showed."""
    return f"; seed {seed}, case {number}\n" + describe_small(difference, factories)


def describe_small(difference: Difference, factories: Mapping[str, Factory]) -> str:
    """The report of a difference in the smallest case that a new engine shows it on."""
    make = factories.get(difference.engine)
    if make is None:
        return listing.report(difference)
    if len(difference.case.text) > LONGEST:
        return "; too long to be made small\n" + listing.report(difference)
    small = smallest(difference, make)
    if small is None:
        head = "; only after the cases before it: run all from the first on, in one process\n"
        return head + listing.report(difference)
    return listing.report(small)
