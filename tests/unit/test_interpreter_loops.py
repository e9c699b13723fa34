"""Loops of generated Python that count the budget by themselves are exact, wherever they end."""

from __future__ import annotations

import pytest

from device.vm.analysis.inlining import ENTERING, LEAVING, Body, inlined
from device.vm.analysis.lift import RETURN, UNIT_LIMIT, Block, Unit
from device.vm.asm import assemble
from device.vm.decode import ALU, CALL_LOCAL, MASK64
from device.vm.interpreter import InterpreterEngine
from device.vm.isa import Sem
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine

LOOPS = {
    "empty": "again: ja again",
    "one exit": "again: add r0, 1\njlt r0, 9, again\nexit",
    "exit in the middle": "again: add r0, 3\njgt r0, 20, out\nadd r2, 1\nja again\nout: exit",
    "two exits": "again: add r0, 1\njgt r0, 5, one\njeq r2, 77, two\nja again\n"
    "one: exit\ntwo: mov r0, 7\nexit",
    "ways of one cost": "again: add r0, 1\njset r0, 1, odd\nadd r3, 2\nja on\n"
    "odd: sub r3, 1\nmov r4, r3\non: jlt r0, 9, again\nadd r0, r3\nexit",
    "ways of two costs": "again: add r0, 1\njset r0, 1, odd\nadd r3, 2\n"
    "odd: jlt r0, 9, again\nadd r0, r3\nexit",
    "ways that do nothing": "again: add r0, 1\njset r0, 1, odd\nmov r4, 2\nja on\n"
    "odd: mov r4, 1\nja on\non: jlt r0, 9, again\nexit",
    "two turns": "again: add r0, 1\njset r0, 1, again\nadd r0, 1\njlt r0, 12, again\nexit",
    "nested": "outer: mov r3, 0\ninner: add r3, 1\nadd r0, 1\njlt r3, 3, inner\njlt r0, 9, outer\nexit",
    "out of two": "outer: mov r3, 0\ninner: add r3, 1\nadd r0, 1\njeq r0, 10, out\njlt r3, 3, inner\n"
    "add r0, 1\nja outer\nout: exit",
    "end of the context": "again: ldxb r3, [r1]\nadd r0, r3\nadd r1, 1\nja again",
    "start of the context": "add r1, 3\nagain: ldxb r3, [r1]\nadd r0, r3\nsub r1, 1\nja again",
    "store behind the end": "again: stxh [r1], r0\nadd r1, 2\nadd r0, 1\nja again",
    "a helper": "mov r6, 0\nagain: mov r1, r6\ncall 7\nadd r6, r0\njlt r6, 9, again\nexit",
    "a call": "again: mov r1, r0\ncall local one\nadd r0, 1\njlt r0, 9, again\nexit\n"
    "one: mov r0, r1\nadd r0, 1\nexit",
    "no way out": "again: add r0, 1\njlt r0, 4, again\n.slot 0xff",
}


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_every_budget(source: str) -> None:
    engine = InterpreterEngine(hot_after=0, background=False)
    for budget in (*range(60), 20_000):
        for chunk in (engine.share, 7):
            engine.share = chunk
            assert observed(engine, source, budget) == observed(SwitchEngine(), source, budget), budget


def observed(engine: InterpreterEngine | SwitchEngine, source: str, budget: int) -> tuple[object, ...]:
    text, _, slot = source.partition(".slot ")
    body = assemble(text) + (bytes([int(slot, 16)]) + bytes(7) if slot else b"")
    linked, context, calls = Program(body, Layout.TEXT, bytes(32)), bytearray(range(5)), []

    def helper(number: int, *arguments: int) -> int:
        calls.append((number, arguments[0]))
        return arguments[0] + 1

    memory = build_memory(linked, bytearray(), context)
    outcome = engine.run(linked, Run(memory, call_helper=helper, budget=budget, r1=CONTEXT_BASE, r2=5))
    fault = outcome.fault and (outcome.fault.code, outcome.fault.pc, outcome.fault.address)
    return outcome.r0, outcome.instructions, fault, bytes(context), calls


CALLS = {
    "a leaf": "mov r1, 5\nmov r3, 7\ncall local leaf\nadd r0, r3\nexit\nleaf: mov r0, r1\nadd r0, 1\nexit",
    "what a leaf does to arguments": "mov r1, 5\nmov r3, 7\ncall local leaf\nadd r0, r3\nadd r0, r1\nexit\n"
    "leaf: mov r0, r1\nadd r3, r0\nmov r1, 9\nexit",
    "a load in front": "ldxb r1, [r1]\ncall local leaf\nexit\nleaf: mov r0, r1\nadd r0, 1\nexit",
    "a bad load in front": "ldxb r1, [r1 + 9]\nmov r2, 1\ncall local leaf\nexit\nleaf: mov r0, r1\nexit",
    "a load behind": "mov r2, r1\ncall local leaf\nldxb r3, [r2 + 4]\nadd r0, r3\nldxb r3, [r2 + 5]\nexit\n"
    "leaf: mov r0, 3\nexit",
    "two leaves": "mov r1, 5\ncall local leaf\nmov r6, r0\ncall local leaf\nadd r0, r6\nexit\n"
    "leaf: mov r0, r1\nexit",
    "a leaf that writes what is kept": "mov r6, 5\ncall local leaf\nadd r0, r6\nexit\n"
    "leaf: mov r6, 9\nmov r0, r6\nexit",
    "a leaf that knows its frame": "call local leaf\nexit\nleaf: mov r0, r10\nexit",
    "a leaf at every depth": "mov r6, 0\ncall local down\nexit\ndown: add r6, 1\ncall local leaf\n"
    "jgt r0, 40, out\nmov r1, r6\ncall local down\nout: exit\nleaf: mov r0, r6\nexit",
    "a leaf in a loop": "again: mov r1, r0\ncall local leaf\njlt r0, 40, again\nexit\n"
    "leaf: mov r0, r1\nadd r0, 3\nexit",
}


@pytest.mark.parametrize("source", CALLS.values(), ids=CALLS)
def test_calls_for_every_budget(source: str) -> None:
    engine = InterpreterEngine(hot_after=0, background=False)
    for budget in (*range(60), 20_000):
        assert observed(engine, source, budget) == observed(SwitchEngine(), source, budget), budget


def test_a_unit_grows_by_leaves_up_to_its_limit() -> None:
    leaf_steps = [(9, (ALU, Sem.MOV, 64, MASK64, 0, 1, 0, 0, True)), (10, LEAVING)]
    call = (CALL_LOCAL, Sem.CALL_LOCAL, 64, MASK64, 0, 1, 9, 9, False)
    for calls, grown in ((3, 3), (UNIT_LIMIT // 2, UNIT_LIMIT // 4)):
        block = Block(0, [(pc, call) for pc in range(calls)], RETURN)
        steps = inlined(Unit(0, [block], calls), lambda _start: Body(leaf_steps, 1)).blocks[0].steps
        assert sum(step is ENTERING for _, step in steps) == grown
        assert len(steps) == calls + 2 * grown
        assert len(block.steps) == calls
