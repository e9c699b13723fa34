"""Which helpers a request may use, and the check before it starts (helpers.md section 9, PreFlight)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from device.errors import Unprocessable
from device.vm.helpers import HELPERS
from device.vm.isa import SLOT_SIZE, describe_at

_LOGGED: Final = 16


def effective(available: Collection[int], requested: Collection[int] | None) -> tuple[int, ...]:
    """The effective list, in ascending order: what the slot has, narrowed by the request's own list."""
    return tuple(sorted(helper for helper in available if requested is None or helper in requested))


def require_allowed(calls: Mapping[int, Collection[int]], allowed: Collection[int]) -> None:
    """Refuse a program that calls, on whatever path, a helper outside the list.

    `calls` are helper ids with the instructions that call them. Raises Unprocessable `helper-denied` that
    names the first call and carries all of them as findings.
    """
    denied = sorted(
        (insn, helper) for helper, insns in calls.items() if helper not in allowed for insn in insns
    )
    if not denied:
        return
    findings = [_finding(insn, helper) for insn, helper in denied]
    first = findings[0]["message"]
    raise Unprocessable(
        first if len(denied) == 1 else f"{first}, +{len(denied) - 1} more",
        code="helper-denied",
        where=f"insn #{denied[0][0]}",
        hint="name its helpers in `helpers`, or leave the field out",
        extra={"findings": findings},
    )


def unknown(available: Collection[int], requested: Collection[int] | None) -> list[int]:
    """Ids of a request that grant nothing, a few of them at most: they are for the log."""
    return sorted({helper for helper in requested or () if helper not in available})[:_LOGGED]


def _finding(insn: int, helper: int) -> dict[str, Any]:
    known = HELPERS.get(helper)
    name = f" {known.name}" if known else ""
    return {
        "id": "helper-denied",
        "severity": "E",
        "insn": insn,
        "offset": insn * SLOT_SIZE,
        "helper": helper,
        "message": f"helper 0x{helper:02x}{name} not allowed at {describe_at(insn)}",
    }
