"""Compiled code with functions where they are called: nobody can tell, whatever the budget and the frame."""

from __future__ import annotations

from typing import Any, Final

import pytest

from device.jit import compile as compiling
from device.jit.engine import JitEngine
from device.jit.lowering.function import FunctionWriter
from device.vm.faults import FaultCode
from device.vm.memory import MAX_FRAMES
from device.vm.program import Outcome
from device.vm.switch import SwitchEngine
from tests.unit.test_jit_engine import compiled, program, run

CONTEXT: Final = bytes(range(1, 81))
LEAF: Final = "leaf: mov r6, r1\nadd r6, r2\nmov r0, r6\nexit"
INNER: Final = (
    "leaf: mov r6, r1\ncall local inner\nxor r0, r6\nexit\ninner: mov r6, r2\nlsh r6, 3\nmov r0, r6\nexit"
)
HELD: Final = "ldxdw r6, [r1+16]\nldxdw r2, [r1+8]\nldxdw r1, [r1]\n"

STANDING: Final = {
    "once": f"{HELD}call local leaf\nadd r0, r6\nexit\n{LEAF}",
    "twice": f"{HELD}call local leaf\nmov r1, r0\ncall local leaf\nadd r0, r6\nexit\n{LEAF}",
    "one in another": f"{HELD}call local leaf\nadd r0, r6\nexit\n{INNER}",
    "its caller's register": f"{HELD}call local leaf\nexit\nleaf: mov r0, r6\nadd r0, r1\nexit",
    "a half of what comes back": f"{HELD}call local leaf\nmov32 r0, r2\nexit\nleaf: sub r2, r1\nexit",
    "a half in a loop": (
        f"{HELD}call local leaf\nagain: call local leaf\nadd r6, 1\njset r6, 3, again\n"
        "stxw [r10-8], r2\nexit\nleaf: xor r2, 0\nexit"
    ),
    "a loop": (
        f"mov r2, 3\nmov r7, 0\nagain: mov r1, r7\ncall local leaf\nadd r7, 1\njlt r7, 5, again\nexit\n{LEAF}"
    ),
    "a loop that it counts": (
        "mov r1, 6\nagain: call local leaf\njne r1, 0, again\nexit\nleaf: add r0, r1\nadd r1, -1\nexit"
    ),
    "a load behind it": f"mov r6, r1\nmov r2, 9\ncall local leaf\nldxb r0, [r0]\nadd r0, r6\nexit\n{LEAF}",
    "a fault behind it": f"mov r6, r1\nmov r2, 80\ncall local leaf\nldxb r0, [r0]\nadd r0, r6\nexit\n{LEAF}",
    "a division behind it": f"{HELD}call local leaf\ndiv r0, r2\nadd r0, r6\nexit\n{LEAF}",
    "a helper behind it": f"{HELD}call local leaf\ncall 0x60\nadd r0, r6\nexit\n{LEAF}",
    "a shift that others read too": (
        "call local leaf\nexit\n"
        "leaf: mov r9, 1\nmov r7, 1\nlsh32 r9, 1\nand r7, r9\nadd32 r0, r9\nmov r0, r7\nexit"
    ),
    "after a branch": (
        f"{HELD}jset r1, 1, odd\ncall local leaf\nja on\nodd: mov r1, 4\ncall local leaf\n"
        f"on: add r0, r6\nexit\n{LEAF}"
    ),
}
"""Programs that call nobody once they are compiled."""


def same(source: str, budget: int = 1000) -> Outcome:
    """What the JIT does with a budget, which is what `switch` does."""
    return ran(JitEngine(), source, budget)


def ran(engine: JitEngine, source: str, budget: int = 1000) -> Outcome:
    """The same with an engine that is there."""
    linked = program(source)
    given: dict[str, Any] = {"budget": budget, "call_helper": lambda *_: 7}
    found, expected = (run(one, linked, CONTEXT, **given) for one in (engine, SwitchEngine()))
    assert found == expected, budget
    return found[0]


def calls(source: str) -> int:
    """How many calls of functions there are in the code that runs."""
    engine = JitEngine()
    ran(engine, source)
    return sum(len(unit.calls) for unit in compiled(engine, program(source), CONTEXT))


@pytest.mark.parametrize("source", STANDING.values(), ids=STANDING)
def test_every_budget_ends_where_switch_ends(source: str) -> None:
    engine, whole = JitEngine(), same(source).instructions
    assert whole < 200
    for budget in range(whole + 2):
        assert ran(engine, source, budget).instructions == min(budget, whole)


@pytest.mark.parametrize("source", STANDING.values(), ids=STANDING)
def test_nothing_is_called(source: str) -> None:
    assert calls(source) == 0


@pytest.mark.parametrize(
    "does", ["mov r0, r10", "stxdw [r10-8], r1", "div r1, r2", "add r6, 1", "jeq r1, 0, out\nout: mov r0, 1"]
)
def test_what_does_more_is_called(does: str) -> None:
    assert calls(f"{HELD}call local leaf\nadd r6, r1\nmov r0, r6\nexit\nleaf: {does}\nexit") == 1


def chain(depth: int) -> str:
    """A function in so many frames' depth that calls another one that needs two more."""
    links = [
        f"stxdw [r10-8], r1\ncall local f{number}\nadd r0, {number}\nexit\nf{number}: "
        for number in range(1, depth)
    ]
    return "mov r1, 5\nmov r2, 7\n" + "".join(links) + f"stxdw [r10-8], r2\ncall local leaf\nexit\n{INNER}"


@pytest.mark.parametrize("depth", range(1, MAX_FRAMES + 1))
def test_a_function_stands_where_there_are_frames_for_it(depth: int) -> None:
    """Where there are none, calls end in the fault that they end in without."""
    fits = depth + 2 <= MAX_FRAMES
    outcome = same(chain(depth))
    assert (outcome.fault is None) == fits
    assert fits or (outcome.fault is not None and outcome.fault.code is FaultCode.CALL_DEPTH)
    assert not fits or calls(chain(depth)) == depth - 1
    engine = JitEngine()
    for budget in range(outcome.instructions + 2):
        ran(engine, chain(depth), budget)


def test_recursion_comes_to_the_same_end() -> None:
    source = f"mov r1, 5\nmov r2, 7\nf: stxdw [r10-8], r1\ncall local leaf\ncall local f\nexit\n{INNER}"
    outcome, engine = same(source), JitEngine()
    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.CALL_DEPTH
    for budget in range(outcome.instructions + 2):
        ran(engine, source, budget)


CROWDED: Final = "\n".join(
    [
        *(f"ldxdw r{n}, [r1+{8 * n}]" for n in (0, 2, 3, 4, 5, 6, 7, 8, 9, 1)),
        "call local leaf",
        *(f"stxdw [r10-{8 * n + 8}], r{n}" for n in range(10)),
        *(f"xor r0, r{n}\nmul r0, 3" for n in range(1, 10)),
        "exit",
        "leaf:",
        *(f"mov r{n}, r{n - 5}\nadd r{n}, r{n - 4}" for n in (6, 7, 8, 9)),
        *(f"xor r0, r{n}\nadd r{n}, r0" for n in (6, 7, 8, 9)),
        *(f"add r0, r{n}" for n in (6, 7, 8, 9)),
        "exit",
    ]
)
"""Twenty halves that live across a call, and eight in the function."""


def test_where_there_are_too_many_halves_everything_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []

    class Noted(FunctionWriter):
        def __init__(self, *given: Any, calls: bool = False) -> None:
            written.append(calls)
            super().__init__(*given, calls=calls)

    monkeypatch.setattr(compiling, "FunctionWriter", Noted)
    assert calls(CROWDED) == 1
    assert written[:2] == [False, True]
    engine = JitEngine()
    for budget in range(same(CROWDED).instructions + 2):
        ran(engine, CROWDED, budget)
