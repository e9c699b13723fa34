"""A board with nothing on it: what helpers find where nobody gave them one."""

from __future__ import annotations

from device.errors import PeripheralError
from device.vm.helpers.numbers import ENODEV, KEY_NONE, USER_MAGIC


class BareBoard:
    """ports.Board without devices, pins, lines and display."""

    display = None
    test_packet = b""

    def __init__(self) -> None:
        self._magic = USER_MAGIC

    def saul_find_nth(self, _position: int, /) -> None:
        """There is none."""

    def saul_find_class(self, _kind: int, /) -> None:
        """There is none."""

    def saul_read(self, index: int, /) -> BareReading:
        """There is none. Raises PeripheralError."""
        raise PeripheralError(f"there is no device {index}", errno=ENODEV)

    def saul_write(self, index: int, _values: tuple[int, ...], /) -> int:
        """There is none. Raises PeripheralError."""
        raise PeripheralError(f"there is no device {index}", errno=ENODEV)

    def pin_input(self, _port: int, _pin: int, /) -> int:
        """No pin is high."""
        return 0

    def pin_level(self, _port: int, _pin: int, /) -> int:
        """No pin is high."""
        return 0

    def pin_write(self, _port: int, _pin: int, _value: int, /) -> int:
        """There is no such pin."""
        return 0

    def key(self, _line: int, /) -> int:
        """No key is pressed."""
        return KEY_NONE

    @property
    def magic(self) -> int:
        """See ports.Board."""
        return self._magic

    @magic.setter
    def magic(self, value: int) -> None:
        self._magic = value


class BareReading:
    """A reading of nothing; there is never one."""

    values: tuple[int, ...] = ()
    unit = 1
    scale = 0
