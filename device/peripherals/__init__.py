"""The simulated board of a device: sensors and actuators, pins, analog lines, display (helpers.md section 3).

    board = make_board("native", clock.now_us)
    board.saul.read(1)                                  # 23.4 degrees
    board.connect_saul(1, signal_of("sine:234,20,60"))  # a day in a minute

Time is the device's own, passed in; nothing here waits, and every answer is a function of that time and of
what programs and people have set. Programs reach it through the helpers, people through CoAP.
"""

from device.peripherals.board import Board, BoardState, Reader
from device.peripherals.boards import connect, make_board
from device.peripherals.saul import Reading, SaulClass, SaulDevice, Unit
from device.peripherals.signals import Constant, Failing, Series, Signal, Sine, Walk
from device.peripherals.specs import SIGNAL_HELP, signal_from, signal_of, signals_of

__all__ = [
    "SIGNAL_HELP",
    "Board",
    "BoardState",
    "Constant",
    "Failing",
    "Reader",
    "Reading",
    "SaulClass",
    "SaulDevice",
    "Series",
    "Signal",
    "Sine",
    "Unit",
    "Walk",
    "connect",
    "make_board",
    "signal_from",
    "signal_of",
    "signals_of",
]
