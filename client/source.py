"""From a file that people write to an object; light, so that a compiler can start before all else."""

from __future__ import annotations

from pathlib import Path

from client.build import SOURCE_SUFFIXES, compile_source
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.errors import BuildError, ConfigError


def is_source(path: Path) -> bool:
    """Whether a file has to be built first: C, C++ or assembler text, by its suffix."""
    return path.suffix.lower() in SOURCE_SUFFIXES


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises ConfigError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", code="file", where=str(path)
        ) from error


def build_file(
    path: Path, to: Path, *, cpu: str = "v3", on_step: OnStep = ignore_step, on_note: Note = ignore_note
) -> int:
    """Build a source into the file `to`, whole or not at all; the object's size. Warnings are a note.

    Raises BuildError, and ConfigError for what is no source or cannot be written.
    """
    if is_source(path) and to.exists() and to.samefile(path):
        raise ConfigError(
            f"{to} is the source itself", code="build-output", where=str(to), hint="name another file"
        )
    try:
        built = _compiled(path, cpu, to, on_step, on_note)
    except BuildError as error:
        if error.code == "build-output" or not is_source(path):
            raise ConfigError(error.detail, code=error.code, where=error.where, hint=error.hint) from error
        raise
    return len(built)


def build_object(
    path: Path, *, cpu: str = "v3", on_step: OnStep = ignore_step, on_note: Note = ignore_note
) -> bytes:
    """The object of a source, or the bytes of anything else. The compiler's warnings are a note.

    Raises BuildError, ConfigError.
    """
    if not is_source(path):
        with timed(on_step, "read") as step:
            content = read_file(path)
            step.detail, step.size = path.name, len(content)
        return content
    return _compiled(path, cpu, None, on_step, on_note)


def _compiled(path: Path, cpu: str, to: Path | None, on_step: OnStep, on_note: Note) -> bytes:
    with timed(on_step, "build") as step:
        built = compile_source(path, to=to, cpu=cpu)
        step.detail, step.size = f"{path.name}, {built.compiler}", len(built.object)
    if built.warnings:
        on_note(built.warnings)
    return built.object
