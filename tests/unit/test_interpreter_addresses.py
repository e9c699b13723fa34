"""Addresses in generated Python: an index that is not masked still finds what 32 bits of the address find."""

from __future__ import annotations

import pytest

from device.vm.asm import assemble
from device.vm.interpreter import InterpreterEngine
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine

DISPLACEMENTS = {
    "none": "mov r3, 0",
    "inside": "mov r3, 5",
    "last": "mov r3, 15",
    "behind": "mov r3, 16",
    "far": "lddw r3, 0x7fffffff",
    "below": "mov r3, -1",
    "below, in 32 bits": "mov32 r3, -1",
    "around 32 bits": "lddw r3, 0x100000003",
    "around 32 bits, almost": "lddw r3, 0xfffffff3",
    "high garbage": "lddw r3, 0x8000000000000002",
    "in another region": "lddw r3, 0xefdfe000",
}
"""What is added to the address of the context."""

SUMS = {
    "sum": "mov r4, r1\nadd r4, r3",
    "sum the other way": "mov r4, r3\nadd r4, r1",
    "sum of 32 bits": "mov32 r4, r1\nadd32 r4, r3",
    "sum with a known word": "mov32 r3, r3\nmov r4, r1\nadd r4, r3",
    "sum with a known byte": "and r3, 31\nmov r4, r1\nadd r4, r3\nsub r4, 8",
    "difference": "mov r4, r1\nneg r3\nsub r4, r3",
    "difference of words": "mov32 r3, r3\nmov r4, r1\nsub r4, r3",
    "scaled": "and r3, 3\nlsh r3, 2\nmov r4, r3\nadd r4, r1",
    "stepped": "mov r4, r1\nadd r4, r3\nadd r4, 4\nsub r4, 4",
    "low bytes of a sum": "mov r4, r1\nadd r4, r3\nle16 r4",
    "low word of a sum": "mov r4, r1\nadd r4, r3\nle32 r4",
    "all of a sum": "mov r4, r1\nadd r4, r3\nle64 r4",
    "masked sum": "mov r4, r1\nadd r4, r3\nand r4, -4",
    "product": "mov r4, r3\nmul r4, r1\nadd r4, r1",
}


@pytest.mark.parametrize("offset", ["+ 0", "- 3"])
@pytest.mark.parametrize("width", ["b", "h", "w", "dw"])
@pytest.mark.parametrize("total", SUMS.values(), ids=SUMS)
def test_loads_and_stores(total: str, width: str, offset: str) -> None:
    generated = InterpreterEngine(hot_after=0, background=False)
    for displacement in DISPLACEMENTS.values():
        # Through memory, so that nothing is known of it.
        known = f"{displacement}\nstxdw [r10 - 8], r3\nldxdw r3, [r10 - 8]\n{total}\n"
        load = f"ldx{width} r0, [r4 {offset}]\nadd r0, r5\nexit"
        store = f"mov r0, r4\nstx{width} [r4 {offset}], r1\nexit"
        loop = f"again: add r6, 1\n{total}\nldx{width} r5, [r4 {offset}]\njlt r6, 40, again\nexit"
        for source in (known + load, known + store, known + loop):
            assert observed(generated, source) == observed(SwitchEngine(), source), source


def observed(engine: InterpreterEngine | SwitchEngine, source: str) -> tuple[object, ...]:
    linked, context = Program(assemble(source), Layout.TEXT, bytes(32)), bytearray(range(1, 17))
    memory = build_memory(linked, bytearray(), context)
    outcome = engine.run(linked, Run(memory, r1=CONTEXT_BASE, r2=16, budget=1_000))
    fault = outcome.fault and (outcome.fault.code, outcome.fault.pc, outcome.fault.address)
    return outcome.r0, outcome.instructions, fault, bytes(context)


@pytest.mark.parametrize(
    "then", ["add", "sub", "or", "xor", "and", "mul", "lsh", "rsh", "arsh", "div", "mod"]
)
@pytest.mark.parametrize(
    "gone",
    [
        "rsh r3, 8",
        "mul r3, 0",
        "div r3, 0",
        "div r3, r6",
        "mod r3, r6",
        "div32 r3, r6",
        "sdiv r3, r6",
        "and r3, 0",
    ],
)
def test_a_load_faults_though_nothing_is_left_of_it(gone: str, then: str) -> None:
    generated = InterpreterEngine(hot_after=0, background=False)
    for use in (
        f"{then} r0, r3\nexit",
        f"{then} r3, r1\nmov r0, r3\nexit",
        f"{then} r3, r1\nstxb [r3], r1\nexit",
    ):
        for load in ("ldxb r3, [r10]", "ldxb r3, [r1 + 16]", "ldxb r3, [r1 + 15]", "ldxsb r3, [r10]"):
            source = f"{load}\n{gone}\n{use}"
            assert observed(generated, source) == observed(SwitchEngine(), source), source
