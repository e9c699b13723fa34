"""Blocks of memory and strings: bpf_memcpy and bpf_strlen (helpers.md section 2)."""

from __future__ import annotations

from typing import Final

from device.vm.faults import GuestFault
from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper, Parameter, Readable, ReadableString, Writable


def _memcpy(call: Call, dst: int, src: int, n: int) -> int:
    """The source is read whole before a byte is written, so that the two may overlap."""
    call.write(1, dst, call.read(2, src, n))
    return dst


def _strlen(call: Call, text: int) -> int:
    try:
        return call.memory.string_length(text)
    except GuestFault as fault:
        raise call.blame(fault, 1) from None


BLOCKS: Final = (
    Helper(
        id=0x02,
        prototype="void *bpf_memcpy(void *dst, const void *src, size_t n)",
        summary="copies n bytes, which may overlap; dst",
        parameters=(
            Parameter("dst", CType.POINTER, Writable("n")),
            Parameter("src", CType.POINTER, Readable("n")),
            Parameter("n", CType.SIZE),
        ),
        result=CType.POINTER,
        function=_memcpy,
    ),
    Helper(
        id=0x52,
        prototype="size_t bpf_strlen(char *str)",
        summary="length of a string without its NUL",
        parameters=(Parameter("str", CType.POINTER, ReadableString(only_effect=True)),),
        result=CType.SIZE,
        function=_strlen,
    ),
)
