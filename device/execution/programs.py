"""From the bytes of an image to a program that may run: link, verify, know its helper calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from device.execution.access import Access, Lists, require_allowed
from device.execution.grants import Grant, Grants, RunLimits
from device.suit.capabilities import Capabilities
from device.vm import loader, verifier
from device.vm.debuginfo import line_table
from device.vm.profiles import UBPF, Profile, adapt
from device.vm.program import Layout, Program

_DEBUG_LINES: Final = b".debug_line"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program that may run: linked and verified.

    `calls` are the ids of the helpers it calls, with the instructions that do; `grant` is what its manifest
    lets it do; the times are microseconds.
    """

    program: Program
    calls: Mapping[int, tuple[int, ...]]
    grant: Grant
    load_us: int = 0
    verify_us: int = 0


class Checker:
    """The device's own decision about images: `default` are the helpers of those whose manifest has no list,
    None for all that there are.
    """

    def __init__(
        self, limits: RunLimits, profile: Profile = UBPF, default: Collection[int] | None = None
    ) -> None:
        self.limits = limits
        self.grants = Grants(limits, profile, default)

    def check(
        self,
        slot: int,
        image: bytes,
        capabilities: Capabilities | None = None,
        access: Access | None = None,
        declared: Layout | None = None,
    ) -> Prepared:
        """Link, verify, and check the helper calls against P and M, as at every deploy.

        `capabilities` are those of the signed manifest. `access` narrows by a list that came with the update
        (LoadTime), `declared` is the layout that the image must have. Raises LoadError, VerifyError with all
        findings, Unprocessable `helper-denied`.
        """
        grant = self.grants.of(slot, capabilities)
        begin = perf_counter()
        grant.require_layout(image)
        program = with_lines(
            loader.load(image, declared=declared, slot_size=self.limits.slot_size, ram_limit=self.limits.ram),
            image,
        )
        loaded = perf_counter()
        names = {number: helper.name for number, helper in grant.available.items()}
        report = verifier.verify(
            program, helpers=names, budget=grant.budget, frame_size=grant.stack, profile=grant.profile
        )
        verifier.require_accepted(report)
        lists = Lists.of(grant.available, grant.helpers, program.declared_helpers, access or Access())
        require_allowed(report.helpers, lists)
        return Prepared(
            program=adapt(program, grant.profile),
            calls=report.helpers,
            grant=grant,
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
