"""A row of the lint's table, and what it has to say about a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from device.vm.isa import SLOT_SIZE, describe_at
from device.vm.lint.subject import Subject

Finder = Callable[[Subject], Sequence[int] | None]
"""The slots where a deviation applies; none of them for the image as a whole, None where it does not."""

UBPF: Final = "ubpf"
FEMTO: Final = "femto"
SMING: Final = "sming"
RIOT: Final = "riot2020"
ALL: Final = (UBPF, FEMTO, SMING, RIOT)
OLD: Final = (FEMTO, SMING, RIOT)
"""The machines before µBPF, which share an instruction set."""

_LISTED: Final = 8


@dataclass(frozen=True, slots=True)
class Deviation:
    """What the machines of some profiles do otherwise than this fleet.

    `finds` says where it applies, `there` what happens on such a machine, `hint` what to do.
    """

    id: str
    profiles: tuple[str, ...]
    finds: Finder
    there: str
    hint: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A row that applies to a program: for which of the profiles asked for, and at which slots."""

    deviation: Deviation
    profiles: tuple[str, ...]
    insns: tuple[int, ...]
    source: str | None = None

    @property
    def message(self) -> str:
        """`PROFILES: <there> at insn #i (offset 0x..), +N more`."""
        first = f" at {describe_at(self.insns[0])}" if self.insns else ""
        more = f", +{len(self.insns) - 1} more" if len(self.insns) > 1 else ""
        return f"{', '.join(self.profiles)}: {self.deviation.there}{first}{more}"

    def to_map(self) -> dict[str, Any]:
        """The remark in JSON, in the shape of a finding; `insns` are the first few of all slots."""
        shown: dict[str, Any] = {
            "id": self.deviation.id,
            "severity": "W",
            "profiles": list(self.profiles),
            "message": self.message,
            "there": self.deviation.there,
            "hint": self.deviation.hint,
            "insns": list(self.insns[:_LISTED]),
            "count": len(self.insns),
        }
        if self.insns:
            shown |= {"insn": self.insns[0], "offset": self.insns[0] * SLOT_SIZE}
        if self.source is not None:
            shown["source"] = self.source
        return shown
