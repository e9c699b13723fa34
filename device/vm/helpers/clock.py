"""The device's clock: bpf_now_ms, bpf_ztimer_now and the one helper that waits (helpers.md section 7)."""

from __future__ import annotations

from typing import Final

from device.vm.helpers.call import Call
from device.vm.helpers.contract import CType, Helper, Parameter, ReadableAndWritable
from device.vm.program import PERIODIC_WAKEUP

_MASK32: Final = 0xFFFFFFFF


def _now_ms(call: Call) -> int:
    """Divided before it is reduced: milliseconds wrap after 49 days, not after 71 minutes."""
    return call.services.clock.now_us() // 1000


def _ztimer_now(call: Call) -> int:
    return call.services.clock.now_us()


def _periodic_wakeup(call: Call, last: int, period: int) -> int:
    """Whoever is late does not wait, but lets others have their turn: the pause is 0 then."""
    now = call.services.clock.now_us() & _MASK32
    target = (int.from_bytes(call.read(1, last, 4), "little") + period) & _MASK32
    offset = (target - now) & _MASK32
    in_time = offset <= period
    call.services.pause(offset if in_time else 0)
    call.write(1, last, (target if in_time else now).to_bytes(4, "little"))
    return 0


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
    Helper(
        id=PERIODIC_WAKEUP,
        prototype="void bpf_ztimer_periodic_wakeup(uint32_t *last, uint32_t period)",
        summary="sleeps until *last + period, which becomes *last, or not when that is over; 0",
        parameters=(
            Parameter("last", CType.POINTER, ReadableAndWritable(4)),
            Parameter("period", CType.U32),
        ),
        result=CType.VOID,
        function=_periodic_wakeup,
    ),
)
