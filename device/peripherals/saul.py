"""The SAUL registry: sensors and actuators by position and class, as RIOT has it (helpers.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from device.errors import PeripheralError
from device.peripherals.signals import Failing, Signal

ENODEV: Final = 19
ENOTSUP: Final = 95
ECANCELED: Final = 125

_LEAST: Final = -32768
_MOST: Final = 32767


class SaulClass(IntEnum):
    """Classes of devices; the numbers are those of profile `ubpf`."""

    SWITCH = 0x44
    BUTTON = 0x81
    TEMPERATURE = 0x82
    HUMIDITY = 0x83
    LIGHT = 0x84
    SOUND = 0x85


class Unit(IntEnum):
    """Units of readings, as in phydat_t."""

    CELSIUS = 2
    DECIBEL = 18
    BOOL = 26
    PERCENT = 28


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device says: 1 to 3 values times ten to the power of `scale`."""

    values: tuple[int, ...]
    unit: int
    scale: int


class SaulDevice:
    """One entry of the registry.

    `sense` is what it reads without a signal of its own; `act` takes a value and is None for sensors.
    """

    def __init__(
        self,
        name: str,
        kind: SaulClass,
        unit: Unit,
        scale: int,
        sense: Callable[[], int],
        act: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.scale = scale
        self.signal: Signal | None = None
        self._sense = sense
        self._act = act

    @property
    def writable(self) -> bool:
        """Whether it is an actuator."""
        return self._act is not None

    def read(self, us: int) -> Reading:
        """The reading at a time. Raises PeripheralError while it fails."""
        signal = self.signal
        if isinstance(signal, Failing):
            raise PeripheralError(f"{self.name} does not answer", errno=ECANCELED, code="sensor-failed")
        value = self._sense() if signal is None else signal.at(us)
        return Reading((min(max(value, _LEAST), _MOST),), self.unit, self.scale)

    def write(self, values: Sequence[int]) -> int:
        """Drive an actuator; how many of the values it used. Raises PeripheralError for a sensor."""
        if self._act is None:
            raise PeripheralError(f"{self.name} is a sensor", errno=ENOTSUP, code="not-writable")
        self._act(values[0])
        return 1


class SaulRegistry:
    """The devices of a board in the order of their registration, which never changes."""

    def __init__(self, devices: Sequence[SaulDevice], now_us: Callable[[], int]) -> None:
        self.devices = tuple(devices)
        self._now_us = now_us

    def get(self, index: int) -> SaulDevice:
        """The device at a position. Raises PeripheralError."""
        if not 0 <= index < len(self.devices):
            raise PeripheralError(
                f"there is no device {index}, the board has {len(self.devices)}",
                errno=ENODEV,
                code="no-device",
            )
        return self.devices[index]

    def find_nth(self, position: int) -> int | None:
        """`position`, or 0 for anything below; None past the end."""
        index = max(position, 0)
        return index if index < len(self.devices) else None

    def find_class(self, kind: int) -> int | None:
        """The first device of exactly this class, or None."""
        return next((index for index, device in enumerate(self.devices) if device.kind == kind), None)

    def read(self, index: int) -> Reading:
        """The reading of a device now. Raises PeripheralError."""
        return self.get(index).read(self._now_us())

    def write(self, index: int, values: Sequence[int]) -> int:
        """Drive an actuator. Raises PeripheralError."""
        return self.get(index).write(values)

    def connect(self, index: int, signal: Signal | None) -> None:
        """Give a sensor an input of its own; None takes it away. Raises PeripheralError for actuators.

        An actuator can only be made to fail, and to fail no more.
        """
        device = self.get(index)
        if device.writable and signal is not None and not isinstance(signal, Failing):
            raise PeripheralError(f"{device.name} is no sensor", errno=ENOTSUP, code="not-a-sensor")
        device.signal = signal
