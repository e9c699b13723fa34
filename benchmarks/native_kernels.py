"""Native code of the kernels and of the ten published programs, for a Cortex-M4: builds it, or compares.

    .venv/bin/python benchmarks/native_kernels.py [--check]

Compiled once with -O2 and -Os by clang (the `ziglang` wheel) and by GCC (`arm-none-eabi-gcc` on the path,
Debian's package gcc-arm-none-eabi); what comes out is kept in benchmarks/kernels/native, so that measuring
needs neither. `--check` builds again with the compilers at hand, of the versions that are written in
compilers.toml, and says what differs. Native code of a kernel is linked to where the machine has its code
(link.ld); 64-bit divisions come from the compiler's own run-time library.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

ROOT: Final = Path(__file__).resolve().parent.parent
KERNELS: Final = ROOT / "benchmarks" / "kernels"
HOME: Final = KERNELS / "native"
VERSIONS: Final = HOME / "compilers.toml"
LEVELS: Final = ("O2", "Os")
ASKING: Final = frozenset({"average", "helper_calls"})
"""Kernels that call helpers: these run on the guest's stack, where helpers may write."""

DIVIDING: Final = frozenset({"divide"})
"""Kernels that need clang's run-time library, which takes seconds to build."""

PROGRAMS: Final = {
    "bpf_fetch": "helpers/bpf_fetch.c",
    "bpf_store": "helpers/bpf_store.c",
    "bpf_strlen": "helpers/bpf_strlen.c",
    "bpf_fmt_s16_dfp": "helpers/bpf_fmt_s16_dfp.c",
    "bpf_fmt_u32_dec": "helpers/bpf_fmt_u32_dec.c",
    "printf": "helpers/printf.c",
    "inlined_calls": "calls/inlined_calls.c",
    "fletcher16_320": "checksums/fletcher16_320.c",
    "sensor_processing": "board/sensor_processing.c",
    "sensor_processing_from_storage": "stores/sensor_processing_from_storage.c",
}
"""The programs whose sizes were published, as they are among the examples."""

FLAGS: Final = ("-ffreestanding", "-fomit-frame-pointer", "-fno-unwind-tables", "-ffunction-sections")


class Toolchain(Protocol):
    """A compiler with its linker."""

    name: str

    def version(self) -> str:
        """What it calls itself."""

    def compile(self, source: Path, to: Path, flags: Sequence[str]) -> None:
        """An object of a C source or of assembler text."""

    def link(self, objects: Sequence[Path], entry: str, to: Path, scratch: Path, /) -> None:
        """What runs, with what it needs of the run-time library."""


def run(*command: str | Path) -> str:
    """Run a command; what it printed. Ends the script when the command fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stderr}")
    return done.stdout


def link_flags(entry: str) -> list[str]:
    """What both linkers are told."""
    return [
        "--gc-sections",
        "--strip-all",
        "--nmagic",
        "--build-id=none",
        "-T",
        str(HOME / "link.ld"),
        "-e",
        entry,
    ]


@dataclass(frozen=True, slots=True)
class Clang:
    """The clang, linker and run-time library of the `ziglang` wheel."""

    home: Path
    name: str = "clang"

    @property
    def _zig(self) -> Path:
        return self.home / "zig"

    def version(self) -> str:
        """See Toolchain."""
        return run(self._zig, "clang", "--version").splitlines()[0].split(" (")[0]

    def compile(self, source: Path, to: Path, flags: Sequence[str]) -> None:
        """See Toolchain."""
        target = ["--target=thumbv7em-none-eabi", "-mcpu=cortex-m4", "-mfloat-abi=soft"]
        headers = ["-resource-dir", str(self.home / "lib")]
        run(self._zig, "clang", *target, *headers, *flags, "-c", source, "-o", to)

    def link(self, objects: Sequence[Path], entry: str, to: Path, scratch: Path) -> None:
        """See Toolchain."""
        libraries = [scratch / "compiler_rt.o"] if to.stem in DIVIDING else []
        if libraries and not libraries[0].exists():
            target = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-OReleaseFast", "-fstrip"]
            source = self.home / "lib" / "compiler_rt.zig"
            run(self._zig, "build-obj", source, *target, "-ffunction-sections", f"-femit-bin={libraries[0]}")
        run(self._zig, "ld.lld", *link_flags(entry), *objects, *libraries, "-o", to)


@dataclass(frozen=True, slots=True)
class Gcc:
    """GCC for bare Arm, with binutils and libgcc."""

    command: str
    name: str = "gcc"

    def version(self) -> str:
        """See Toolchain."""
        return f"gcc {run(self.command, '-dumpfullversion').strip()}"

    def compile(self, source: Path, to: Path, flags: Sequence[str]) -> None:
        """See Toolchain."""
        run(self.command, "-mcpu=cortex-m4", "-mthumb", *flags, "-c", source, "-o", to)

    def link(self, objects: Sequence[Path], entry: str, to: Path, _scratch: Path) -> None:
        """See Toolchain."""
        flags = [f"-Wl,{flag}" for flag in link_flags(entry)]
        run(self.command, "-mcpu=cortex-m4", "-mthumb", "-nostdlib", *flags, *objects, "-lgcc", "-o", to)


def toolchains() -> list[Toolchain]:
    """Those at hand."""
    found: list[Toolchain] = []
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        found.append(Clang(Path(spec.origin).parent))
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc:
        found.append(Gcc(gcc))
    return found


def build(toolchain: Toolchain, scratch: Path, only: Collection[str] = ()) -> dict[str, bytes]:
    """Everything by one compiler, or only these kernels and programs: files by their names below HOME."""
    built = {}
    for level in LEVELS:
        for source in sorted(KERNELS.glob("*.c")):
            if only and source.stem not in only:
                continue
            flags = [f"-{level}", *FLAGS, "-I", str(HOME)]
            asking = source.stem in ASKING
            if asking:
                flags.append(f"-D{source.stem}=kernel")
            name = f"{toolchain.name}-{level}/{source.stem}.elf"
            entry = "on_guest_stack" if asking else source.stem
            extra = [HOME / "calls.s"] if asking else []
            built[name] = _built(toolchain, [source, *extra], flags, entry, scratch)
    for program, place in PROGRAMS.items():
        if only and program not in only:
            continue
        flags = ["-Os", *FLAGS, "-I", str(ROOT / "examples"), "-Wno-unknown-pragmas"]
        source = ROOT / "examples" / place
        built[f"programs/{toolchain.name}-Os/{program}.elf"] = _built(
            toolchain, [source], flags, _first_function(source), scratch
        )
    return built


def _built(
    toolchain: Toolchain, sources: Sequence[Path], flags: Sequence[str], entry: str, scratch: Path
) -> bytes:
    objects = [scratch / f"{source.stem}.o" for source in sources]
    for source, to in zip(sources, objects, strict=True):
        toolchain.compile(source, to, flags)
    linked = scratch / f"{sources[0].stem}.elf"
    toolchain.link(objects, entry, linked, scratch)
    return linked.read_bytes()


def _first_function(source: Path) -> str:
    """The function that an example begins at: the only one that is not static."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("int64_t "):
            return line.removeprefix("int64_t ").partition("(")[0]
    sys.exit(f"{source}: no function to begin at")


def known_versions() -> dict[str, str]:
    """The versions that the kept files were built with."""
    return tomllib.loads(VERSIONS.read_text(encoding="utf-8")) if VERSIONS.exists() else {}


def differences(toolchain: Toolchain, scratch: Path, only: Collection[str] = ()) -> list[str]:
    """The kept files, or of these kernels and programs only, that are not what this compiler makes."""
    return [
        name
        for name, content in build(toolchain, scratch, only).items()
        if not (HOME / name).is_file() or (HOME / name).read_bytes() != content
    ]


def main() -> int:
    """Build all, or compare all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is kept, and write nothing")
    check = parser.parse_args().check
    versions, wrong = known_versions(), 0
    for toolchain in toolchains():
        version = toolchain.version()
        with tempfile.TemporaryDirectory() as scratch:
            if not check:
                for name, content in build(toolchain, Path(scratch)).items():
                    (HOME / name).parent.mkdir(parents=True, exist_ok=True)
                    (HOME / name).write_bytes(content)
                versions[toolchain.name] = version
            elif versions.get(toolchain.name) != version:
                print(f"{version} is not {versions.get(toolchain.name)}: not compared")
                continue
            else:
                found = differences(toolchain, Path(scratch))
                wrong += len(found)
                print(f"{version}:", ", ".join(found) or "all as kept")
    if not check:
        lines = [f'{name} = "{version}"\n' for name, version in sorted(versions.items())]
        VERSIONS.write_text("".join(lines), encoding="utf-8")
        print("".join(lines), end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
