"""What programs can call: the helpers as a table of values, and the gate that every call passes.

    call = gate(memory, services, profile_helpers(UBPF), allowed=None)
    r0 = call(0x52, r1, r2, r3, r4, r5)

A helper is declared beside its function (printing, blocks, stores, clock, text) with its prototype and
what it demands of its pointers (contract). Nothing is global but the table, which never changes.
"""

from device.vm.helpers.bare import BareBoard
from device.vm.helpers.call import Call, Services
from device.vm.helpers.contract import (
    CheckedByHelper,
    Contract,
    CType,
    Helper,
    Parameter,
    Readable,
    ReadableString,
    Writable,
)
from device.vm.helpers.gate import bound, gate
from device.vm.helpers.registry import HELPERS, profile_helpers

__all__ = [
    "HELPERS",
    "BareBoard",
    "CType",
    "Call",
    "CheckedByHelper",
    "Contract",
    "Helper",
    "Parameter",
    "Readable",
    "ReadableString",
    "Services",
    "Writable",
    "bound",
    "gate",
    "profile_helpers",
]
