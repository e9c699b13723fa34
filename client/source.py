"""From a file that people write to an object; light, so that a compiler can start before all else."""

from __future__ import annotations

from pathlib import Path

from client.build import SOURCE_SUFFIXES, compile_source
from client.steps import Note, OnStep, ignore_note, ignore_step, timed
from device.errors import ConfigError


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
    with timed(on_step, "build") as step:
        built = compile_source(path, cpu=cpu)
        step.detail, step.size = f"{path.name}, {built.compiler}", len(built.object)
    if built.warnings:
        on_note(built.warnings)
    return built.object
