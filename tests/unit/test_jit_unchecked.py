"""Code without tests exists for the evaluation alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from client.bench import kernels
from client.bench.native_engine import BenchJit
from client.bench.running import call, prepare
from device.engines import ENGINES
from device.jit.engine import JitEngine
from device.vm import asm, loader
from device.vm.faults import FaultCode
from device.vm.program import Engine

ROOT: Final = Path(__file__).parents[2]
EVALUATION: Final = ROOT / "client" / "bench"

WILD: Final = "ldxb r0, [r1+64]\nexit\n"
ENDLESS: Final = "here: ja here\n"


def sources() -> Iterator[Path]:
    for package in ("client", "device", "fileserver"):
        yield from (path for path in (ROOT / package).rglob("*.py") if EVALUATION not in path.parents)


def asks(path: Path) -> Iterator[ast.keyword]:
    """Where a source says what `checked` shall be."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "checked":
            yield node


def test_nothing_but_the_evaluation_asks_for_it() -> None:
    found = {path.relative_to(ROOT).as_posix(): list(asks(path)) for path in sources()}
    wanted = {name: each for name, each in found.items() if each}
    assert set(wanted) == {"device/jit/lowering/function.py"}
    (handed_on,) = wanted["device/jit/lowering/function.py"]
    assert ast.unparse(handed_on.value) == "program.checked"


def test_the_evaluation_is_imported_by_its_verb_alone() -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("client.bench")
    }
    assert importing == {"client/commands/bench.py"}


@pytest.mark.parametrize("engine", [ENGINES["jit"], JitEngine(), BenchJit()], ids=["jit", "alone", "timed"])
@pytest.mark.parametrize(
    ("text", "code"),
    [(WILD, FaultCode.ILLEGAL_MEM), (ENDLESS, FaultCode.OUT_OF_INSTRUCTIONS)],
    ids=["memory", "budget"],
)
def test_the_engine_of_the_product_tests(engine: Engine, text: str, code: FaultCode) -> None:
    kernel = replace(
        kernels.load()[0], program=loader.load(asm.assemble(text)), context=bytes(16), expected=0
    )
    outcome = call(engine, kernel, budget=1000).outcome
    assert outcome.fault is not None
    assert outcome.fault.code is code


def test_shapes_are_checked_unless_said_otherwise() -> None:
    kernel = kernels.load()[0]
    run = prepare(kernel)
    assert JitEngine().shape(kernel.program, run).checked
    assert BenchJit().shape(kernel.program, run).checked
    assert not BenchJit(checked=False).shape(kernel.program, run).checked
