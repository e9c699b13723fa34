"""Pins, display and keypad (helpers.md sections 2 and 3.4)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper, Parameter, ReadableString
from device.vm.helpers.numbers import DISPLAY_HANDLE, ENODEV
from device.vm.ports import Display

MAX_TEXT: Final = 256
"""Bytes of a text for the display, the NUL among them."""


def _read_input(call: Call, port: int, pin: int) -> int:
    return call.services.board.pin_input(port, pin)


def _read_raw(call: Call, port: int, pin: int) -> int:
    return call.services.board.pin_level(port, pin)


def _write(call: Call, port: int, pin: int, value: int) -> int:
    return call.services.board.pin_write(port, pin, value)


def _display(call: Call, handle: int) -> Display | None:
    """The display, if the board has one and this is its handle."""
    return call.services.board.display if handle == DISPLAY_HANDLE else None


def _init(call: Call) -> int:
    display = call.services.board.display
    if display is None:
        return 0
    display.init()
    return DISPLAY_HANDLE


def _clear(call: Call, handle: int) -> int:
    display = _display(call, handle)
    if display is None:
        return -ENODEV
    display.clear()
    return 0


def _print(call: Call, handle: int, text: int) -> int:
    content = call.read_string(2, text, MAX_TEXT)
    display = _display(call, handle)
    if display is None:
        return -ENODEV
    display.print(content)
    return 0


def _set_cursor(call: Call, handle: int, column: int, row: int) -> int:
    display = _display(call, handle)
    if display is None:
        return -ENODEV
    display.set_cursor(column, row)
    return 0


def _key(call: Call, line: int) -> int:
    return call.services.board.key(line)


_PIN: Final = (Parameter("port", CType.U32), Parameter("pin", CType.U32))
_DEVICE: Final = Parameter("dev", CType.U32)

BOARD: Final = (
    Helper(
        id=0x70,
        prototype="uint64_t bpf_gpio_read_input(uint32_t port, uint32_t pin)",
        summary="makes a pin an input and reads its level, 0 or 1",
        parameters=_PIN,
        result=CType.U64,
        function=_read_input,
    ),
    Helper(
        id=0x71,
        prototype="uint64_t bpf_gpio_read_raw(uint32_t port, uint32_t pin)",
        summary="reads the level of a pin, 0 or 1, and leaves its mode",
        parameters=_PIN,
        result=CType.U64,
        function=_read_raw,
    ),
    Helper(
        id=0x72,
        prototype="void bpf_gpio_write(uint32_t port, uint32_t pin, uint32_t val)",
        summary="makes a pin an output, high unless val is 0; 1, or 0 without such a pin",
        parameters=(*_PIN, Parameter("val", CType.U32)),
        result=CType.U64,
        function=_write,
    ),
    Helper(
        id=0x80,
        prototype="uint64_t bpf_hd44780_init(void)",
        summary="resets the display; its handle, or 0 without display",
        parameters=(),
        result=CType.U64,
        function=_init,
    ),
    Helper(
        id=0x81,
        prototype="uint64_t bpf_hd44780_clear(uint32_t dev)",
        summary="blanks the display, cursor to 0, 0; 0 or -ENODEV",
        parameters=(_DEVICE,),
        result=CType.U64,
        function=_clear,
    ),
    Helper(
        id=0x82,
        prototype="uint64_t bpf_hd44780_print(uint32_t dev, const char *s)",
        summary="writes a string at the cursor; 0 or -ENODEV",
        parameters=(_DEVICE, Parameter("s", CType.POINTER, ReadableString(MAX_TEXT))),
        result=CType.U64,
        function=_print,
    ),
    Helper(
        id=0x83,
        prototype="uint64_t bpf_hd44780_set_cursor(uint32_t dev, uint32_t a, uint32_t b)",
        summary="moves the cursor to column a of row b; 0 or -ENODEV",
        parameters=(_DEVICE, Parameter("a", CType.U32), Parameter("b", CType.U32)),
        result=CType.U64,
        function=_set_cursor,
    ),
    Helper(
        id=0x84,
        prototype="uint64_t bpf_keypad_get_input(uint32_t adc_index)",
        summary="the key that is pressed: 0 right, 1 up, 2 down, 3 left, 4 none",
        parameters=(Parameter("adc_index", CType.U32),),
        result=CType.U64,
        function=_key,
    ),
)
