"""The SAUL registry as programs see it: handles, classes, phydat_t (helpers.md sections 2, 3.1 and 3.2)."""

from __future__ import annotations

import struct
from typing import Final

from device.errors import PeripheralError
from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper, Parameter, Readable, Writable
from device.vm.helpers.numbers import handle_of, index_of
from device.vm.ports import Reading

PHYDAT: Final = struct.Struct("<3hBb")
"""val[3], unit, scale: 8 bytes."""

SOUND: Final = 0x85
_LAST_CLASS: Final = 0x8A
_UNIT_NONE: Final = 1
_DECIBEL: Final = 18


def _class_of(kind: int, *, has_sound: bool) -> int | None:
    """The class that `ubpf` numbers so: where there is none for sound, the later ones are one lower."""
    if has_sound or kind < SOUND:
        return kind
    return kind + 1 if kind <= _LAST_CLASS else None


def _unit_of(unit: int, *, has_sound: bool) -> int:
    """A unit in the numbers of the profile: without dB the later ones are one lower."""
    if has_sound or unit < _DECIBEL:
        return unit
    return _UNIT_NONE if unit == _DECIBEL else unit - 1


def _find_nth(call: Call, position: int) -> int:
    return handle_of(call.services.board.saul_find_nth(position))


def _find_type(call: Call, kind: int) -> int:
    wanted = _class_of(kind, has_sound=call.services.sound_class)
    return 0 if wanted is None else handle_of(call.services.board.saul_find_class(wanted))


def _reading(call: Call, handle: int) -> Reading | int:
    """What a device says, or a negative error number."""
    try:
        return call.services.board.saul_read(index_of(handle))
    except PeripheralError as error:
        return -error.errno


def _read(call: Call, handle: int, data: int) -> int:
    reading = _reading(call, handle)
    if isinstance(reading, int):
        return reading
    values = (*reading.values, 0, 0)[:3]
    unit = _unit_of(reading.unit, has_sound=call.services.sound_class)
    call.write(2, data, PHYDAT.pack(*values, unit, reading.scale))
    return len(reading.values)


def _write(call: Call, handle: int, data: int) -> int:
    *values, _unit, _scale = PHYDAT.unpack(call.read(2, data, PHYDAT.size))
    try:
        return call.services.board.saul_write(index_of(handle), tuple(values))
    except PeripheralError as error:
        return -error.errno


def _read_temp(call: Call, handle: int, value: int) -> int:
    reading = _reading(call, handle)
    first = 0 if isinstance(reading, int) else reading.values[0]
    call.write(2, value, (first & 0xFFFFFFFF).to_bytes(4, "little"))
    return reading if isinstance(reading, int) else len(reading.values)


_DEVICE: Final = Parameter("dev", CType.U32)

SENSORS: Final = (
    Helper(
        id=0x30,
        prototype="bpf_saul_reg_t *bpf_saul_reg_find_nth(int pos)",
        summary="handle of the device at a position, the first for pos <= 0; 0 past the end",
        parameters=(Parameter("pos", CType.INT),),
        result=CType.POINTER,
        function=_find_nth,
    ),
    Helper(
        id=0x31,
        prototype="bpf_saul_reg_t *bpf_saul_reg_find_type(uint8_t type)",
        summary="handle of the first device of exactly this class; 0 when there is none",
        parameters=(Parameter("type", CType.U8),),
        result=CType.POINTER,
        function=_find_type,
    ),
    Helper(
        id=0x32,
        prototype="int bpf_saul_reg_read(bpf_saul_reg_t *dev, phydat_t *data)",
        summary="reads a device; number of values, -ENODEV or -ECANCELED",
        parameters=(_DEVICE, Parameter("data", CType.POINTER, Writable(PHYDAT.size))),
        result=CType.INT,
        function=_read,
    ),
    Helper(
        id=0x33,
        prototype="int bpf_saul_reg_write(bpf_saul_reg_t *dev, phydat_t *data)",
        summary="drives an actuator; number of values used, -ENODEV or -ENOTSUP",
        parameters=(_DEVICE, Parameter("data", CType.POINTER, Readable(PHYDAT.size))),
        result=CType.INT,
        function=_write,
    ),
    Helper(
        id=0x34,
        prototype="int bpf_saul_read_temp(bpf_saul_reg_t *dev, uint32_t *value)",
        summary="first value of a reading, sign-extended, 0 on error; result as bpf_saul_reg_read",
        parameters=(_DEVICE, Parameter("value", CType.POINTER, Writable(4))),
        result=CType.INT,
        function=_read_temp,
    ),
)
