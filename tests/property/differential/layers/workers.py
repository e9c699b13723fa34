"""What one process of a run over the layers does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.queues import Queue
from time import process_time
from traceback import format_exc

from tests.property.differential.found import describe_small
from tests.property.differential.layers.campaign import Count, Runner, factories
from tests.property.differential.layers.table import layers
from tests.property.differential.layers.trial import Layer, spread

BATCH = 500
"""Programs between two words of a process."""


@dataclass(frozen=True, slots=True)
class Order:
    """Every `step`-th of `programs` programs from the `first` on, spread over the layers of these names.

    Or trial `only` of the one layer. After `most` differences the process ends.
    """

    seed: str
    names: Sequence[str]
    programs: int
    first: int
    step: int
    only: int | None
    most: int

    def numbers(self, chosen: Sequence[Layer]) -> Iterator[tuple[Layer, int]]:
        """Trials; no more when whoever gave the order is gone."""
        if self.only is not None:
            yield chosen[0], self.only
            return
        parent = parent_process()
        everything = spread(sum(layer.size for layer in chosen), self.programs)
        for number in islice(everything, self.first, None, self.step):
            if parent is not None and not parent.is_alive():
                return
            yield _place(chosen, number)


@dataclass(frozen=True, slots=True)
class Word:
    """What a process says: what it did since it last spoke, in so much processor time, and what it found."""

    counts: Mapping[str, Count]
    seconds: float
    found: str | None = None
    last: bool = False


def work(order: Order, words: Queue[Word]) -> None:
    """One process, to its end."""
    chosen = [layer for name, layer in layers(order.seed).items() if name in order.names]
    engines = factories()
    runner, counts, left, begin = Runner(engines), dict[str, Count](), order.most, process_time()
    for done, (layer, number) in enumerate(order.numbers(chosen), 1):
        found = None
        try:
            difference = runner.check(layer, layer.trial(number), counts.setdefault(layer.name, Count()))
            if difference is not None:
                head = f"; seed {order.seed}, layer {layer.name}, trial {number}\n"
                found = head + describe_small(difference, engines)
        except Exception:  # noqa: BLE001  # a mistake of the layer's own is told with the trial that shows it
            found = f"; seed {order.seed}, layer {layer.name}, trial {number}\n{format_exc()}"
        left -= found is not None
        if found is not None or done % BATCH == 0:
            words.put(Word(counts, process_time() - begin, found))
            counts, begin = {}, process_time()
        if left <= 0:
            break
    words.put(Word(counts, process_time() - begin, last=True))


def _place(chosen: Iterable[Layer], number: int) -> tuple[Layer, int]:
    """The layer and the number in it."""
    for layer in chosen:
        if number < layer.size:
            return layer, number
        number -= layer.size
    raise IndexError(number)
