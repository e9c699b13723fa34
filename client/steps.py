"""Progress as values: the library tells, the command line prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step: what it did, how long it took, with how many bytes, for which device."""

    name: str
    detail: str
    seconds: float
    size: int | None = None
    device: str | None = None

    def to_map(self) -> dict[str, Any]:
        """The step as JSON shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "detail": self.detail,
            "ms": round(self.seconds * 1000, 2),
        }
        if self.size is not None:
            shown["size"] = self.size
        return shown


OnStep = Callable[[Step], None]
Note = Callable[[str], None]


def ignore_step(_step: Step) -> None:
    """For callers who do not care."""


def ignore_note(_text: str) -> None:
    """For callers who do not care."""


def recorder(steps: list[Step], on_step: OnStep) -> OnStep:
    """Passes steps on, and keeps them in a list."""

    def record(step: Step) -> None:
        steps.append(step)
        on_step(step)

    return record


@dataclass(slots=True)
class Stopwatch:
    """What a step under way fills in."""

    detail: str = ""
    size: int | None = None


@contextmanager
def timed(on_step: OnStep, name: str, device: str | None = None) -> Iterator[Stopwatch]:
    """Time a block and report it as a step; a block that raises is no finished step."""
    watch = Stopwatch()
    start = perf_counter()
    yield watch
    on_step(Step(name, watch.detail, perf_counter() - start, watch.size, device))
