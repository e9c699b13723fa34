"""What one process of a long run does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from multiprocessing import parent_process
from multiprocessing.queues import Queue
from time import monotonic
from traceback import format_exc

from tests.property.differential.campaign import Campaign, Tally
from tests.property.differential.engines import candidates, chosen
from tests.property.differential.found import describe

BATCH = 100
"""Cases between two words of a process."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process does: every `step`-th case from `first` on, to `last` or to `until` on the clock."""

    seed: str
    engines: list[str]
    first: int
    step: int
    last: int
    until: float

    def numbers(self) -> Iterable[int]:
        """Case numbers; no more when whoever gave the order is gone."""
        parent = parent_process()
        for number in count(self.first, self.step):
            orphaned = parent is not None and not parent.is_alive()
            if number >= self.last or monotonic() >= self.until or orphaned:
                return
            yield number


@dataclass(frozen=True, slots=True)
class Word:
    """What a process says: what it did since it last spoke, and what it found."""

    tally: Tally
    found: str | None = None
    last: bool = False


def work(order: Order, words: Queue[Word]) -> None:
    """One process, to its end or to the first difference."""
    factories = chosen(candidates(), order.engines)
    campaign = Campaign(order.seed, factories)
    for done, number in enumerate(order.numbers(), 1):
        try:
            difference = campaign.check(number)
            found = None
            if difference is not None:
                found = describe(difference, factories, order.seed, number)
        except Exception:  # noqa: BLE001  # a mistake of the fuzzer's own is told with the case that shows it
            found = f"; seed {order.seed}, case {number}\n{format_exc()}"
        if found is not None:
            words.put(Word(campaign.tally, found, last=True))
            return
        if done % BATCH == 0:
            words.put(Word(campaign.tally))
            campaign.tally = Tally()
    words.put(Word(campaign.tally, last=True))
