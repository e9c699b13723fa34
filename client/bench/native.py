"""Native code beside the kernels: what C becomes without a virtual machine, kept in the repository.

The files are linked to where they run (benchmarks/native_kernels.py builds them), so that placing them is
all that loading takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from struct import Struct, error
from typing import Final

from client.bench.kernels import folder
from device.errors import ConfigError
from device.jit.layout import CODE_BASE
from device.vm.memory import RODATA_BASE

COMPILERS: Final = ("gcc", "clang")
LEVELS: Final = ("O2", "Os")

_HEADER: Final = Struct("<4sBB10xHHIIII6xHH")
_SEGMENT: Final = Struct("<8I")
_LITTLE_32: Final = (b"\x7fELF", 1, 1)
_ARM: Final = 40
_LOADED: Final = 1


@dataclass(frozen=True, slots=True)
class Native:
    """Code for CODE_BASE and constants for RODATA_BASE; `entry` is what to call, with the T bit."""

    compiler: str
    level: str
    text: bytes
    rodata: bytes
    entry: int

    @property
    def size(self) -> int:
        """Bytes of code and constants."""
        return len(self.text) + len(self.rodata)


def load(kernel: str, compiler: str, level: str) -> Native:
    """The native code of a kernel. Raises ConfigError when it is missing or damaged."""
    return _read(folder() / "native" / f"{compiler}-{level}" / f"{kernel}.elf", compiler, level)


def program(name: str, compiler: str) -> Native:
    """The native code of one of the published programs, built for size. Raises ConfigError."""
    return _read(folder() / "native" / "programs" / f"{compiler}-Os" / f"{name}.elf", compiler, "Os")


def _read(path: Path, compiler: str, level: str) -> Native:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ConfigError(f"cannot read {path}: {problem.strerror}", code="file", where=str(path)) from None
    try:
        entry, parts = _segments(content)
    except error:
        raise ConfigError(f"{path} is damaged", code="native", where=str(path)) from None
    if not parts.keys() <= {CODE_BASE, RODATA_BASE} or CODE_BASE not in parts:
        raise ConfigError(f"{path} is not linked for the machine", code="native", where=str(path))
    return Native(compiler, level, parts[CODE_BASE], parts.get(RODATA_BASE, b""), entry)


def _segments(content: bytes) -> tuple[int, dict[int, bytes]]:
    """The entry, and what is to be loaded by address; nothing of what is no executable for Arm."""
    magic, width, order, _, machine, _, entry, headers, _, size, count = _HEADER.unpack_from(content)
    if (magic, width, order) != _LITTLE_32 or machine != _ARM or size != _SEGMENT.size:
        return entry, {}
    found: dict[int, bytes] = {}
    for number in range(count):
        kind, offset, address, _, length, *_ = _SEGMENT.unpack_from(content, headers + number * size)
        if kind == _LOADED and length:
            found[address] = content[offset : offset + length]
    return entry, found
