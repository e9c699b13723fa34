"""The one way from a program to a helper: every call of every engine passes here (helpers.md section 1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers.call import Call, Services
from device.vm.helpers.contract import BoundHelper, Helper
from device.vm.memory import GuestMemory
from device.vm.program import HelperGate


def gate(
    memory: GuestMemory,
    services: Services,
    available: Mapping[int, Helper],
    allowed: Collection[int] | None = None,
) -> HelperGate:
    """The gate of one run: (id, r1, …, r5) → r0.

    `available` are the helpers that exist for the program, `allowed` the ids that this run may call, None
    for all of them. A call raises GuestFault: ILLEGAL_CALL for an id that does not exist, HELPER_DENIED for
    one that is not allowed, ILLEGAL_MEM when a pointer breaks its contract; nothing was written then.
    """
    permitted = frozenset(available if allowed is None else allowed)
    admitted: dict[int, BoundHelper] = {}
    warned: set[str] = set()

    def admit(number: int) -> BoundHelper:
        helper = available.get(number)
        if helper is None:
            detail = f"helper 0x{number:02x} does not exist here"
            raise GuestFault(FaultCode.ILLEGAL_CALL, detail, helper=number)
        if number not in permitted:
            detail = f"helper 0x{number:02x} {helper.name} is not in the allow-list"
            raise GuestFault(FaultCode.HELPER_DENIED, detail, helper=number)
        bound = admitted[number] = helper.bind(Call(number, helper.name, memory, services, warned))
        return bound

    def call_helper(number: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        return (admitted.get(number) or admit(number))(r1, r2, r3, r4, r5)

    return call_helper
