"""The kernels: small programs that do one thing, with inputs of several lengths, and their results.

Sources, objects and the table of inputs are in `benchmarks/kernels`; a wheel carries the folder inside this
package.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from device.errors import ConfigError
from device.vm import loader
from device.vm.isa import Form, walk
from device.vm.program import Program

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE / "_kernels", _PACKAGE.parent / "benchmarks" / "kernels")
_TABLE: Final = "kernels.toml"

_SEED: Final = 9669
_TEXT: Final = b"alpha 12 beta_3 + 456; if (gamma7 < 89) { delta = omega * 1024 - 7; } "


@dataclass(frozen=True, slots=True)
class Kernel:
    """A program with one of its inputs. r1 and r2 are the context and its length, r0 is `expected`."""

    name: str
    about: str
    program: Program
    context: bytes
    expected: int

    @property
    def bytes(self) -> int:
        """Length of the input."""
        return len(self.context)

    @property
    def length(self) -> int:
        """Instructions of the program."""
        return sum(1 for _ in walk(self.program.text))

    @property
    def calls_helpers(self) -> bool:
        """Whether most of the time is spent in helpers, which are the same for every engine."""
        return any(one is not None and one.op.form is Form.CALL_HELPER for _, one in walk(self.program.text))


def folder() -> Path:
    """Where the kernels are. Raises ConfigError when they are nowhere."""
    for place in _PLACES:
        if (place / _TABLE).is_file():
            return place
    raise ConfigError("the kernels are missing", code="kernels", where=str(_PLACES[-1]))


def load() -> list[Kernel]:
    """All kernels with all inputs, in the order of the table. Raises ConfigError, LoadError."""
    home = folder()
    table = tomllib.loads((home / _TABLE).read_text(encoding="utf-8"))
    return [kernel for entry in table["kernel"] for kernel in _kernels(entry)]


def choose(names: Collection[str]) -> list[Kernel]:
    """The kernels of these names, all without any. Raises ConfigError for a name that is none."""
    found = load()
    known = dict.fromkeys(kernel.name for kernel in found)
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no kernel {name}", code="kernel", hint="known: " + ", ".join(known))
    return [kernel for kernel in found if not names or kernel.name in names]


def program(name: str) -> Program:
    """The program of an object in the folder. Raises ConfigError, LoadError."""
    return loader.load(image(name))


def image(name: str) -> bytes:
    """An object in the folder. Raises ConfigError."""
    path = folder() / "objects" / f"{name}.o"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="file", where=str(path)) from error


def _kernels(entry: Mapping[str, Any]) -> list[Kernel]:
    linked = program(entry["name"])
    return [
        Kernel(entry["name"], entry["about"], linked, _context(given), int(str(given["expected"]), 0))
        for given in entry["inputs"]
    ]


def _context(given: Mapping[str, Any]) -> bytes:
    content = bytearray(CONTENTS[given["content"]](given["bytes"]))
    for place, patch in given.get("patches", ()):
        content[place : place + len(patch) // 2] = bytes.fromhex(patch)
    return bytes(content)


def pattern(length: int) -> bytes:
    """The test text of the checksums (programs.md section 8)."""
    return bytes(48 + 7 * i % 75 for i in range(length))


def noise(length: int) -> bytes:
    """Random bytes, always the same."""
    return random.Random(_SEED).randbytes(length)  # noqa: S311  # nothing is kept secret with them


def text(length: int) -> bytes:
    """Words, numbers and marks."""
    return (_TEXT * (length // len(_TEXT) + 1))[:length]


CONTENTS: Final = {"pattern": pattern, "noise": noise, "text": text}
