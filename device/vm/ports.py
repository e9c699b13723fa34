"""What the VM needs from outside, as interfaces. The device gives it the real ones, tests their own."""

from __future__ import annotations

from typing import Protocol


class KeyValueStore(Protocol):
    """A store of u32 keys and u32 values with a capacity (helpers.md section 4)."""

    def fetch(self, key: int) -> int | None:
        """The value of `key`, or None; never creates an entry."""

    def store(self, key: int, value: int) -> bool:
        """Set or add; False (and no change) when it is full."""


class Clock(Protocol):
    """The device's clock: zero at boot, in microseconds, never reduced."""

    def now_us(self) -> int:
        """Microseconds since boot."""


class Waker(Protocol):
    """What ends a wait early: threading.Event is one."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, True, or for `timeout` seconds, False."""


class SleepingClock(Clock, Protocol):
    """A clock that one can wait for."""

    def sleep_until(self, us: int, woken: Waker, /) -> None:
        """Block until the clock shows `us`, or `woken` is set."""


class Console(Protocol):
    """Where the output of a program goes."""

    def write(self, text: bytes) -> None:
        """Append bytes of output, as they are."""


class Reading(Protocol):
    """What a device of the SAUL registry says: up to three values times ten to the power of `scale`."""

    @property
    def values(self) -> tuple[int, ...]:
        """Signed 16-bit values."""

    @property
    def unit(self) -> int:
        """phydat_t's number, as in profile `ubpf`."""

    @property
    def scale(self) -> int:
        """A power of ten."""


class Display(Protocol):
    """A character display (helpers.md section 3.4)."""

    def init(self) -> None:
        """Reset."""

    def clear(self) -> None:
        """Blank, cursor at the start."""

    def print(self, text: bytes, /) -> None:
        """Write bytes at the cursor."""

    def set_cursor(self, column: int, row: int, /) -> None:
        """Move the cursor; what is too far ends at the edge."""


class Board(Protocol):
    """The hardware around the program (helpers.md section 3). Numbers and classes are those of `ubpf`.

    Nothing here blocks; `saul_read` and `saul_write` raise PeripheralError and nothing else does.
    """

    def saul_find_nth(self, position: int, /) -> int | None:
        """The device at a position, the first for anything below 0, None past the end."""

    def saul_find_class(self, kind: int, /) -> int | None:
        """The first device of exactly this class."""

    def saul_read(self, index: int, /) -> Reading:
        """A reading."""

    def saul_write(self, index: int, values: tuple[int, ...], /) -> int:
        """Drive an actuator; how many values it used."""

    def pin_input(self, port: int, pin: int, /) -> int:
        """Make a pin an input and read it; 0 without such a pin."""

    def pin_level(self, port: int, pin: int, /) -> int:
        """Read a pin as it is; 0 without such a pin."""

    def pin_write(self, port: int, pin: int, value: int, /) -> int:
        """Make a pin an output; 1, or 0 without such a pin."""

    def key(self, line: int, /) -> int:
        """The key that is pressed: 0 right, 1 up, 2 down, 3 left, 4 none."""

    @property
    def display(self) -> Display | None:
        """The display, if there is one."""

    @property
    def magic(self) -> int:
        """The number that programs of profile `sming` share."""

    @magic.setter
    def magic(self, value: int) -> None: ...

    @property
    def test_packet(self) -> bytes:
        """What programs of profile `sming` read as a packet."""
