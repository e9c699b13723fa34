"""The one way from a program to a helper: every call of every engine passes here (helpers.md section 1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers.call import Call, Services
from device.vm.helpers.contract import BoundHelper, Helper
from device.vm.memory import GuestMemory
from device.vm.program import HelperGate


class Gate:
    """The gate of one run: (id, r1, …, r5) → r0.

    `available` are the helpers that exist for the program, `allowed` the ids that this run may call, None
    for all of them. A call raises GuestFault: ILLEGAL_CALL for an id that does not exist, HELPER_DENIED for
    one that is not allowed, ILLEGAL_MEM when a pointer breaks its contract; nothing was written then.
    """

    __slots__ = ("_available", "_bound", "_memory", "_permitted", "_services", "_warned")

    def __init__(
        self,
        memory: GuestMemory,
        services: Services,
        available: Mapping[int, Helper],
        allowed: Collection[int] | None = None,
    ) -> None:
        self._memory = memory
        self._services = services
        self._available = available
        self._permitted = available if allowed is None else frozenset(allowed)
        self._bound: dict[int, BoundHelper] = {}
        self._warned: set[str] = set()

    def __call__(self, number: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        """Call a helper."""
        return (self._bound.get(number) or self.bound(number))(r1, r2, r3, r4, r5)

    def bound(self, number: int) -> BoundHelper:
        """What a call of that helper comes to in this run. Raises GuestFault as the call would."""
        found = self._bound.get(number)
        if found is not None:
            return found
        helper = self._available.get(number)
        if helper is None:
            detail = f"helper 0x{number:02x} does not exist here"
            raise GuestFault(FaultCode.ILLEGAL_CALL, detail, helper=number)
        if number not in self._permitted:
            detail = f"helper 0x{number:02x} {helper.name} is not in the allow-list"
            raise GuestFault(FaultCode.HELPER_DENIED, detail, helper=number)
        call = Call(number, helper.name, self._memory, self._services, self._warned)
        bound = self._bound[number] = helper.bind(call)
        return bound


def gate(
    memory: GuestMemory,
    services: Services,
    available: Mapping[int, Helper],
    allowed: Collection[int] | None = None,
) -> Gate:
    """The gate of one run; see Gate."""
    return Gate(memory, services, available, allowed)


def bound(gate: HelperGate, number: int) -> BoundHelper:
    """A helper behind any gate as a function of r1 to r5. Raises GuestFault where its call may."""
    return gate.bound(number) if isinstance(gate, Gate) else partial(gate, number)
