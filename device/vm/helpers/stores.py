"""The two key-value stores: the slot's own and the device's (helpers.md section 4)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper, Parameter, Writable
from device.vm.ports import KeyValueStore


def _store(store: KeyValueStore, key: int, value: int) -> int:
    return 0 if store.store(key, value) else -1


def _fetch(call: Call, store: KeyValueStore, key: int, value: int) -> int:
    """A missing key gives 0, and makes no entry."""
    call.write(2, value, (store.fetch(key) or 0).to_bytes(4, "little"))
    return 0


def _store_local(call: Call, key: int, value: int) -> int:
    return _store(call.services.local, key, value)


def _store_global(call: Call, key: int, value: int) -> int:
    return _store(call.services.shared, key, value)


def _fetch_local(call: Call, key: int, value: int) -> int:
    return _fetch(call, call.services.local, key, value)


def _fetch_global(call: Call, key: int, value: int) -> int:
    return _fetch(call, call.services.shared, key, value)


_KEY_AND_VALUE: Final = (Parameter("key", CType.U32), Parameter("value", CType.U32))
_KEY_AND_PLACE: Final = (
    Parameter("key", CType.U32),
    Parameter("value", CType.POINTER, Writable(4, only_effect=True)),
)

STORES: Final = (
    Helper(
        id=0x10,
        prototype="int bpf_store_local(uint32_t key, uint32_t value)",
        summary="sets a key of the slot's store; 0, or -1 when it is full",
        parameters=_KEY_AND_VALUE,
        result=CType.INT,
        function=_store_local,
    ),
    Helper(
        id=0x11,
        prototype="int bpf_store_global(uint32_t key, uint32_t value)",
        summary="sets a key of the device's store; 0, or -1 when it is full",
        parameters=_KEY_AND_VALUE,
        result=CType.INT,
        function=_store_global,
    ),
    Helper(
        id=0x12,
        prototype="int bpf_fetch_local(uint32_t key, uint32_t *value)",
        summary="reads a key of the slot's store, 0 when it is not there; 0",
        parameters=_KEY_AND_PLACE,
        result=CType.INT,
        function=_fetch_local,
    ),
    Helper(
        id=0x13,
        prototype="int bpf_fetch_global(uint32_t key, uint32_t *value)",
        summary="reads a key of the device's store, 0 when it is not there; 0",
        parameters=_KEY_AND_PLACE,
        result=CType.INT,
        function=_fetch_global,
    ),
)
