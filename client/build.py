"""From source text to an eBPF object: C and C++ by clang, assembler text by our own assembler.

The compiler is `clang` from the path when it has the BPF target and knows the CPU level, else the clang
inside the `ziglang` wheel. Nothing is asked of a compiler beforehand: every extra process costs as much as
compiling, so the next one is tried when the first says that it cannot.

Objects are reproducible, wherever the source lies and whoever builds it: paths in them are relative to
the source and to our headers. That takes two tricks. Only names that are relative when the compiler sees
them get its compilation directory in front, so it sees no other; and this directory does not exist, or
.BTF would hold the lines of the sources that happen to be found from where the compiler runs.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from client.examples import folder
from device.errors import AssemblyError, BuildError

CPU_LEVELS: Final = ("v1", "v2", "v3", "v4")
C_SUFFIXES: Final = frozenset({".c"})
CPP_SUFFIXES: Final = frozenset({".cpp", ".cc", ".cxx"})
ASSEMBLER_SUFFIXES: Final = frozenset({".s"})
SOURCE_SUFFIXES: Final = C_SUFFIXES | CPP_SUFFIXES | ASSEMBLER_SUFFIXES

INSTALL_HINT: Final = "pip install 'micro-bpf-fleet[compiler]'"

_FLAGS: Final = (
    "--target=bpfel",
    "-O2",
    "-Wall",
    "-fno-crash-diagnostics",  # a compiler that crashes leaves no files behind, and says less
    "-ffreestanding",  # there is no C library: loops stay loops, and <stdint.h> is the compiler's own
    "-nostdlibinc",  # the host's headers describe another machine
    "-fno-jump-tables",  # from clang 22 on, switches become jumps by register, which no target takes
    "-fdebug-compilation-dir=/bpf-source",
)
_CPP_FLAGS: Final = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-use-cxa-atexit")
# The debug information asked for, and what is asked for next after a crash: clang 22 crashes over the full
# one where a C++ struct has a method. With each level goes what to say of an object that has no more.
_DEBUG_LEVELS: Final = {
    "-g": "",
    "-gline-tables-only": "with source lines, without types",
    "-g0": "without debug information: faults will not name source lines",
}
_SIGNALLED: Final = 128  # clang's driver and shells add this to the number of the signal
_INCAPABLE: Final = re.compile(
    rb"No available targets are compatible|unknown target triple|unknown target CPU|unable to create target"
)
_PRODUCER: Final = re.compile(rb"clang version (\d+(?:\.\d+)*)")
_PLACE: Final = re.compile(r"^(\S.*?:\d+):\d+: (?:fatal )?error: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """An object, who made it (`clang 22.1.8 (ziglang)`), in what time, and the warnings as they came."""

    object: bytes
    compiler: str
    seconds: float
    warnings: str = ""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A clang: where it comes from, its command, and the folder of its own headers if it needs telling."""

    origin: str
    command: tuple[str, ...]
    resources: Path | None = None

    def flags(self) -> list[str]:
        """What only this compiler needs."""
        if self.resources is None:
            return []
        return ["-resource-dir", str(self.resources), f"-ffile-prefix-map={self.resources}=clang"]


def compilers() -> tuple[Compiler, ...]:
    """The compilers at hand, in the order in which they are tried."""
    clang = shutil.which("clang")
    found = [Compiler("path", (clang,))] if clang else []
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        zig = home / ("zig.exe" if sys.platform == "win32" else "zig")
        if zig.exists():
            found.append(Compiler("ziglang", (str(zig), "clang"), home / "lib"))
    return tuple(found)


def producer(built: bytes) -> str:
    """The compiler that an object says it came from, such as `clang 22.1.8`; empty when it does not say."""
    version = _PRODUCER.search(built)
    return f"clang {version[1].decode()}" if version else ""


def compile_source(
    path: Path,
    *,
    to: Path | None = None,
    cpu: str = "v3",
    flags: Sequence[str] = (),
    using: Sequence[Compiler] | None = None,
) -> BuildResult:
    """Build the object of a source and, with `to`, write it there in one step.

    `flags` are added behind our own; `using` stands in for the compilers at hand. Raises BuildError:
    its detail is the compiler's own text, its `where` the first place that text complains about.
    """
    start = perf_counter()
    suffix = path.suffix.lower()
    if cpu not in CPU_LEVELS:
        raise BuildError(
            f"unknown CPU level {cpu!r}", code="build-cpu", hint="one of " + ", ".join(CPU_LEVELS)
        )
    if not path.is_file():
        raise BuildError(f"no such source file: {path}", code="build-source", where=str(path))
    if suffix in SOURCE_SUFFIXES and path.stat().st_size == 0:
        raise BuildError(f"{path.name} is empty", code="build-source", where=str(path))
    if suffix in ASSEMBLER_SUFFIXES:
        built, maker, warnings = _assemble(path), "assembler", ""
    elif suffix in SOURCE_SUFFIXES:
        built, maker, warnings = _compile(path, cpu, flags, compilers() if using is None else using)
    else:
        raise BuildError(
            f"{path.name} is no source that can be built",
            code="build-source",
            where=str(path),
            hint="sources end in " + ", ".join(sorted(SOURCE_SUFFIXES)),
        )
    if to is not None:
        _write(to, built)
    return BuildResult(built, maker, perf_counter() - start, warnings)


def _compile(path: Path, cpu: str, flags: Sequence[str], found: Sequence[Compiler]) -> tuple[bytes, str, str]:
    refusal = ""
    for compiler in found:
        try:
            done, level = _run(compiler, path, cpu, flags)
        except OSError as error:
            refusal = f"cannot start {compiler.command[0]}: {error.strerror or error}"
            continue
        text = _as_given(done.stderr.decode("utf-8", "replace").strip(), path)
        if done.returncode == 0 and done.stdout:
            maker = _maker(compiler, done.stdout)
            crash = _DEBUG_LEVELS[level] and f"{path}: warning: {maker} crashed: built {_DEBUG_LEVELS[level]}"
            return done.stdout, maker, "\n".join(filter(None, (crash, text)))
        if not _INCAPABLE.search(done.stderr):
            raise _refused(path, text or f"{compiler.command[0]} ended with code {done.returncode}")
        refusal = text
    if refusal:
        raise BuildError(refusal, code="build-compiler", where=str(path), hint=INSTALL_HINT)
    raise BuildError(
        "no compiler: neither clang on the path nor the ziglang package",
        code="build-compiler",
        where=str(path),
        hint=INSTALL_HINT,
    )


def _run(
    compiler: Compiler, path: Path, cpu: str, flags: Sequence[str]
) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """Start a compiler, again after a crash; what came of it, and the level of debug information it had."""
    for level in _DEBUG_LEVELS:
        told = [level, *flags] if level == "-g" else [*flags, level]
        done = subprocess.run(_command(compiler, path, cpu, told), capture_output=True, check=False)
        if not _crashed(done):
            break
    return done, level


def _crashed(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether a signal ended the compiler, or the part of it that the driver starts."""
    return done.returncode < 0 or done.returncode > _SIGNALLED or b"failed due to signal" in done.stderr


def _command(compiler: Compiler, path: Path, cpu: str, flags: Sequence[str]) -> list[str]:
    command = [*compiler.command, *_FLAGS, f"-mcpu={cpu}", *compiler.flags()]
    if path.suffix.lower() in CPP_SUFFIXES:
        command += _CPP_FLAGS
    headers, source = Path(os.path.relpath(folder())), Path(os.path.relpath(path))
    command += ["-I", str(headers), _nameless(headers)]
    if source.parent != Path():
        command.append(_nameless(source.parent))
    name = f".{os.sep}{source}" if str(source).startswith("-") else str(source)
    return [*command, *flags, "-c", "-o", "-", name]


def _nameless(directory: Path) -> str:
    """The flag that takes a directory off the names of the files in it."""
    return f"-ffile-prefix-map={directory}{os.sep}="


def _as_given(text: str, path: Path) -> str:
    """The compiler's text with the name of the source as the caller wrote it."""
    seen = re.escape(os.path.relpath(path))
    return re.sub(rf"(?m)(?:^|(?<= )){seen}(?=:\d)", lambda _: str(path), text)


def _refused(path: Path, text: str) -> BuildError:
    place = _PLACE.search(text)
    return BuildError(text, where=place[1] if place else str(path))


def _maker(compiler: Compiler, built: bytes) -> str:
    name = producer(built) or "clang"
    return name if compiler.origin == "path" else f"{name} ({compiler.origin})"


def _assemble(path: Path) -> bytes:
    from device.vm.asm import assemble_functions
    from device.vm.helpers import HELPERS
    from device.vm.writer import object_from_text

    try:
        source = path.read_text(encoding="utf-8")
        names = {helper.name: number for number, helper in HELPERS.items()}
        made = assemble_functions(source, helpers=names)
    except UnicodeDecodeError as error:
        raise BuildError(f"{path.name} is not UTF-8 text", code="build-source", where=str(path)) from error
    except AssemblyError as error:
        place = f"{path}:{error.where}" if error.where else str(path)
        raise BuildError(f"{place}: {error.detail}", code=error.code, where=place, hint=error.hint) from error
    return object_from_text(made.text, name=path.stem, functions=made.functions)


def _write(to: Path, content: bytes) -> None:
    """Write a file so that others see the old one or the whole new one; a device or pipe as it is."""
    partial = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    try:
        if to.exists() and not to.is_file():
            to.write_bytes(content)
            return
        with partial.open("xb") as stream:
            stream.write(content)
        partial.replace(to)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BuildError(
            f"cannot write {to}: {error.strerror or error}", code="build-output", where=str(to)
        ) from error
