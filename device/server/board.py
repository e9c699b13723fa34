"""`/saul`, `/saul/{i}` and `/board`: what programs sense and drive (helpers.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiocoap import Code, Message

from device.api import BoardChange, BoardInfo, LcdInfo, PinInfo, SaulChange, SaulInfo, SaulList, shown_key
from device.errors import MalformedRequest, NotFound, TooLarge
from device.peripherals import Board, Constant, Failing, Reader, Signal, signal_from
from device.peripherals.board import MAX_PACKET
from device.peripherals.gpio import exists, pin_of
from device.resource import Transfers
from device.server.base import MapResource, answer, answer_format, body

MAX_SIGNAL: Final = 64 * 1024
"""Bytes of a request; a series has many points."""


class SaulResource(MapResource):
    """GET /saul."""

    rt = "micro-bpf.saul"
    observable = True

    def __init__(self, transfers: Transfers, board: Board, watched: Callable[[], None]) -> None:
        super().__init__(transfers)
        self._board = board
        self._watched = watched

    async def render_get(self, request: Message) -> Message:
        """All devices of the registry with their readings."""
        content_format = answer_format(request)
        self._watched()
        return answer(SaulList(tuple(map(_saul, self._board.state().readers))), content_format)


class SaulDeviceResource(MapResource):
    """GET and PUT /saul/{i}."""

    rt = "micro-bpf.saul.device"
    observable = True
    max_body = MAX_SIGNAL

    def __init__(self, transfers: Transfers, board: Board, index: int, watched: Callable[[], None]) -> None:
        super().__init__(transfers)
        self._board = board
        self._index = index
        self._watched = watched

    async def render_get(self, request: Message) -> Message:
        """The device and its reading."""
        content_format = answer_format(request)
        self._watched()
        return answer(_saul(self._board.state().readers[self._index]), content_format)

    async def render_put(self, request: Message) -> Message:
        """Drive an actuator, or give a sensor its input."""
        change = SaulChange.from_map(body(request))
        device = self._board.saul.get(self._index)
        if change.values is None:
            self._board.connect_saul(self._index, _input(change))
        elif device.writable:
            self._board.saul_write(self._index, change.values)
        else:
            self._board.connect_saul(self._index, Constant(change.values[0]))
        return Message(code=Code.CHANGED)


class BoardResource(MapResource):
    """GET and PUT /board."""

    rt = "micro-bpf.board"
    observable = True
    max_body = MAX_SIGNAL

    def __init__(self, transfers: Transfers, board: Board, watched: Callable[[], None]) -> None:
        super().__init__(transfers)
        self._board = board
        self._watched = watched

    async def render_get(self, request: Message) -> Message:
        """What a person would see on the desk."""
        content_format = answer_format(request)
        self._watched()
        return answer(board_info(self._board), content_format)

    async def render_put(self, request: Message) -> Message:
        """Levels of pins from outside, values of lines, the packet for programs of Sming: all or nothing."""
        change = BoardChange.from_map(body(request))
        if change.test_packet is not None and len(change.test_packet) > MAX_PACKET:
            raise TooLarge(f"a packet of {len(change.test_packet)} bytes, at most {MAX_PACKET}")
        pins = [(_pin(name), _signal(value, name)) for name, value in change.pins.items()]
        lines = [(self._line(name), _signal(value, name)) for name, value in change.adc.items()]
        for (port, pin), signal in pins:
            self._board.gpio.connect(port, pin, signal)
        for line, signal in lines:
            self._board.connect_analog(line, signal)
        if change.test_packet is not None:
            self._board.test_packet = change.test_packet
        return Message(code=Code.CHANGED)

    def _line(self, name: Any) -> int:
        known = {str(line): line for line in self._board.state().lines}
        if name not in known:
            raise MalformedRequest(
                f"{shown_key(name)!r} is no analog line here",
                where="adc",
                hint=f"lines are {', '.join(known) or 'none'}",
            )
        return known[name]


def board_info(board: Board) -> BoardInfo:
    """Everything that can be seen of a board, as a message."""
    state = board.state()
    lcd = state.display
    return BoardInfo(
        board=state.board,
        pins=tuple(PinInfo(pin.name, pin.port, pin.pin, pin.mode, pin.level) for pin in state.pins),
        adc={str(line): value for line, value in state.lines.items()},
        lcd=LcdInfo(lcd.visible, lcd.column, lcd.row, lcd.ready) if lcd else None,
        saul=tuple(map(_saul, state.readers)),
        test_packet=state.test_packet,
    )


def no_saul(index: str, count: int) -> NotFound:
    """The error of whoever asks for a device that is not there."""
    return NotFound(f"there is no SAUL device {index[:20]}", hint=f"devices are 0 to {count - 1}")


def _saul(reader: Reader) -> SaulInfo:
    reading = reader.reading
    return SaulInfo(
        index=reader.index,
        name=reader.name,
        kind=reader.kind,
        writable=reader.writable,
        values=reading.values if reading else None,
        unit=int(reading.unit) if reading else None,
        scale=reading.scale if reading else None,
        problem=reader.problem,
    )


def _input(change: SaulChange) -> Signal | None:
    """The input that a change asks for; None is the board's own."""
    if change.fail is not None:
        return Failing() if change.fail else None
    return None if change.signal is None else signal_from(change.signal)


def _pin(name: Any) -> tuple[int, int]:
    place = pin_of(name) if isinstance(name, str) else None
    if place is None or not exists(*place):
        raise MalformedRequest(
            f"{shown_key(name)!r} is no pin", where="pins", hint="A0 to P15, or 0/0 to 15/15"
        )
    return place


def _signal(value: Any, name: Any) -> Signal:
    """A number, which stays, or a map."""
    if isinstance(value, Mapping):
        return signal_from(value)
    if type(value) is not int or not 0 <= value <= 0xFFFF:
        raise MalformedRequest("an input is a number or a map with a kind", where=shown_key(name))
    return Constant(value)
