"""The device's clock: bpf_now_ms and bpf_ztimer_now (helpers.md section 7)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper


def _now_ms(call: Call) -> int:
    """Divided before it is reduced: milliseconds wrap after 49 days, not after 71 minutes."""
    return call.services.clock.now_us() // 1000


def _ztimer_now(call: Call) -> int:
    return call.services.clock.now_us()


CLOCK: Final = (
    Helper(
        id=0x20,
        prototype="uint32_t bpf_now_ms(void)",
        summary="milliseconds since boot, mod 2^32",
        parameters=(),
        result=CType.U32,
        function=_now_ms,
    ),
    Helper(
        id=0x60,
        prototype="uint32_t bpf_ztimer_now(void)",
        summary="microseconds since boot, mod 2^32",
        parameters=(),
        result=CType.U32,
        function=_ztimer_now,
    ),
)
