"""From the bytes of an image to a program that may run: link, verify, know its helper calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from device.vm import loader, verifier
from device.vm.helpers import Helper, profile_helpers
from device.vm.profiles import UBPF, Profile
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX, Program


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Settings of a device for its runs. Budgets are in instructions (programs.md section 5)."""

    budget_default: int = BUDGET_DEFAULT
    budget_max: int = BUDGET_MAX
    slot_size: int = 4096
    store_entries: int = 16

    def budget(self, requested: int | None) -> int:
        """The budget of a run: a request only lowers it."""
        return min(self.budget_max, self.budget_default, requested or BUDGET_MAX)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program that may run: linked and verified.

    `calls` are the ids of the helpers it calls, with the instructions that do; the times are microseconds.
    """

    program: Program
    calls: Mapping[int, tuple[int, ...]]
    load_us: int = 0
    verify_us: int = 0


class Checker:
    """The device's own decision about images.

    `helpers` is what its programs may call: P of helpers.md section 9.1.
    """

    def __init__(self, limits: RunLimits, profile: Profile = UBPF) -> None:
        self.limits = limits
        self.profile = profile
        self.helpers: dict[int, Helper] = profile_helpers(profile)

    def check(self, image: bytes) -> Prepared:
        """Link and verify. Raises LoadError, VerifyError with all findings."""
        begin = perf_counter()
        program = loader.load(image, slot_size=self.limits.slot_size)
        loaded = perf_counter()
        names = {number: helper.name for number, helper in self.helpers.items()}
        report = verifier.verify(program, helpers=names, budget=self.limits.budget_default)
        verifier.require_accepted(report)
        return Prepared(
            program=program,
            calls=report.helpers,
            load_us=_us(loaded - begin),
            verify_us=_us(perf_counter() - loaded),
        )


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
