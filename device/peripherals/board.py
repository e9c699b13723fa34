"""A whole board: what its programs can sense and drive, and what a person would see on the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from device.errors import PeripheralError
from device.peripherals import analog
from device.peripherals.changes import ChangeLog
from device.peripherals.display import Display, DisplayState
from device.peripherals.gpio import Gpio, PinState
from device.peripherals.saul import ENODEV, Reading, SaulRegistry
from device.peripherals.signals import Signal

DEFAULT_MAGIC: Final = 1234
DEFAULT_PACKET: Final = b"Some test packet content to return"
MAX_PACKET: Final = 1024


@dataclass(frozen=True, slots=True)
class Reader:
    """One device of the registry with its reading, or what keeps it from giving one."""

    index: int
    name: str
    kind: int
    writable: bool
    reading: Reading | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BoardState:
    """Everything that can be seen of a board at one moment."""

    board: str
    readers: tuple[Reader, ...]
    pins: tuple[PinState, ...]
    lines: Mapping[int, int]
    display: DisplayState | None
    test_packet: bytes


class Board:
    """The simulated hardware of one device, on that device's clock; safe from any thread.

    `lines` are the analog lines it has. `listen` is how others hear that something about it has changed, on
    whatever thread that happened.
    """

    def __init__(
        self,
        name: str,
        now_us: Callable[[], int],
        lines: Mapping[int, Signal],
        *,
        has_display: bool,
        log: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.name = name
        self._now_us = now_us
        self._lines = dict(lines)
        self._listeners: list[Callable[[], None]] = []
        self._changes = ChangeLog(now_us, log)
        self._magic = DEFAULT_MAGIC
        self._packet = DEFAULT_PACKET
        self.gpio = Gpio(now_us, self.changed)
        self.display = Display(self._notify) if has_display else None
        self.saul = SaulRegistry((), now_us)

    # What happens to it

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every change that a program or a person makes."""
        self._listeners.append(listener)

    def changed(self, what: str) -> None:
        """Something is different: for the log, as long as there is not too much of it, and for listeners."""
        self._changes.add(what)
        self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    # Analog lines

    def analog(self, line: int) -> int | None:
        """The value of a line, 0 to 1023; None for a line that the board does not have."""
        signal = self._lines.get(line)
        return None if signal is None else analog.line_value(signal.at(self._now_us()))

    def connect_analog(self, line: int, signal: Signal) -> None:
        """Have a line follow a signal. Raises PeripheralError."""
        if line not in self._lines:
            raise PeripheralError(f"the board has no line {line}", errno=ENODEV, code="no-line", where="adc")
        self._lines[line] = signal
        self.changed(f"line {line} has a new input")

    def connect_saul(self, index: int, signal: Signal | None) -> None:
        """Have a sensor follow a signal. Raises PeripheralError."""
        self.saul.connect(index, signal)
        self.changed(f"{self.saul.get(index).name} has a new input")

    # What helpers ask for (the Board of device/vm/ports.py)

    def saul_find_nth(self, position: int) -> int | None:
        """The device at a position; anything below 0 is the first."""
        return self.saul.find_nth(position)

    def saul_find_class(self, kind: int) -> int | None:
        """The first device of a class."""
        return self.saul.find_class(kind)

    def saul_read(self, index: int) -> Reading:
        """A reading. Raises PeripheralError."""
        return self.saul.read(index)

    def saul_write(self, index: int, values: tuple[int, ...]) -> int:
        """Drive an actuator. Raises PeripheralError."""
        return self.saul.write(index, values)

    def pin_input(self, port: int, pin: int) -> int:
        """Make the pin an input and read it."""
        return self.gpio.read_input(port, pin)

    def pin_level(self, port: int, pin: int) -> int:
        """Read the pin as it is."""
        return self.gpio.read_raw(port, pin)

    def pin_write(self, port: int, pin: int, value: int) -> int:
        """Make the pin an output; 1, or 0 without such a pin."""
        return self.gpio.write(port, pin, value)

    def key(self, line: int) -> int:
        """The key that is pressed at a line: 0 right, 1 up, 2 down, 3 left, 4 none."""
        value = self.analog(line)
        return analog.key_of(analog.MAX_VALUE if value is None else value)

    @property
    def magic(self) -> int:
        """A number that programs of profile `sming` share."""
        return self._magic

    @magic.setter
    def magic(self, value: int) -> None:
        self._magic = value

    @property
    def test_packet(self) -> bytes:
        """What programs of profile `sming` read as a packet."""
        return self._packet

    @test_packet.setter
    def test_packet(self, content: bytes) -> None:
        self._packet = content[:MAX_PACKET]
        self._notify()

    # What a person sees

    def state(self) -> BoardState:
        """Everything at once."""
        return BoardState(
            board=self.name,
            readers=tuple(self._reader(index) for index in range(len(self.saul.devices))),
            pins=self.gpio.states(),
            lines={line: self.analog(line) or 0 for line in sorted(self._lines)},
            display=self.display.state() if self.display else None,
            test_packet=self._packet,
        )

    def _reader(self, index: int) -> Reader:
        device = self.saul.get(index)
        try:
            reading, problem = self.saul.read(index), None
        except PeripheralError as error:
            reading, problem = None, error.detail
        return Reader(index, device.name, int(device.kind), device.writable, reading, problem)
