"""A fault of a program, explained: where it is, what happened there, what to try (client.md, Faults)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device.errors import MicroBpfError
from device.vm.advice import advice, hint


class ProgramFault(MicroBpfError):
    """A run that ended with a fault; `extra` holds the fault and the answer it came in."""

    title = "Program faulted"
    default_code = "fault"


def program_fault(fault: Mapping[str, Any], answer: Mapping[str, Any]) -> ProgramFault:
    """The error that stands for a run that faulted."""
    code = str(fault.get("code", "fault"))
    return ProgramFault(
        str(fault.get("detail") or code),
        code=code,
        where=where(fault),
        hint=hint(fault),
        extra={
            "fault": dict(fault),
            "answer": {key: value for key, value in answer.items() if key != "fault"},
        },
    )


def where(fault: Mapping[str, Any]) -> str:
    """Function, source line and instruction, as far as they are known."""
    parts = []
    if fault.get("function"):
        parts.append(f"in {fault['function']}()")
    if fault.get("source"):
        parts.append(f"at {fault['source']}")
    pc = fault.get("insn")
    if isinstance(pc, int):
        parts.append(f"insn #{pc} (offset 0x{8 * pc:x})")
    return ", ".join(parts)


def fault_lines(fault: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fault as names and values for a block."""
    address, size = fault.get("address"), fault.get("size")
    access = None
    if isinstance(address, int):
        amount = f" of {size} byte{'' if size == 1 else 's'}" if isinstance(size, int) else ""
        access = f"{fault.get('access', 'access')}{amount} at 0x{address:08x}"
    helper, known = fault.get("helper"), advice(fault)
    number = fault.get("profile_number")
    return [
        ("fault", f"{fault.get('code')} ({fault.get('number')})"),
        ("there", None if number is None else f"{number} on the profile's own machine"),
        ("meaning", known.meaning if known else None),
        ("detail", fault.get("detail")),
        ("function", fault.get("function")),
        ("source", fault.get("source")),
        ("access", access),
        ("region", _region(fault)),
        ("helper", f"0x{helper:02x}" if isinstance(helper, int) else None),
        ("try", hint(fault) or None),
    ]


def _region(fault: Mapping[str, Any]) -> str | None:
    """The nearest region, and how far from it the access began."""
    region, distance = fault.get("region"), fault.get("distance")
    if region is None or not isinstance(distance, int):
        return None if region is None else str(region)
    if distance == 0:
        return f"just past the end of {region}"
    return f"{abs(distance)} bytes {'below' if distance < 0 else 'past the end of'} {region}"
