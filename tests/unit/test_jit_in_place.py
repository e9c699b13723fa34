"""What leaves its operand as it is, where compiled code keeps that elsewhere or only in part.

A high half that can only be zero is not kept, and a move is left out whose target is computed with next: the
instruction that has nothing to do has to bring both home.
"""

from __future__ import annotations

from itertools import product

import pytest

from device.jit.engine import JitEngine
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.unit.test_jit_engine import program, run

STALE = "lddw r8, 0x1ffffffff\njgt r8, 5, begin\nbegin:"
BEFORE = {
    "zero": f"{STALE} mov r8, 0",
    "32 bits": f"{STALE} ldxw r8, [r1]",
    "moved": f"{STALE} ldxdw r2, [r1]\nmov r8, r2",
    "32 bits moved": f"{STALE} ldxw r2, [r1]\nmov r8, r2",
    "zero moved": f"{STALE} mov r2, 0\nmov r8, r2",
    "64 bits": "ldxdw r8, [r1]",
}
OPERATIONS = (
    "lsh",
    "rsh",
    "arsh",
    "or",
    "xor",
    "and",
    "add",
    "mul",
    "lsh32",
    "arsh32",
    "or32",
    "and32",
    "add32",
)
OPERANDS = ("0", "1", "32", "33", "64", "-1", "0x100000000")
WHOLE = ("le16", "le32", "le64", "be16", "be32", "bswap64", "neg", "neg32")
BEHIND = "stxdw [r1+8], r8\nmov r0, r8\njgt r0, 1, on\non: add r0, r8\nexit"
BUDGETS = (2_000_000, 6, 7, 8, 9)


def lines() -> list[str]:
    """The instructions under test, with a register that is known to hold the operand and with a constant."""
    with_registers = [f"{name} r8, r3" for name in OPERATIONS]
    with_constants = [f"{name} r8, {value}" for name in OPERATIONS for value in OPERANDS[:-1]]
    return [*with_registers, *with_constants, *(f"{name} r8" for name in WHOLE)]


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_same_as_switch(before: str) -> None:
    engine, reference = JitEngine(), SwitchEngine()
    context = bytes.fromhex("f0debc9a78563412") + bytes(8)
    for line, known in product(lines(), OPERANDS):
        if known != "0" and not line.endswith("r3"):
            continue
        linked = program(f"lddw r3, {known}\n{before}\n{line}\n{BEHIND}")
        for budget in BUDGETS:
            expected = run(reference, linked, context, budget=budget)
            assert run(engine, linked, context, budget=budget) == expected, (line, known, budget)


@pytest.mark.parametrize("extra", [0, 1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("write", [False, True], ids=["load", "store"])
def test_a_pointer_of_which_nothing_is_known_is_looked_for(extra: int, write: bool) -> None:
    """Halving finds every region there is, and none around them."""
    access = "stxh [r3], r4" if write else "ldxh r0, [r3]"
    linked = program(f"ldxdw r3, [r1]\n{access}\nexit", rodata=bytes(6), data=bytes(6))
    engine, reference = JitEngine(), SwitchEngine()
    starts = [0x10000000, 0x20000000, 0x20100E00, 0x20101000, 0x20200000]
    starts += [0x20300000 + 0x10000 * number for number in range(extra + 1)]
    for start, offset in product(starts, (-3, -2, -1, 0, 1, 4, 5, 6, 7, 8)):
        context = (start + offset).to_bytes(8, "little")
        regions = [(bytearray(6 + number % 3), number % 4 != 1) for number in range(extra)]
        found, expected = (ran(one, linked, context, regions) for one in (engine, reference))
        assert found == expected, hex(start + offset)


def ran(
    engine: JitEngine | SwitchEngine, linked: Program, context: bytes, regions: list[tuple[bytearray, bool]]
) -> Outcome:
    """What a run with extra regions came to."""
    memory = build_memory(linked, linked.fresh_data(), bytearray(context), extra=regions)
    return engine.run(linked, Run(memory, r1=CONTEXT_BASE, r2=len(context)))
