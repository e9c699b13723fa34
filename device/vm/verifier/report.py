"""What the verifier answers: all findings, and the facts that are known without running the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device.errors import VerifyError
from device.vm.isa import describe_at
from device.vm.program import Layout
from device.vm.verifier.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """A function: its first slot, its name if known, the first slots of its callees, bytes of frame used."""

    start: int
    name: str | None
    callees: tuple[int, ...]
    frame: int

    def to_map(self) -> dict[str, Any]:
        """The function in JSON."""
        return {"start": self.start, "name": self.name, "callees": list(self.callees), "frame": self.frame}


@dataclass(frozen=True, slots=True)
class LoopFacts:
    """A jump back: its slot, where it goes, and how often the body runs where that can be read off."""

    start: int
    end: int
    rounds: int | None

    def to_map(self) -> dict[str, Any]:
        """The loop in JSON."""
        return {"start": self.start, "end": self.end, "rounds": self.rounds}


@dataclass(frozen=True, slots=True)
class Report:
    """The verifier's answer (programs.md section 4).

    `helpers` maps the ids that are called to the slots of the calls. `stack_depth` is in bytes, None when
    r10 escapes or calls are recursive. `loops` are the jumps back that are reached. `bound` is the longest
    path in instructions, None unless `bounded`. `data`, `bss` and `rodata` are sizes in bytes.
    """

    findings: tuple[Finding, ...]
    insns: int
    slots: int
    helpers: Mapping[int, tuple[int, ...]]
    functions: tuple[FunctionFacts, ...]
    stack_depth: int | None
    loops: tuple[LoopFacts, ...]
    bounded: bool
    bound: int | None
    data: int
    bss: int
    rodata: int
    layout: Layout
    entry: int
    tag: str

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the program."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def accepted(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def to_map(self) -> dict[str, Any]:
        """The report in JSON; ids of helpers are decimal text there."""
        return {
            "accepted": self.accepted,
            "findings": [finding.to_map() for finding in self.findings],
            "insns": self.insns,
            "slots": self.slots,
            "helpers": {str(helper): list(slots) for helper, slots in self.helpers.items()},
            "functions": [function.to_map() for function in self.functions],
            "stack_depth": self.stack_depth,
            "loops": [loop.to_map() for loop in self.loops],
            "bounded": self.bounded,
            "bound": self.bound,
            "data": self.data,
            "bss": self.bss,
            "rodata": self.rodata,
            "layout": self.layout.name.lower(),
            "entry": self.entry,
            "tag": self.tag,
        }


def require_accepted(report: Report) -> None:
    """Raise VerifyError with all findings unless the program is accepted; its detail is the first error."""
    errors = report.errors
    if not errors:
        return
    first, more = errors[0], len(errors) - 1
    raise VerifyError(
        first.message + (f", +{more} more" if more else ""),
        findings=[finding.to_map() for finding in report.findings],
        code=first.id,
        where=describe_at(first.insn),
        hint=f"expected {first.expected}; {first.hint}",
    )
