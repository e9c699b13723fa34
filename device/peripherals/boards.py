"""The boards that there are: which devices in which order, which lines and pins (helpers.md section 3.3).

board = make_board("native", clock.now_us, {"saul:1": Sine(234, 20, 60)}, log)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from device.errors import ConfigError, PeripheralError
from device.peripherals import analog
from device.peripherals.board import Board
from device.peripherals.gpio import PINS, PORTS, pin_of
from device.peripherals.saul import SaulClass, SaulDevice, SaulRegistry, Unit
from device.peripherals.signals import Constant, Signal

BUTTON: Final = (2, 13)

_TARGET: Final = re.compile(r"(saul|adc):([0-9]{1,3})|pin:(.{1,5})")


def make_board(
    name: str,
    now_us: Callable[[], int],
    signals: Mapping[str, Signal] | None = None,
    log: Callable[[str], None] = lambda _text: None,
) -> Board:
    """A board of that name; one that is not known is like `native`.

    `signals` are inputs by target: `saul:N`, `adc:N`, `pin:C13` or `pin:2/13`. Raises ConfigError for a
    target that the board does not have.
    """
    board = _nucleo_f439zi(name, now_us, log) if name == "nucleo-f439zi" else _native(name, now_us, log)
    for target, signal in (signals or {}).items():
        connect(board, target, signal)
    return board


def connect(board: Board, target: str, signal: Signal) -> None:
    """Have an input of a board follow a signal. Raises ConfigError when there is no such input."""
    match = _TARGET.fullmatch(target.strip())
    pin = pin_of(match[3]) if match and match[3] else None
    if match is None or (match[3] and pin is None):
        raise ConfigError(
            f"{target[:40]!r} is no input", code="signal", where="--signal", hint="saul:N, adc:N or pin:C13"
        )
    try:
        if pin is not None:
            board.gpio.connect(*pin, signal)
        elif match[1] == "saul":
            board.connect_saul(int(match[2]), signal)
        else:
            board.connect_analog(int(match[2]), signal)
    except PeripheralError as error:
        hint = f"{len(board.saul.devices)} SAUL devices, {PORTS} ports of {PINS} pins"
        raise ConfigError(error.detail, code="signal", where="--signal", hint=hint) from error


def _native(name: str, now_us: Callable[[], int], log: Callable[[str], None]) -> Board:
    lines: dict[int, Signal] = {
        analog.SOUND_LINE: Constant(20),
        analog.LIGHT_LINE: Constant(555),
        analog.KEYPAD_LINE: Constant(analog.MAX_VALUE),
    }
    board = Board(name, now_us, lines, has_display=True, log=log)
    board.saul = SaulRegistry(
        (
            _led(board, "LED", 0, 5),
            _sensor("DHT indoor temperature", SaulClass.TEMPERATURE, Unit.CELSIUS, -1, 234),
            _sensor("DHT indoor humidity", SaulClass.HUMIDITY, Unit.PERCENT, -1, 456),
            _sensor("DHT outdoor temperature", SaulClass.TEMPERATURE, Unit.CELSIUS, -1, 187),
            _sensor("DHT outdoor humidity", SaulClass.HUMIDITY, Unit.PERCENT, -1, 621),
            SaulDevice("sound", SaulClass.SOUND, Unit.DECIBEL, 0, lambda: _sound(board)),
            SaulDevice("photoresistor", SaulClass.LIGHT, Unit.PERCENT, 0, lambda: _light(board)),
            _button(board),
        ),
        now_us,
    )
    return board


def _nucleo_f439zi(name: str, now_us: Callable[[], int], log: Callable[[str], None]) -> Board:
    board = Board(name, now_us, {}, has_display=False, log=log)
    board.saul = SaulRegistry(
        (
            _led(board, "LED green", 1, 0),
            _led(board, "LED blue", 1, 7),
            _led(board, "LED red", 1, 14),
            _button(board),
            _sensor("DHT temperature", SaulClass.TEMPERATURE, Unit.CELSIUS, -1, 234),
            _sensor("DHT humidity", SaulClass.HUMIDITY, Unit.PERCENT, -1, 456),
        ),
        now_us,
    )
    return board


def _sensor(name: str, kind: SaulClass, unit: Unit, scale: int, value: int) -> SaulDevice:
    return SaulDevice(name, kind, unit, scale, lambda: value)


def _led(board: Board, name: str, port: int, pin: int) -> SaulDevice:
    """On while its pin is an output and high."""

    def act(value: int) -> None:
        board.gpio.write(port, pin, value)

    return SaulDevice(name, SaulClass.SWITCH, Unit.BOOL, 0, lambda: board.gpio.latch(port, pin), act)


def _button(board: Board) -> SaulDevice:
    """Pressed while its pin is high."""
    return SaulDevice("user button", SaulClass.BUTTON, Unit.BOOL, 0, lambda: board.gpio.outside(*BUTTON))


def _sound(board: Board) -> int:
    return analog.sound_decibels(board.analog(analog.SOUND_LINE) or 0)


def _light(board: Board) -> int:
    return analog.light_percent(board.analog(analog.LIGHT_LINE) or 0)
