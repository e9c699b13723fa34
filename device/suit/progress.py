"""How an update goes, and how it ended: what `/suit/status` shows (suit.md section 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from device.errors import SuitError
from device.suit.plan import Plan
from device.suit.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Installed:
    """An image that the update put into a slot."""

    slot: int
    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the update is, or how the last one ended: `result` is None, `OK` or a refusal class.

    `slots` are those that it writes, once its manifest was understood.
    """

    state: Literal["idle", "manifest", "image"] = "idle"
    url: str | None = None
    sequence_number: int | None = None
    slots: tuple[int, ...] = ()
    result: str | None = None
    riot_code: int | None = None
    report_reason: int | None = None
    where: str | None = None
    detail: str | None = None
    hint: str | None = None
    findings: tuple[Mapping[str, Any], ...] = ()
    installed: tuple[Installed, ...] = ()

    def planned(self, plan: Plan) -> Progress:
        """With a manifest that was understood."""
        slots = tuple(operation.slot for operation in plan.operations)
        return replace(self, state="image", sequence_number=plan.sequence_number, slots=slots)

    def done(self, plan: Plan) -> Progress:
        """With everything in its slot."""
        installed = tuple(Installed(o.slot, o.size, o.digest.hex()[:8]) for o in plan.operations)
        return replace(self, state="idle", result="OK", riot_code=0, installed=installed)

    def refused(self, error: SuitError) -> Progress:
        """With the reason why nothing was installed."""
        return replace(
            self,
            state="idle",
            result=error.code,
            riot_code=riot_code(error),
            report_reason=error.extra.get("report_reason", Refusal[error.code].report_reason),
            where=error.where,
            detail=error.detail,
            hint=error.hint,
            findings=tuple(error.extra.get("findings", ())),
        )


def riot_code(error: SuitError) -> int:
    """RIOT's number for a refusal: the class's, unless the error knows better."""
    return int(error.extra.get("riot_code", Refusal[error.code].riot_code))
