"""From the bytes of an image to a program that may run: link, verify, know its helper calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from device.execution.access import Access, Lists, require_allowed
from device.vm import loader, verifier
from device.vm.debuginfo import line_table
from device.vm.helpers import Helper, profile_helpers
from device.vm.profiles import UBPF, Profile, adapt
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX, Layout, Program

_DEBUG_LINES: Final = b".debug_line"


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Settings of a device for its runs. Budgets are in instructions (programs.md section 5).

    `ram` are the bytes of a program's .data and .bss; `branches` replaces the profile's bound on taken
    jumps; 0 is none.
    """

    budget_default: int = BUDGET_DEFAULT
    budget_max: int = BUDGET_MAX
    slot_size: int = 4096
    store_entries: int = 16
    ram: int = loader.RAM_LIMIT
    branches: int | None = None

    def budget(self, requested: int | None) -> int:
        """The budget of a run: a request only lowers it."""
        return min(self.budget_max, self.budget_default, requested or BUDGET_MAX)

    def profile(self, profile: Profile) -> Profile:
        """The profile with the device's own bound on taken jumps."""
        if self.branches is None:
            return profile
        return replace(profile, rules=replace(profile.rules, branch_limit=self.branches or None))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program that may run: linked and verified.

    `calls` are the ids of the helpers it calls, with the instructions that do; `granted` is the list of the
    signed manifest, None when it has none; the times are microseconds.
    """

    program: Program
    calls: Mapping[int, tuple[int, ...]]
    granted: frozenset[int] | None = None
    load_us: int = 0
    verify_us: int = 0


class Checker:
    """The device's own decision about images.

    `helpers` is what its programs may call: P of helpers.md section 9.1. `default` is what those may whose
    manifest has no list, None for all.
    """

    def __init__(
        self, limits: RunLimits, profile: Profile = UBPF, default: Collection[int] | None = None
    ) -> None:
        self.limits = limits
        self.profile = limits.profile(profile)
        self.helpers: dict[int, Helper] = profile_helpers(profile)
        self.default = None if default is None else frozenset(default)

    def granted(self, prepared: Prepared) -> frozenset[int] | None:
        """The list of the signed manifest, or the device's default: M."""
        return self.default if prepared.granted is None else prepared.granted

    def check(
        self,
        image: bytes,
        granted: Collection[int] | None = None,
        access: Access | None = None,
        declared: Layout | None = None,
    ) -> Prepared:
        """Link, verify, and check the helper calls against P and M, as at every deploy.

        `access` narrows by a list that came with the update (LoadTime), `declared` is the layout that the
        image must have. Raises LoadError, VerifyError with all findings, Unprocessable `helper-denied`.
        """
        begin = perf_counter()
        program = with_lines(
            loader.load(image, declared=declared, slot_size=self.limits.slot_size, ram_limit=self.limits.ram),
            image,
        )
        loaded = perf_counter()
        names = {number: helper.name for number, helper in self.helpers.items()}
        report = verifier.verify(
            program, helpers=names, budget=self.limits.budget_default, profile=self.profile
        )
        verifier.require_accepted(report)
        signed = self.default if granted is None else frozenset(granted)
        lists = Lists.of(self.helpers, signed, program.declared_helpers, access or Access())
        require_allowed(report.helpers, lists)
        return Prepared(
            program=adapt(program, self.profile),
            calls=report.helpers,
            granted=None if granted is None else frozenset(granted),
            load_us=_us(loaded - begin),
            verify_us=_us(perf_counter() - loaded),
        )


def with_lines(program: Program, image: bytes) -> Program:
    """The program with its source lines, where the image is an object that was deployed unstripped."""
    if program.layout is not Layout.ELF or _DEBUG_LINES not in image:
        return program
    return replace(program, lines=line_table(image))


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
