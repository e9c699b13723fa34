"""The public conformance suite, on every engine there is: directly, and through `client run --batch`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.batch import answer_line, bound_helpers
from device import engines
from device.api import hex64
from device.errors import LoadError, VerifyError
from device.vm import loader, verifier
from device.vm.helpers import gate
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Layout, Outcome, Program, Run, build_memory
from tests.conformance.vectors import FILE, VECTORS, Vector, vectors
from tests.unit.helper_bench import Bench

each_engine = pytest.mark.parametrize("engine", engines.ENGINES)


def bindings(vector: Vector) -> dict[str, str]:
    return {str(number): "r1" for number in vector.helpers}


def prepared(vector: Vector) -> Program:
    """Loaded and verified, as before every run."""
    program = loader.load(vector.program, declared=Layout.TEXT)
    verifier.require_accepted(verifier.verify(program, helpers=vector.helpers))
    return program


def run(vector: Vector, program: Program, engine: str) -> tuple[Outcome, bytes]:
    memory = bytearray(vector.memory)
    guest = build_memory(program, bytearray(), memory)
    call = gate(guest, Bench().services, bound_helpers(bindings(vector)))
    order = Run(guest, call, r1=CONTEXT_BASE if memory else 0, r2=len(memory))
    return engines.select(engine).run(program, order), bytes(memory)


def batch(vector: Vector, engine: str) -> Any:
    request = {"program": vector.program.hex(), "memory": vector.memory.hex(), "engine": engine}
    return json.loads(answer_line(json.dumps({**request, "helpers": bindings(vector)})))


@each_engine
@vectors(refused=False)
def test_result(vector: Vector, engine: str) -> None:
    outcome, memory = run(vector, prepared(vector), engine)
    assert outcome.fault is None
    assert outcome.r0 == vector.r0
    assert vector.memory_after in (None, memory)


@each_engine
@vectors(refused=False)
def test_result_through_batch(vector: Vector, engine: str) -> None:
    answer = batch(vector, engine)
    assert answer.keys() == {"r0", "memory", "instructions"}
    assert answer["r0"] == hex64(vector.r0 or 0)
    assert vector.memory_after in (None, bytes.fromhex(answer["memory"]))


@vectors(refused=True)
def test_must_be_refused(vector: Vector) -> None:
    with pytest.raises((LoadError, VerifyError)):
        prepared(vector)


@each_engine
@vectors(refused=True)
def test_must_be_refused_through_batch(vector: Vector, engine: str) -> None:
    assert batch(vector, engine)["error"]["stage"] == "load"


@each_engine
@vectors(refused=True)
def test_an_engine_refuses_it_too(vector: Vector, engine: str) -> None:
    """Were it ever to pass the verifier, it would be a fault at the instruction."""
    program = Program(vector.program, Layout.TEXT, bytes(32))
    outcome, _ = run(vector, program, engine)
    assert outcome.fault is not None
    assert outcome.fault.name == "ILLEGAL_INSTRUCTION"


def test_which_vectors_do_not_apply() -> None:
    """One: a call by register, which is refused by name."""
    if not VECTORS:
        pytest.skip(f"CONFORMANCE DATA MISSING: no {FILE}")
    outside = [vector for vector in VECTORS if not vector.applies]
    assert [vector.name for vector in outside] == ["callx"]
    error = batch(outside[0], "switch")["error"]
    assert (error["stage"], error["code"], error["insn"]) == ("load", "opcode-callx", 2)


def test_the_data_is_whole() -> None:
    if not VECTORS:
        pytest.skip(f"CONFORMANCE DATA MISSING: no {FILE}")
    assert sum(vector.r0 is not None for vector in VECTORS) == 313
    assert sum(vector.refusal is not None for vector in VECTORS) == 45
