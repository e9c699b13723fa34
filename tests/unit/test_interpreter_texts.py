"""Expressions of generated Python: what is written shorter than the program says it has the same value."""

from __future__ import annotations

import random

import pytest

from device.vm.asm import assemble
from device.vm.interpreter import InterpreterEngine
from device.vm.interpreter.expressions import operate
from device.vm.interpreter.quotients import quotient
from device.vm.interpreter.texts import Text, number, variable
from device.vm.isa import Sem
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine

WORD = 2**32 - 1


def product(high: int, factor: int) -> Text:
    return operate(Sem.MUL, 64, variable("x", 0, high), number(factor))


def edges(divisor: int, high: int) -> list[int]:
    """Numbers around multiples of the divisor, and at both ends."""
    near = [k * divisor + d for k in (1, 2, high // divisor // 2, high // divisor) for d in (-1, 0, 1)]
    return [x for x in (0, 1, high - 1, high, *near) if 0 <= x <= high]


@pytest.mark.parametrize(
    ("factor", "amount", "high", "text"),
    [
        pytest.param(0x80808081, 39, WORD, "x // 255", id="255"),
        pytest.param(0xCCCCCCCD, 35, WORD, "x // 10", id="10"),
        pytest.param(0xAAAAAAAB, 33, WORD, "x // 3", id="3"),
        pytest.param(0xAAAB, 17, 0xFFFF, "x // 3", id="3 of 16 bits"),
        pytest.param(0xAAAB, 17, WORD, None, id="too few bits of the reciprocal"),
        pytest.param(0x80808081, 38, WORD, None, id="another shift"),
        pytest.param(0x80808080, 39, WORD, None, id="rounded down"),
        pytest.param(1 << 33, 33, 0xFFFF, None, id="by one"),
    ],
)
def test_divisions_by_multiplication(factor: int, amount: int, high: int, text: str | None) -> None:
    found = quotient(product(high, factor), amount)
    assert (found.text if found else None) == text


def test_a_product_is_a_quotient_only_where_it_is_one() -> None:
    source, found = random.Random(9669), 0
    for _ in range(20_000):
        divisor, amount = source.randrange(2, 5_000), source.randrange(4, 44)
        factor = -(-(1 << amount) // divisor) + source.choice((-1, 0, 0, 0, 1, 2))
        high = (1 << source.randrange(1, 34)) - source.randrange(1, 3)
        made = quotient(product(high, factor), amount) if factor > 0 else None
        if made is not None:
            found += 1
            by = int(made.text.rpartition(" ")[2])
            assert all(x * factor >> amount == x // by for x in edges(by, high)), (factor, amount, high)
    assert found > 2_000


REMAINDERS = """
ldxdw r3, [r1]
and32 r3, r3
mov r4, r3
lddw r5, {factor}
mul r4, r5
rsh r4, {amount}
mul32 r4, {divisor}
{between}
{minuend}
sub32 r3, r4
mov r0, r3
add r0, r6
exit
"""


def executed(engine: InterpreterEngine | SwitchEngine, source: str, word: int) -> tuple[int | None, int]:
    linked = Program(assemble(source), Layout.TEXT, bytes(32))
    memory = build_memory(linked, linked.fresh_data(), bytearray(word.to_bytes(8, "little")))
    outcome = engine.run(linked, Run(memory, r1=CONTEXT_BASE, r2=8))
    return outcome.r0, outcome.instructions


@pytest.mark.parametrize("between", ["mov r6, 0", "mov r6, r4", "mov r6, r3", "ldxb r6, [r1]"])
@pytest.mark.parametrize("minuend", ["mov r7, r3", "add r3, 1", "mov32 r3, r6", "rsh r3, 1"])
@pytest.mark.parametrize(
    ("factor", "amount", "divisor"),
    [
        (0x80808081, 39, 255),
        (0x80808081, 39, 254),
        (0x80808080, 39, 255),
        (0xAAAAAAAB, 33, 3),
        (0xAAAB, 17, 3),
    ],
)
def test_remainders_by_multiplication(
    factor: int, amount: int, divisor: int, minuend: str, between: str
) -> None:
    source = REMAINDERS.format(
        factor=factor, amount=amount, divisor=divisor, minuend=minuend, between=between
    )
    generated = InterpreterEngine(hot_after=0, background=False)
    for word in edges(divisor, WORD):
        assert executed(generated, source, word) == executed(SwitchEngine(), source, word)
