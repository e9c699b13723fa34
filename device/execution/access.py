"""Which helpers a run may call: the lists, the points where calls are checked (helpers.md section 9).

    effective = P ∩ M ∩ (R or B)

P is what the slot's profile has, M what the signed manifest grants, R the list of a request, B that of an
image. Only M is signed: whatever a request or an image says narrows it. Every call passes the gate with the
effective list, whatever was checked before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from device.errors import MalformedRequest, Unprocessable
from device.vm.helpers import HELPERS
from device.vm.isa import SLOT_SIZE, describe_at

_LOGGED: Final = 16


class Point(IntEnum):
    """Where calls are checked besides at the call; the numbers are bits 7-8 of µBPF's configuration."""

    AHEAD_OF_TIME = 0
    LOAD_TIME = 1
    PRE_FLIGHT = 2
    RUNTIME = 3


class Source(IntEnum):
    """Whose list narrows the signed one; the numbers are bit 9 of µBPF's configuration."""

    REQUEST = 0
    BINARY = 1


@dataclass(frozen=True, slots=True)
class Access:
    """What a request says of helpers: its list (None: no narrowing), whose list counts, where to check."""

    requested: Collection[int] | None = None
    source: Source = Source.REQUEST
    point: Point = Point.RUNTIME

    @classmethod
    def native(cls, helpers: Collection[int] | None) -> Access:
        """Of a request to the native API: with a list the program is looked at before it starts."""
        return cls(helpers, point=Point.RUNTIME if helpers is None else Point.PRE_FLIGHT)


@dataclass(frozen=True, slots=True)
class Lists:
    """The four lists of a run; None where one does not narrow."""

    available: Collection[int]
    granted: Collection[int] | None = None
    requested: Collection[int] | None = None
    declared: Collection[int] | None = None

    @classmethod
    def of(
        cls,
        available: Collection[int],
        granted: Collection[int] | None,
        declared: Collection[int] | None,
        access: Access,
    ) -> Lists:
        """The lists that count under `access`. Raises MalformedRequest when the image should have one."""
        if access.source is Source.REQUEST:
            return cls(available, granted, requested=access.requested)
        if declared is None:
            raise MalformedRequest("helper list in the image needs layout ExtendedHeader", where="source")
        return cls(available, granted, declared=declared)

    @property
    def effective(self) -> tuple[int, ...]:
        """The ids that may be called, in ascending order."""
        return tuple(sorted(helper for helper in self.available if not self.lacking(helper)))

    def lacking(self, helper: int) -> str:
        """The lists without this id, such as `M, R`; empty for one that may be called."""
        named = (("P", self.available), ("M", self.granted), ("R", self.requested), ("B", self.declared))
        return ", ".join(name for name, ids in named if ids is not None and helper not in ids)

    def unknown(self) -> list[int]:
        """Ids of a request or an image that grant nothing, a few of them at most: they are for the log."""
        named = {*(self.requested or ()), *(self.declared or ())}
        return sorted(named - set(self.available))[:_LOGGED]


@dataclass(frozen=True, slots=True)
class Denied:
    """A call, on whatever path, of a helper that some list does not have."""

    insn: int
    helper: int
    lacking: str

    @property
    def message(self) -> str:
        """Which helper at which instruction, in at most 80 characters."""
        known = HELPERS.get(self.helper)
        name = f" {known.name}" if known else ""
        return f"helper 0x{self.helper:02x}{name} not allowed at {describe_at(self.insn)}"

    def to_map(self) -> dict[str, Any]:
        """As a finding of the verifier."""
        return {
            "id": "helper-denied",
            "severity": "E",
            "insn": self.insn,
            "offset": self.insn * SLOT_SIZE,
            "helper": self.helper,
            "lists": self.lacking,
            "message": self.message,
        }


def denied(calls: Mapping[int, Collection[int]], lists: Lists) -> list[Denied]:
    """All calls outside the lists, in the order of the text; `calls` are ids with what calls them."""
    found = [
        Denied(insn, helper, lacking)
        for helper, insns in calls.items()
        if (lacking := lists.lacking(helper))
        for insn in insns
    ]
    return sorted(found, key=lambda item: (item.insn, item.helper))


def refusal(found: Sequence[Denied]) -> Unprocessable:
    """The error for calls that are not allowed: it names the first and carries all of them."""
    more = f", +{len(found) - 1} more" if len(found) > 1 else ""
    lists = sorted({name for item in found for name in item.lacking.split(", ")})
    hint = _HINTS[lists[0]]
    return Unprocessable(
        found[0].message + more,
        code="helper-denied",
        where=f"insn #{found[0].insn}",
        hint=hint,
        extra={"findings": [item.to_map() for item in found]},
    )


_HINTS: Final = {
    "P": "the profile of the slot does not have them",
    "M": "sign the update with these helpers",
    "R": "name its helpers in `helpers`, or leave the field out",
    "B": "the list in the image does not have them: package it anew, or use the list of the request",
}


def require_allowed(calls: Mapping[int, Collection[int]], lists: Lists) -> None:
    """Refuse a program that calls, on whatever path, a helper outside the lists. Raises Unprocessable."""
    found = denied(calls, lists)
    if found:
        raise refusal(found)
