"""The public eBPF conformance suite as data: beside the repository, or where MICROBPF_CONFORMANCE says."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device.vm.isa import Group

FOLDER = Path(os.environ.get("MICROBPF_CONFORMANCE") or Path(__file__).parents[3] / "shared" / "conformance")
FILE = FOLDER / "bpf_conformance.json"


@dataclass(frozen=True)
class Vector:
    """A program and what has to come of it; `r0` is None where it has to be refused."""

    name: str
    groups: frozenset[str]
    program: bytes
    memory: bytes
    helpers: tuple[int, ...]
    r0: int | None
    memory_after: bytes | None
    refusal: str | None

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Vector:
        expect = entry["expect"]
        after = expect.get("mem_after_hex")
        return cls(
            name=entry["name"],
            groups=frozenset(entry["groups"]),
            program=bytes.fromhex(entry["program"]),
            memory=bytes.fromhex(entry["memory"]),
            helpers=tuple(entry.get("helpers", ())),
            r0=int(expect["r0"], 16) if "r0" in expect else None,
            memory_after=None if after is None else bytes.fromhex(after),
            refusal=expect.get("error"),
        )

    @property
    def applies(self) -> bool:
        """Whether all its groups are those of our instruction table."""
        return self.groups <= set(Group)


VECTORS = [Vector.of(entry) for entry in json.loads(FILE.read_text("utf-8"))] if FILE.is_file() else []


def vectors(*, refused: bool) -> pytest.MarkDecorator:
    """Parametrise by the vectors that apply; without the data there is one test, which is skipped."""
    chosen = [vector for vector in VECTORS if vector.applies and (vector.r0 is None) == refused]
    missing = pytest.param(None, marks=pytest.mark.skip(reason=f"CONFORMANCE DATA MISSING: no {FILE}"))
    return pytest.mark.parametrize(
        "vector", chosen if VECTORS else [missing], ids=lambda vector: vector.name if vector else "missing"
    )
