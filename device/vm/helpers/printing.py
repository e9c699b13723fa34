"""Output for people: bpf_printf and bpf_print_debug (helpers.md sections 2 and 6)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CheckedByHelper, CType, Helper, Parameter, ReadableString
from device.vm.helpers.format import parse, render
from device.vm.helpers.numbers import EINVAL

MAX_STRING: Final = 256
"""Bytes of a format or a string argument, the NUL among them."""


def _printf(call: Call, address: int, *values: int) -> int:
    pieces = parse(call.read_string(1, address, MAX_STRING))
    if pieces is None:
        return -EINVAL

    def read_string(argument: int, at: int, precision: int | None) -> bytes:
        if precision is None:
            return call.read_string(argument, at, MAX_STRING)
        return call.read_prefix(argument, at, precision)

    text = render(pieces, values, read_string)
    if text.missing:
        call.warn_once("bpf_printf: a conversion has no argument left, a call takes 4")
    call.services.console.write(text.content)
    return len(text.content)


def _print_debug(call: Call, value: int) -> int:
    call.services.console.write(b"[DEBUG]: %d\n" % value)
    return 0


_VALUE_CONTRACT: Final = CheckedByHelper(f"R str {MAX_STRING} for %s")

PRINTING: Final = (
    Helper(
        id=0x01,
        prototype="void *bpf_printf(const char *fmt, ...)",
        summary="formats up to 4 arguments to the console; bytes produced, or -EINVAL",
        parameters=(
            Parameter("fmt", CType.POINTER, ReadableString(MAX_STRING)),
            *(Parameter(f"value{n}", CType.U32, _VALUE_CONTRACT) for n in range(1, 5)),
        ),
        result=CType.INT,
        function=_printf,
    ),
    Helper(
        id=0x03,
        prototype="void *bpf_print_debug(uint32_t v)",
        summary="prints a decimal number on a line of its own; 0",
        parameters=(Parameter("v", CType.U32),),
        result=CType.VOID,
        function=_print_debug,
    ),
)
