"""GPIO: per pin a mode, an output latch and a level from outside (helpers.md section 3.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal

from device.errors import PeripheralError
from device.peripherals.signals import Constant, Signal

PORTS: Final = 16
PINS: Final = 16
ENODEV: Final = 19

Mode = Literal["in", "out"]

_NAME: Final = re.compile(r"(?:([A-Pa-p])|([0-9]{1,2})/)([0-9]{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PinState:
    """What one sees at a pin: its mode, and the level that a program would read."""

    port: int
    pin: int
    mode: Mode
    level: int

    @property
    def name(self) -> str:
        """As boards print it: `C13`."""
        return pin_name(self.port, self.pin)


def pin_name(port: int, pin: int) -> str:
    """`C13` for port 2, pin 13."""
    return f"{chr(ord('A') + port)}{pin}"


def pin_of(name: str) -> tuple[int, int] | None:
    """Port and pin of `C13` or `2/13`, whether or not there is such a pin; None for what names none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    letter, port, pin = match.groups()
    return (ord(letter.upper()) - ord("A") if letter else int(port)), int(pin)


class Gpio:
    """All pins of a board, inputs at boot. `changed` hears of new modes and levels, after they are there.

    Safe from any thread; a program can do nothing here but change levels and modes.
    """

    def __init__(self, now_us: Callable[[], int], changed: Callable[[str], None]) -> None:
        self._now_us = now_us
        self._changed = changed
        self._lock = Lock()
        self._outputs: dict[tuple[int, int], int] = {}
        self._latches: dict[tuple[int, int], int] = {}
        self._external: dict[tuple[int, int], Signal] = {}

    def read_input(self, port: int, pin: int) -> int:
        """The level from outside, after making the pin an input; 0 for a pin that is not there."""
        if not exists(port, pin):
            return 0
        with self._lock:
            was_output = self._outputs.pop((port, pin), None) is not None
        if was_output:
            self._changed(f"pin {pin_name(port, pin)} is an input")
        return self.outside(port, pin)

    def read_raw(self, port: int, pin: int) -> int:
        """The level, whatever the mode: an output reads its latch."""
        if not exists(port, pin):
            return 0
        latch = self._outputs.get((port, pin))
        return self.outside(port, pin) if latch is None else latch

    def write(self, port: int, pin: int, value: int) -> int:
        """Make the pin an output, high unless `value` is 0. 1, or 0 for a pin that is not there."""
        if not exists(port, pin):
            return 0
        level = int(value != 0)
        with self._lock:
            former = self._outputs.get((port, pin))
            self._outputs[port, pin] = self._latches[port, pin] = level
        if former != level:
            self._changed(f"pin {pin_name(port, pin)} is an output, {'high' if level else 'low'}")
        return 1

    def latch(self, port: int, pin: int) -> int:
        """What was written last, whatever the mode is now; 0 at boot."""
        return self._latches.get((port, pin), 0)

    def connect(self, port: int, pin: int, signal: Signal) -> None:
        """Have the level from outside follow a signal: high unless it is 0. Raises PeripheralError."""
        if not exists(port, pin):
            raise PeripheralError(f"there is no pin {port}/{pin}", errno=ENODEV, code="no-pin", where="pins")
        with self._lock:
            self._external[port, pin] = signal
        self._changed(f"pin {pin_name(port, pin)} has a new input")

    def states(self) -> tuple[PinState, ...]:
        """The pins that somebody has used or connected, in order."""
        with self._lock:
            known = sorted({*self._latches, *self._external})
            modes = {place: "out" if place in self._outputs else "in" for place in known}
        return tuple(
            PinState(port, pin, "out" if modes[port, pin] == "out" else "in", self.read_raw(port, pin))
            for port, pin in known
        )

    def outside(self, port: int, pin: int) -> int:
        """The level that the outside gives a pin."""
        signal = self._external.get((port, pin), _LOW)
        return int(signal.at(self._now_us()) != 0)


_LOW: Final = Constant(0)


def exists(port: int, pin: int) -> bool:
    """Whether there is such a pin; all boards have the same ports."""
    return 0 <= port < PORTS and 0 <= pin < PINS
