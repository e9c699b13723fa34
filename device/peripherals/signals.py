"""Input signals of the simulated board: what a sensor or a pin would see, as functions of the device's time.

    signal_of("sine:234,20,3600")        signal_from({"kind": "sine", "mean": 234, ...})

A signal is a frozen value and a pure function: two looks at the same time see the same, whoever looks, and a
look costs the same after a second and after a year.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Protocol

SECOND_US: Final = 1_000_000
WALK_STEPS: Final = 4096
"""Steps of a random walk that are drawn; a longer walk goes on with the same steps from where it is."""


class Signal(Protocol):
    """An input over time."""

    def at(self, us: int, /) -> int:
        """The value at `us` microseconds since boot."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    value: int

    def at(self, _us: int, /) -> int:
        """See Signal."""
        return self.value


@dataclass(frozen=True, slots=True)
class Sine:
    """`mean` at time 0, then `amplitude` up and down again in `period_s` seconds."""

    mean: float
    amplitude: float
    period_s: float

    def at(self, us: int, /) -> int:
        """See Signal."""
        period_us = self.period_s * SECOND_US
        return round(self.mean + self.amplitude * math.sin(2 * math.pi * (us % period_us) / period_us))


@dataclass(frozen=True, slots=True)
class Walk:
    """A random walk: `step` up, down or none each `interval_s` seconds, reflected at `least` and `most`."""

    start: int
    step: int
    interval_s: float
    seed: int = 0
    least: int = -32768
    most: int = 32767
    _sums: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311  # weather, nothing secret
        steps = (self.step * chance.choice((-1, 0, 1)) for _ in range(WALK_STEPS))
        object.__setattr__(self, "_sums", tuple(accumulate(steps, initial=0)))

    def at(self, us: int, /) -> int:
        """See Signal."""
        rounds, index = divmod(int(us / (self.interval_s * SECOND_US)), WALK_STEPS)
        return self._reflected(self.start + rounds * self._sums[-1] + self._sums[index])

    def _reflected(self, position: int) -> int:
        """Where one comes to who turns round at both ends."""
        width = self.most - self.least
        if width == 0:
            return self.least
        offset = (position - self.least) % (2 * width)
        return self.least + min(offset, 2 * width - offset)


@dataclass(frozen=True, slots=True)
class Series:
    """A recording: `values[i]` from `times_us[i]` on, the first also before it.

    With `repeat_us` it begins again after that time; otherwise the last value stays.
    """

    times_us: tuple[int, ...]
    values: tuple[int, ...]
    repeat_us: int | None = None

    def at(self, us: int, /) -> int:
        """See Signal."""
        if self.repeat_us is not None:
            us %= self.repeat_us
        return self.values[max(bisect_right(self.times_us, us) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Failing:
    """A sensor that does not answer; as the input of a pin or a line it is 0."""

    def at(self, _us: int, /) -> int:
        """See Signal."""
        return 0
