"""What a run of the evaluation is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from client.bench.timing import FULL, Effort
from client.progress import NoProgress, Progress
from device.engines import ENGINES
from device.vm.program import Engine

Row = dict[str, Any]
"""A flat row of a section, with the names of evaluation.md."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Effort, engines by name, kernels by name (none: all), and who is told how far it is."""

    effort: Effort = FULL
    engines: Mapping[str, Engine] = field(default_factory=lambda: ENGINES)
    kernels: tuple[str, ...] = ()
    progress: Progress = field(default_factory=NoProgress)


def fresh(engine: Engine) -> Engine:
    """An engine of the same kind that has seen no program yet."""
    return type(engine)()


def eager(engine: Engine) -> Engine:
    """The same, made to prepare programs at once and in the foreground where it would do so later."""
    make: Callable[..., Engine] = type(engine)
    known = signature(make).parameters
    wanted = {"hot_after": 0, "background": False}
    return make(**{name: value for name, value in wanted.items() if name in known})
