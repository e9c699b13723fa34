"""`verify`: a program judged as devices judge it, and as other people's machines would run it.

Without profiles the verdict is this fleet's. With some, the program is verified under each of them, by its
helpers and its extras of the instruction set, and the lint says what the real machines do otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.image import Packaged, examine, profile_names, with_lines
from client.steps import OnStep, ignore_step
from device.errors import ConfigError, VerifyError
from device.vm import verifier
from device.vm.isa import describe_at
from device.vm.lint import Remark, lint
from device.vm.profiles import PROFILES, UBPF, Profile


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found. `report` has the findings of all profiles; `remarks` are the lint's."""

    packaged: Packaged
    profiles: tuple[str, ...]
    report: verifier.Report
    remarks: tuple[Remark, ...]

    @property
    def refusal(self) -> VerifyError | None:
        """The error that stands for a program which some profile refuses."""
        try:
            verifier.require_accepted(self.report)
        except VerifyError as error:
            error.extra["report"] = self.to_map()
            return error
        return None

    def to_map(self) -> dict[str, Any]:
        """The judgement in JSON."""
        return {
            "name": self.packaged.name,
            "size": len(self.packaged.image),
            **self.report.to_map(),
            "profiles": list(self.profiles),
            "remarks": [remark.to_map() for remark in self.remarks],
        }


def judge(
    path: Path,
    layout: str | None = None,
    *,
    allowed: Collection[int] | None = None,
    profiles: Sequence[str] = (),
    on_step: OnStep = ignore_step,
) -> Judgement:
    """Build (for a source), package and judge. `allowed` narrows the helpers that the program may call.

    Raises BuildError, AssemblyError, LoadError, ConfigError; what the verifier refuses is an answer.
    """
    chosen = [profile_named(name) for name in dict.fromkeys(profiles)]
    first = chosen[0] if chosen else UBPF
    packaged = examine(path, layout, allowed=allowed, profile=first, on_step=on_step)
    if not chosen:
        return Judgement(packaged, (), packaged.report, ())
    program = with_lines(packaged.program, packaged.object)
    others = [
        verifier.verify(program, helpers=profile_names(profile), allowed=allowed, profile=profile)
        for profile in chosen[1:]
    ]
    names = tuple(profile.name for profile in chosen)
    return Judgement(
        packaged,
        names,
        _merged([packaged.report, *others]),
        lint(program, names, obj=packaged.object, report=packaged.report),
    )


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises ConfigError."""
    if name not in PROFILES:
        hint = "there are " + ", ".join(PROFILES)
        raise ConfigError(f"{name!r} is no profile", code="argument", where="--profile", hint=hint)
    return PROFILES[name]


def _merged(reports: Sequence[verifier.Report]) -> verifier.Report:
    """The first report, with what any of them finds; what is the same comes once."""
    found = dict.fromkeys(finding for report in reports for finding in report.findings)
    ordered = sorted(found, key=lambda finding: (finding.insn, finding.id))
    return replace(reports[0], findings=tuple(ordered))


def facts_of_loops(report: verifier.Report) -> str:
    """The loops for people: where they are, and their rounds where those are known."""
    shown = [
        f"#{loop.start}-#{loop.end}" + ("" if loop.rounds is None else f" ({loop.rounds} rounds)")
        for loop in report.loops
    ]
    return ", ".join(shown[:8]) + (f", +{len(shown) - 8} more" if len(shown) > 8 else "") or "none"


def places_of_helpers(judgement: Judgement) -> list[tuple[str, str, str]]:
    """Id, name (of the first profile) and calls of every helper: a table for people."""
    first = judgement.profiles[0] if judgement.profiles else UBPF.name
    names, report = profile_names(PROFILES[first]), judgement.report
    return [
        (f"0x{helper:02x}", names.get(helper, "?"), describe_at(slots[0]) + _more(slots))
        for helper, slots in report.helpers.items()
    ]


def _more(slots: Sequence[int]) -> str:
    return f", +{len(slots) - 1} more" if len(slots) > 1 else ""
