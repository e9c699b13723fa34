"""The application's own helpers in profile `sming`: a shared number and packets (helpers.md section 2)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CheckedByHelper, CType, Helper, Parameter, Readable

SHOWN: Final = 512
"""Bytes of a sent packet that its console line shows."""


def _get_magic(call: Call) -> int:
    return call.services.board.magic


def _set_magic(call: Call, value: int) -> int:
    call.services.board.magic = value
    return 0


def _send(call: Call, data: int, length: int) -> int:
    """All of the packet has to be readable, however little of it is shown."""
    shown = call.read(1, data, min(length, SHOWN)).hex()
    more = "..." if length > SHOWN else ""
    call.services.console.write(f"SEND {shown}{more}\n".encode())
    return length


def _receive(call: Call, buffer: int, length: int) -> int:
    content = call.services.board.test_packet[:length]
    call.write(1, buffer, content)
    return len(content)


_LENGTH: Final = Parameter("len", CType.SIZE)

USER: Final = (
    Helper(
        id=0x100,
        prototype="int bpf_user_get_magic(void)",
        summary="a number of the device, 1234 at boot",
        parameters=(),
        result=CType.INT,
        function=_get_magic,
    ),
    Helper(
        id=0x101,
        prototype="void bpf_user_set_magic(int value)",
        summary="sets that number",
        parameters=(Parameter("value", CType.INT),),
        result=CType.VOID,
        function=_set_magic,
    ),
    Helper(
        id=0x102,
        prototype="size_t bpf_user_send_packet(char *data, size_t len)",
        summary="prints SEND and the bytes in hexadecimal; len",
        parameters=(Parameter("data", CType.POINTER, Readable("len")), _LENGTH),
        result=CType.SIZE,
        function=_send,
    ),
    Helper(
        id=0x103,
        prototype="size_t bpf_user_read_packet(char *buf, size_t len)",
        summary="copies the device's test packet, without NUL; bytes copied",
        parameters=(Parameter("buf", CType.POINTER, CheckedByHelper("W min(len, packet)")), _LENGTH),
        result=CType.SIZE,
        function=_receive,
    ),
)
