"""What one instruction does for two steps: products that are added, indices tested for their sums."""

from __future__ import annotations

from itertools import product
from struct import pack
from typing import Final

import pytest

from device.jit.engine import JitEngine
from device.vm.faults import FaultCode
from tests.unit.test_jit_engine import both, compiled, program, run

VALUES: Final = pack("<4Q", 0x1234_5678_9ABC_DEF0, 0xFFFF_FFFF_0000_0003, 7, 0x8000_0001_FFFF_FFFF)
READ: Final = "ldxdw r2, [r1]\nldxdw r3, [r1+8]\nldxdw r4, [r1+16]\nldxdw r5, [r1+24]\nmov r9, r1\n"
FACTORS: Final = ("r3", "r2", "255", "256", "257", "10", "-3", "0x12345678")
SUMS: Final = {
    "second": "{op} r4, r2",
    "second, and read": "{op} r4, r2\nxor r5, r2",
    "first": "{op} r2, r4",
    "first, a constant": "{op} r2, 0x3c6ef35f",
    "first, a small constant": "{op} r2, 5",
    "both": "{op} r2, r2",
    "its own factor": "{op} r3, r2",
}
USES: Final = {
    "low halves": "stxw [r9], r2\nstxw [r9+4], r3\nstxw [r9+8], r4",
    "whole": "stxdw [r9], r2\nstxdw [r9+8], r3\nstxdw [r9+16], r4",
    "one low half": "stxw [r9+8], r4",
    "whether it is zero": "jne r4, 0, out\nmov r5, 1\nout: stxdw [r9+16], r5",
}


@pytest.mark.parametrize("uses", USES.values(), ids=USES)
@pytest.mark.parametrize("sum_", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("factor", FACTORS)
def test_a_product_that_is_added(factor: str, sum_: str, uses: str) -> None:
    for mul, op in product(("mul", "mul32"), ("add", "add32", "sub", "sub32")):
        both(f"{READ}{mul} r2, {factor}\n{sum_.format(op=op)}\n{uses}\nmov r0, r5\nexit", VALUES)


def size(source: str) -> int:
    engine, linked = JitEngine(), program(source)
    run(engine, linked, VALUES)
    return len(compiled(engine, linked, VALUES)[0].code.text)


def test_a_product_that_is_added_is_one_instruction() -> None:
    alone = f"{READ}mul32 r2, r3\nstxw [r9], r2\nexit"
    assert size(f"{READ}mul32 r2, r3\nadd32 r4, r2\nstxw [r9], r4\nexit") - size(alone) <= 4


INDICES: Final = (0, 1, 4, 5, 12, 28, 29, 31, 32, 33, 2**31, 2**32 - 1, 2**32 + 3, 2**64 - 1)
INDEXED: Final = "ldxdw r5, [r1]\nmov r4, r1\nadd r4, r5\n{between}ldxb r0, [r4{off}]\nexit"


@pytest.mark.parametrize("between", ["", "mov r3, 1\n", "add r5, 1\n", "mov r4, r5\nadd r4, r1\n"])
@pytest.mark.parametrize("off", ["", "+3", "-1"])
@pytest.mark.parametrize(
    "index", [0, 1, 4, 5, 12, 28, 29, 31, 32, 33, 2**31, 2**32 - 1, 2**32 + 3, 2**64 - 1]
)
def test_an_index_is_tested_as_its_sum_is(index: int, off: str, between: str) -> None:
    outcome = both(INDEXED.format(off=off, between=between), pack("<Q", index) + bytes(range(8, 32)))
    assert outcome.fault is None or outcome.fault.code is FaultCode.ILLEGAL_MEM


@pytest.mark.parametrize("value", [0, 1, 2**31, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("jump", ["jeq", "jne"])
def test_both_halves_are_compared_with_zero(jump: str, value: int) -> None:
    outcome = both(f"ldxdw r2, [r1]\nmov r0, 1\n{jump} r2, 0, out\nmov r0, 2\nout: exit", pack("<Q", value))
    assert outcome.r0 == (1 if (value == 0) is (jump == "jeq") else 2)
