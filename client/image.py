"""From a file to what goes into a slot: build, package, load and verify, with the device's own code.

`Packaged` is the value that everything after it works with. Nothing here needs a network.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from client.source import build_object
from client.steps import OnStep, ignore_step, timed
from device.errors import LoadError, VerifyError
from device.vm import loader, verifier
from device.vm.helpers import profile_helpers
from device.vm.profiles import UBPF, Profile
from device.vm.program import Layout, Program

_ELF: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Packaged:
    """An image as it is signed and stored, and what was found out on the way.

    `object` is the file it was made from: with debug information, symbols and all. It stays with the
    operator (client/debuginfo.py).
    """

    name: str
    image: bytes
    object: bytes
    program: Program
    report: verifier.Report

    @property
    def digest(self) -> bytes:
        """SHA-256 of the image."""
        return self.program.digest

    @property
    def tag(self) -> str:
        """The first 8 hex digits of the digest."""
        return self.program.tag

    def refusal(self) -> VerifyError:
        """The error that stands for a report that is not accepted."""
        try:
            verifier.require_accepted(self.report)
        except VerifyError as error:
            return error
        raise AssertionError("the program was accepted")


def package(content: bytes, layout: str | None = None) -> bytes:
    """The image of a file's content in a layout of settings.LAYOUTS.

    Without one an object is stripped of debug information, and what is no object is an image already. It
    also stays as it is when it has the layout that is asked for. Raises LoadError naming what cannot be
    carried.
    """
    wanted = None if layout is None else Layout(layout)
    if not content.startswith(_ELF) and wanted in (None, loader.detect_layout(content)):
        return content
    from device.vm.layouts.convert import Wish, convert

    return convert(content, Wish(wanted or Layout.ELF)).image


def prepare(
    path: Path,
    layout: str | None = None,
    *,
    allowed: Collection[int] | None = None,
    profile: Profile = UBPF,
    on_step: OnStep = ignore_step,
    built: bytes | None = None,
) -> Packaged:
    """Build (for a source), package, load and verify. `built` stands in for what building would give.

    A program that calls a helper outside `allowed` is refused (helpers.md section 9.2, ahead of time).
    Raises BuildError, AssemblyError, LoadError, VerifyError with every finding and its source line, and
    ConfigError for a file that cannot be read.
    """
    packaged = examine(path, layout, allowed=allowed, profile=profile, on_step=on_step, built=built)
    if not packaged.report.accepted:
        raise packaged.refusal()
    return packaged


def examine(
    path: Path,
    layout: str | None = None,
    *,
    allowed: Collection[int] | None = None,
    profile: Profile = UBPF,
    on_step: OnStep = ignore_step,
    built: bytes | None = None,
) -> Packaged:
    """The same as `prepare`, also for a program that the verifier refuses: its report says why.

    `allowed` narrows the helpers that the program may call under `profile`.
    """
    content = build_object(path, on_step=on_step) if built is None else built
    with timed(on_step, "package") as step:
        image = package(content, layout)
        program = load(image)
        step.detail, step.size = f"{layout_name(program.layout)}, tag {program.tag}", len(image)
    with timed(on_step, "verify") as step:
        names = profile_names(profile)
        report = verifier.verify(program, helpers=names, allowed=allowed, profile=profile)
        if report.findings:
            located = with_lines(program, content)
            report = verifier.verify(located, helpers=names, allowed=allowed, profile=profile)
        step.detail = f"{program.slots} slots, {len(report.findings)} findings"
    return Packaged(path.stem, image, content, program, report)


def load(image: bytes) -> Program:
    """The linked program of an image. Raises LoadError."""
    if not image:
        raise LoadError("the file is empty", code="load-short")
    return loader.load(image)


def profile_names(profile: Profile) -> dict[int, str]:
    """The helpers of a profile: id to name."""
    return {number: helper.name for number, helper in profile_helpers(profile).items()}


def with_lines(program: Program, built: bytes) -> Program:
    """The same program with the source lines that the object knows."""
    if not built.startswith(_ELF):
        return program
    from device.vm.debuginfo import line_table

    return replace(program, lines=line_table(built, slots=program.slots))


def layout_name(layout: Layout) -> str:
    """How people call a layout."""
    return layout.value
