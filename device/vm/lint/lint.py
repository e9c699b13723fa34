"""The lint's table, and its rows applied to a program."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from device.vm.lint.calls import CALLS
from device.vm.lint.deviation import Deviation, Remark
from device.vm.lint.images import IMAGES
from device.vm.lint.instructions import INSTRUCTIONS
from device.vm.lint.subject import Subject
from device.vm.profiles import PROFILES
from device.vm.program import Program
from device.vm.verifier import Report

DEVIATIONS: Final[tuple[Deviation, ...]] = (*INSTRUCTIONS, *CALLS, *IMAGES)


def lint(
    program: Program, profiles: Collection[str], *, obj: bytes | None = None, report: Report | None = None
) -> tuple[Remark, ...]:
    """What the machines of `profiles` would do otherwise with a program, in the order of the table.

    `obj` is the object that the program was packaged from: it shows sections and relocations; `report` is
    the verifier's, where there is one already. Raises nothing, whatever the program; names that are no
    profile have no deviations.
    """
    subject = Subject.of(program, obj, report)
    remarks = []
    for row in DEVIATIONS:
        concerned = tuple(name for name in PROFILES if name in profiles and name in row.profiles)
        slots = row.finds(subject) if concerned else None
        if slots is not None:
            source = program.source_at(slots[0]) if slots else None
            remarks.append(Remark(row, concerned, tuple(slots), source))
    return tuple(remarks)
