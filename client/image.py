"""From a file to what goes into a slot: build, package, load and verify, with the device's own code.

`Packaged` is the value that everything after it works with. Nothing here needs a network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from client.steps import OnStep, ignore_step, timed
from device.errors import ConfigError, LoadError
from device.vm import loader, verifier
from device.vm.helpers import profile_helpers
from device.vm.isa import SLOT_SIZE
from device.vm.profiles import UBPF
from device.vm.program import Layout, Program

LAYOUTS: Final = {"elf": Layout.ELF, "text": Layout.TEXT}
"""Layouts that the writers of this version make, by the names of programs.md section 2."""

_C_SOURCES: Final = frozenset({".c", ".cpp", ".cc", ".cxx"})
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

    @property
    def has_debug(self) -> bool:
        """Whether the object says more than the image."""
        return self.object != self.image


def is_source(path: Path) -> bool:
    """Whether a file has to be built first: C, C++ or assembler text, by its suffix."""
    return path.suffix.lower() in _C_SOURCES or path.suffix == ".s"


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises ConfigError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", code="file", where=str(path)
        ) from error


def build_object(path: Path, *, on_step: OnStep = ignore_step) -> bytes:
    """The object of a source, or the bytes of anything else.

    Raises BuildError, AssemblyError, ConfigError.
    """
    if not is_source(path):
        with timed(on_step, "read") as step:
            content = read_file(path)
            step.detail, step.size = path.name, len(content)
        return content
    from client.build import compile_source

    with timed(on_step, "build") as step:
        read_file(path)
        built = compile_source(path)
        step.detail, step.size = f"{path.name}, {built.compiler}", len(built.object)
    return built.object


def package(content: bytes, layout: Layout | None = None) -> bytes:
    """The image of an object in `layout`, ELF without debug information by default.

    Bytes that are no object are an image already; ConfigError when another layout is asked for.
    Raises LoadError for an object that cannot be packaged.
    """
    if not content.startswith(_ELF):
        if layout is Layout.ELF:
            raise ConfigError(
                "the file is no ELF object, it cannot become one", code="layout", hint="leave --layout out"
            )
        return content
    from device.vm import writer

    return writer.write_text(content) if layout is Layout.TEXT else writer.strip_object(content)


def prepare(
    path: Path, layout: Layout | None = None, *, on_step: OnStep = ignore_step, content: bytes | None = None
) -> Packaged:
    """Build (for a source), package, load and verify. `content` stands in for what building would give.

    Raises BuildError, AssemblyError, LoadError, VerifyError with every finding and its source line, and
    ConfigError for a file that cannot be read.
    """
    built = build_object(path, on_step=on_step) if content is None else content
    with timed(on_step, "package") as step:
        image = package(built, layout)
        program = load(image)
        step.detail, step.size = f"{layout_name(program.layout)}, tag {program.tag}", len(image)
    with timed(on_step, "verify") as step:
        report = verify(program, built)
        step.detail = f"{program.slots} slots, {len(report.findings)} warnings"
    return Packaged(path.stem, image, built, program, report)


def load(image: bytes) -> Program:
    """The linked program of an image. Raises LoadError."""
    if not image:
        raise LoadError("the file is empty", code="load-short")
    return loader.load(image)


def verify(program: Program, built: bytes) -> verifier.Report:
    """Judge a program as a device would. Raises VerifyError, with source lines where `built` has them."""
    report = verifier.verify(program, helpers=helper_ids())
    if not report.accepted:
        report = verifier.verify(with_lines(program, built), helpers=helper_ids())
    verifier.require_accepted(report)
    return report


def helper_ids() -> frozenset[int]:
    """The helpers of the profile that slots run under."""
    return frozenset(profile_helpers(UBPF))


def with_lines(program: Program, built: bytes) -> Program:
    """The same program with the source lines that the object knows."""
    if not built.startswith(_ELF):
        return program
    from device.vm.debuginfo import line_table

    return replace(program, lines=line_table(built))


def layout_name(layout: Layout) -> str:
    """How people call a layout."""
    return layout.name.lower()


def facts(packaged: Packaged) -> dict[str, Any]:
    """What JSON shows of an image."""
    return {
        "name": packaged.name,
        "layout": layout_name(packaged.program.layout),
        "size": len(packaged.image),
        "slots": len(packaged.program.text) // SLOT_SIZE,
        "digest": hashlib.sha256(packaged.image).hexdigest(),
        "tag": packaged.tag,
    }
