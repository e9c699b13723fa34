"""How a run on the machine ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from device.vm.faults import GuestFault


class Reason(Enum):
    """Why the machine stopped."""

    RETURNED = "the entry returned"
    KILLED = "it was told to stop"
    FAULTED = "the service raised a fault of the guest"
    MEMORY = "an access outside what is mapped"
    TRAPPED = "an instruction that traps"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stopped run.

    `pc` is the address of the instruction at which it stopped (of the SVC for FAULTED; wherever it was for
    KILLED, possibly in a block's middle; 0 for RETURNED). `address`, `size` and `access` ("load", "store",
    "fetch") tell of MEMORY; `registers` are R0 to R15 and the singles asked for, for everything but RETURNED,
    whose results are in the mailbox; `fault` is what the service raised.
    """

    reason: Reason
    pc: int = 0
    address: int | None = None
    size: int | None = None
    access: str | None = None
    registers: tuple[int, ...] = ()
    fault: GuestFault | None = None


RETURNED: Final = Stop(Reason.RETURNED)
