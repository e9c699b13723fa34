"""The example programs: where they are on this machine, and what each is expected to do.

A wheel carries the `examples` folder inside this package; in a checkout it lies beside it. The header
`bpf/helpers.h` that sources include is in there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from device.errors import ConfigError

_PACKAGE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """A run and how it ends: with `r0` (signed) or with the fault of that name. None: anything goes."""

    r0: int | None = None
    fault: str | None = None
    output: str | None = None
    context: bytes | None = None
    region: bytes | None = None
    budget: int | None = None
    context_after: bytes | None = None
    global_after: Mapping[int, int] | None = None
    local_after: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Runs that begin with fresh memory and these stores, and share them."""

    name: str
    runs: tuple[ExpectedRun, ...]
    global_store: Mapping[int, int]
    local_store: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Example:
    """A program: its source, its committed object, the helpers it calls, whether it fits layout `text`."""

    name: str
    source: Path
    object: Path
    helpers: frozenset[int]
    text: bool
    cases: tuple[Case, ...]


def folder() -> Path:
    """The folder of the examples. Raises ConfigError when it is not there."""
    for place in (_PACKAGE / "_examples", _PACKAGE.parent / "examples"):
        if (place / "bpf" / "helpers.h").is_file():
            return place
    raise ConfigError("the examples are not installed", code="examples", hint="install the package again")


def load() -> dict[str, Example]:
    """All examples by name, in the order of `expected.toml`. Raises ConfigError when they are not there."""
    import tomllib

    home = folder()
    with (home / "expected.toml").open("rb") as file:
        listed = tomllib.load(file)
    return {name: _example(home, name, fields) for name, fields in listed.items()}


def _example(home: Path, name: str, fields: dict[str, Any]) -> Example:
    return Example(
        name=name,
        source=home / fields["source"],
        object=home / "objects" / f"{name}.o",
        helpers=frozenset(fields["helpers"]),
        text=fields.get("text", False),
        cases=tuple(_case(case) for case in fields.get("case", [fields])),
    )


def _case(fields: dict[str, Any]) -> Case:
    return Case(
        name=fields.get("name", ""),
        runs=tuple(_run(run) for run in fields["run"]),
        global_store=_store(fields.get("global", {})),
        local_store=_store(fields.get("local", {})),
    )


def _run(fields: dict[str, Any]) -> ExpectedRun:
    known: dict[str, Any] = dict(fields)
    for name in ("context", "region", "context_after"):
        if name in known:
            known[name] = bytes.fromhex(known[name])
    for name in ("global_after", "local_after"):
        if name in known:
            known[name] = _store(known[name])
    return ExpectedRun(**known)


def _store(fields: dict[str, int]) -> dict[int, int]:
    return {int(key): value for key, value in fields.items()}
