"""The fast engines run programs full of loops that count as `switch` does, however much of them is proved."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from device.jit.engine import JitEngine
from device.vm.asm import assemble
from device.vm.interpreter.engine import InterpreterEngine
from device.vm.program import Engine, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.property.rounds import programs

BUDGETS = (40, 2000, 2000)
"""The last run is like the one before it: it begins where that one's code was found."""


def observed(engine: Engine, program: Program, number: int) -> Iterator[tuple[Outcome, bytes, bytes]]:
    """How runs end, and what they leave in the context and on the stack."""
    for budget in BUDGETS:
        source = random.Random(number)
        context = bytearray(source.choice((0, 1, 2, 255, source.getrandbits(8))) for _ in range(16))
        memory = build_memory(program, bytearray(), context)

        def call_helper(_helper: int, *_arguments: int, source: random.Random = source) -> int:
            return source.choice((0, 1, 5, source.getrandbits(64)))

        outcome = engine.run(program, Run(memory, call_helper, budget=budget))
        yield outcome, bytes(context), bytes(memory.stack.data)


def interpreter() -> Engine:
    return InterpreterEngine(hot_after=0, background=False)


@pytest.mark.parametrize("engine", [JitEngine, interpreter], ids=["jit", "interpreter"])
def test_engines_agree_on_loops_that_count(engine: Callable[[], Engine]) -> None:
    fast, slow = engine(), SwitchEngine()
    for number, text in programs(0, 200, accesses=True):
        program = Program(assemble(text), Layout.TEXT, b"")
        for one, other in zip(observed(slow, program, number), observed(fast, program, number), strict=True):
            assert one == other, text
