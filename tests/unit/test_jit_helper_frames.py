"""Helpers that compiled code calls reach the frames that are active there: no fewer, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device.engines import ENGINES
from device.vm import loader
from device.vm.asm import assemble
from device.vm.helpers import HELPERS, Services
from device.vm.setup import set_up
from tests.device_bench import NAMES
from tests.unit.helper_bench import Bench, DictStore

SUM_OF_FETCHES = """
    mov r6, 20
again:
    call local inner
    mov r7, r0
    mov r1, 1
    mov r2, r10
    add r2, -8
    call bpf_fetch_global
    ldxw r0, [r10-8]
    add r0, r7
    sub r6, 1
    jne r6, 0, again
    exit
inner:
    mov r1, 1
    mov r2, r10
    add r2, -8
    call bpf_fetch_global
    ldxw r0, [r10-8]
    exit
"""
"""A helper writes into the frame of a local function, and after its return into the caller's."""

BELOW = """
    mov r6, 20
again:
    call local inner
    sub r6, 1
    jne r6, 0, again
    mov r1, 1
    mov r2, r10
    add r2, -520
    call bpf_fetch_global
    exit
inner:
    mov r0, 0
    exit
"""
"""A helper is to write into the frame of a function that has returned."""


@pytest.mark.parametrize(
    ("source", "r0", "fault"),
    [(SUM_OF_FETCHES, 14, None), (BELOW, None, "ILLEGAL_MEM")],
    ids=["active frames", "a frame that is gone"],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_helper_reaches_what_is_active(engine: str, source: str, r0: int | None, fault: str | None) -> None:
    program = loader.load(assemble(source, helpers=NAMES))
    services: Services = replace(Bench().services, shared=DictStore({1: 7}))
    outcome = ENGINES[engine].run(program, set_up(program, program.fresh_data(), services, HELPERS))
    assert (outcome.r0, outcome.fault and outcome.fault.name) == (r0, fault)
