"""Faults: how a run ends that does not end with exit (programs.md section 6).

A fault is the answer to a run, not an error of the device. Inside an engine it travels as
`GuestFault`; what leaves the engine is the frozen `Fault` record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from device.vm.isa import SLOT_SIZE, describe_at


class FaultCode(IntEnum):
    """Name and number of every fault; the numbers are Femto-Containers' where it has one."""

    OK = 0
    ILLEGAL_INSTRUCTION = -1
    ILLEGAL_MEM = -2
    ILLEGAL_JUMP = -3
    ILLEGAL_CALL = -4
    ILLEGAL_LEN = -5
    ILLEGAL_REGISTER = -6
    NO_RETURN = -7
    OUT_OF_BRANCHES = -8
    ILLEGAL_DIV = -9
    OUT_OF_INSTRUCTIONS = -10
    CALL_DEPTH = -11
    HELPER_DENIED = -12
    KILLED = -13
    NO_MEMORY = -100


@dataclass(frozen=True, slots=True)
class Fault:
    """Why and where a run stopped.

    `pc` is the slot index; `function` and `source` (file:line) are filled in where the program knows
    them. `address`, `size`, `access` ("load", "store", "read", "write"), `region` (the nearest one) and
    `distance` are there for memory faults: bytes from the region's start when it is negative, else from
    its end; None when the access begins inside the region. `helper` (its id) and `argument` (from 1) are
    there when a helper refused a pointer, `profile_number` under profiles whose original has a number of
    its own. `registers` are r0 to r10 at the fault; an engine that has lost one
    gives None for it.
    """

    code: FaultCode
    detail: str
    pc: int = 0
    function: str | None = None
    source: str | None = None
    address: int | None = None
    size: int | None = None
    access: str | None = None
    region: str | None = None
    distance: int | None = None
    helper: int | None = None
    argument: int | None = None
    profile_number: int | None = None
    registers: tuple[int | None, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The id, such as `ILLEGAL_MEM`."""
        return self.code.name

    def __str__(self) -> str:
        return f"{self.name}: {self.detail} at {describe_at(self.pc)}"

    def at(self, *, function: str | None, source: str | None) -> Fault:
        """The same fault with its place in the source."""
        return replace(self, function=function, source=source)

    def to_map(self) -> dict[str, Any]:
        """The fault as the API shows it (api.md, Errors); absent fields are left out."""
        shown: dict[str, Any] = {
            "code": self.name,
            "number": int(self.code),
            "insn": self.pc,
            "offset": self.pc * SLOT_SIZE,
            "detail": str(self),
        }
        optional = {
            "function": self.function,
            "source": self.source,
            "address": self.address,
            "size": self.size,
            "access": self.access,
            "region": self.region,
            "distance": self.distance,
            "helper": self.helper,
            "argument": self.argument,
            "profile_number": self.profile_number,
        }
        shown.update({key: value for key, value in optional.items() if value is not None})
        if self.registers:
            shown["registers"] = [None if value is None else f"0x{value:016x}" for value in self.registers]
        return shown


class GuestFault(Exception):
    """A fault on its way out of a helper, a memory access or an instruction; engines catch it.

    It has no pc yet: the engine that catches it knows where it is and calls `record`.
    """

    def __init__(
        self,
        code: FaultCode,
        detail: str,
        *,
        address: int | None = None,
        size: int | None = None,
        access: str | None = None,
        region: str | None = None,
        distance: int | None = None,
        helper: int | None = None,
        argument: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.address = address
        self.size = size
        self.access = access
        self.region = region
        self.distance = distance
        self.helper = helper
        self.argument = argument

    def record(self, pc: int, registers: tuple[int | None, ...] = ()) -> Fault:
        """The frozen record of this fault at `pc`."""
        return Fault(
            code=self.code,
            detail=self.detail,
            pc=pc,
            address=self.address,
            size=self.size,
            access=self.access,
            region=self.region,
            distance=self.distance,
            helper=self.helper,
            argument=self.argument,
            registers=registers,
        )
