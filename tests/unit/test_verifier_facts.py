"""What the verifier knows of a program without running it: calls, functions, stack, longest path, loops."""

from __future__ import annotations

import dataclasses

import pytest

from device.vm.program import Function, Layout, Run, build_memory
from device.vm.switch import SwitchEngine
from device.vm.verifier import FunctionFacts, Report, verify
from tests.unit.verifying import found, judge, program

FACTS_TEXT = """
main:   stdw [r10-8], 1
        call local outer
        call 0x13
        call 0x01
        exit
outer:  lddw r1, 1
        stxdw [r10-16], r1
        call local inner
        call 0x13
        exit
inner:  mov r0, r10
        add r0, -24
        stdw [r0+8], 0
        mov r0, 0
        exit
"""


def test_facts() -> None:
    names = (Function(0, "main"), Function(5, "outer"), Function(11, None))
    report = judge(FACTS_TEXT, functions=names, rodata=b"abc", data=b"1234", bss_size=9, layout=Layout.ELF)
    assert found(report) == []
    assert (report.insns, report.slots) == (15, 16)
    assert report.helpers == {0x01: (3,), 0x13: (2, 9)}
    assert report.functions == (
        FunctionFacts(0, "main", (5,), 8),
        FunctionFacts(5, "outer", (11,), 16),
        FunctionFacts(11, None, (), 24),
    )
    assert report.stack_depth == 8 + 16 + 24
    assert (report.bounded, report.bound) == (True, 15)
    assert (report.data, report.bss, report.rodata) == (4, 9, 3)
    assert (report.layout, report.entry, report.tag) == (Layout.ELF, 0, "abcdef01")


def test_facts_in_json() -> None:
    shown = judge(FACTS_TEXT).to_map()
    assert shown["accepted"] is True
    assert shown["helpers"] == {"1": [3], "19": [2, 9]}
    assert shown["functions"][1] == {"start": 5, "name": None, "callees": [11], "frame": 16}
    assert shown["layout"] == "text"
    names = {field.name for field in dataclasses.fields(Report)}
    assert shown.keys() == names | {"accepted"}


STACK_DEPTHS = {
    "nothing": ("mov r0, 0\nexit", 0),
    "the deeper of two calls": (
        "call local a\ncall local b\nmov r0, 0\nexit\na: stb [r10-1], 0\nexit\nb: stb [r10-9], 0\nexit",
        9,
    ),
    "address taken": ("mov r1, r10\nadd r1, -40\ncall 0x13\nexit", 40),
    "address by sub": ("mov r1, r10\nsub r1, 40\ncall 0x13\nexit", 40),
    "either of two buffers": (
        "mov r6, r10\nadd r6, -32\njeq r1, 0, x\nmov r6, r10\nadd r6, -64\nx: mov r1, r6\ncall 0x13\nexit",
        64,
    ),
    "difference of pointers": ("mov r1, r10\nadd r1, -8\nmov r0, r10\nsub r0, r1\nadd r0, r2\nexit", 8),
    "overwritten before arithmetic": ("mov r1, r10\nmov r1, 5\nadd r1, r2\nmov r0, r1\nexit", 0),
    "lost in a call": ("mov r3, r10\ncall local f\nadd r3, r2\nexit\nf: mov r0, 0\nexit", 0),
    "computed": ("mov r1, r10\nsub r1, r2\nldxb r0, [r1]\nexit", None),
    "masked": ("mov r1, r10\nand r1, -8\nldxb r0, [r1]\nexit", None),
    "negated": ("mov r1, r10\nneg r1\nmov r0, 0\nexit", None),
    "added to a number": ("mov r3, 8\nadd r3, r10\nldxb r0, [r3]\nexit", None),
    "walking": ("mov r0, r10\nadd r0, -32\nx: stb [r0], 0\nadd r0, 1\njne r0, r10, x\nmov r0, 0\nexit", None),
    "joined and accessed": (
        "mov r6, r10\nadd r6, -32\njeq r1, 0, x\nmov r6, r10\nx: ldxb r0, [r6-1]\nexit",
        None,
    ),
    "in a function": ("call local f\nexit\nf: mov r0, r10\nsub r0, r1\nexit", None),
    "in dead code": ("mov r0, 0\nexit\nmov r0, r10\nsub r0, r1\nexit", 0),
    "recursion": ("f: mov r0, 0\njeq r1, 0, +1\ncall local f\nexit", None),
}


@pytest.mark.parametrize(("text", "depth"), STACK_DEPTHS.values(), ids=STACK_DEPTHS.keys())
def test_stack_depth(text: str, depth: int | None) -> None:
    assert judge(text).stack_depth == depth


BOUNDS = {
    "straight": ("mov r0, 0\nexit", 2),
    "lddw counts once": ("lddw r0, 0\nexit", 2),
    "the longer branch": ("mov r0, 0\njeq r1, 0, +1\nmov r0, 1\nexit", 4),
    "backward without loop": ("ja a\nb: exit\na: mov r0, 0\nja b", 4),
    "loop": ("x: mov r0, 0\njeq r1, 0, x\nexit", None),
    "loop in a function": (
        "call local f\nexit\nf: mov r0, 0\nx: jeq r1, 0, x2\nx2: jne r0, 0, x\nexit",
        None,
    ),
    "loop in dead code": ("mov r0, 0\nexit\nx: mov r0, 0\nja x", 2),
    "called twice": ("call local f\ncall local f\nexit\nf: mov r0, 0\nexit", 7),
    "recursion": ("f: mov r0, 0\njeq r1, 0, +1\ncall local f\nexit", None),
    "falling off": ("mov r0, 0", 1),
}


@pytest.mark.parametrize(("text", "bound"), BOUNDS.values(), ids=BOUNDS.keys())
def test_bound(text: str, bound: int | None) -> None:
    report = judge(text)
    assert (report.bounded, report.bound) == (bound is not None, bound)


def test_bounds_that_grow_exponentially_are_cut_off() -> None:
    """200 functions that call the next twice: 2^200 instructions, and no time to count them."""
    doubling = "".join(f"f{n}: call local f{n + 1}\ncall local f{n + 1}\nexit\n" for n in range(200))
    assert judge(doubling + "f200: mov r0, 0\nexit").bound == 2**64 - 1


COUNTED = {
    "down to zero": ("mov r1, 10", "sub r1, 1", "jne r1, 0, x", 20),
    "up to a limit": ("mov r1, 0", "add r1, 1", "jne r1, 10, x", 20),
    "below a limit": ("mov r1, 0", "add r1, 3", "jlt r1, 30, x", 20),
    "up to and including": ("mov r1, 0", "add r1, 3", "jle r1, 29, x", 20),
    "signed from below zero": ("mov r1, -5", "add r1, 1", "jslt r1, 5, x", 20),
    "signed downwards": ("mov r1, 5", "add r1, -1", "jsgt r1, -5, x", 20),
    "32 bits": ("mov32 r1, -10", "add32 r1, 1", "jne32 r1, 0, x", 20),
    "lddw": ("lddw r1, 0x10000000a", "sub r1, 1", "jgt r1, 0, x", 2 * (2**32 + 10)),
}


@pytest.mark.parametrize(("start", "step", "test", "total"), COUNTED.values(), ids=COUNTED.keys())
def test_counted_loops_are_counted_exactly(start: str, step: str, test: str, total: int) -> None:
    text = f"{start}\nx: {step}\n{test}\nmov r0, 0\nexit"
    assert "loop-budget" not in {f.id for f in judge(text, budget=total).findings}
    assert "loop-budget" in {f.id for f in judge(text, budget=total - 1).findings}


UNCOUNTED = {
    "counter changed twice": "mov r1, 9\nx: sub r1, 1\nsub r1, 1\njne r1, 0, x",
    "counter overwritten by a call": "mov r1, 9\nx: sub r1, 1\ncall local f\njne r1, 0, x",
    "start unknown": "x: sub r1, 1\njne r1, 0, x",
    "start on one path only": "jeq r1, 0, x\nmov r1, 9\nx: sub r1, 1\njne r1, 0, x",
    "jumped into": "mov r1, 9\njeq r2, 0, y\nx: sub r1, 1\ny: mov r0, 0\njne r1, 0, x",
    "way out": "mov r1, 9\nx: sub r1, 1\njeq r2, 0, y\njne r1, 0, x\ny: mov r0, 0",
    "other width": "mov r1, 9\nx: sub32 r1, 1\njne r1, 0, x",
    "step in a register": "mov r1, 9\nx: sub r1, r2\njne r1, 0, x",
    "limit in a register": "mov r1, 9\nx: sub r1, 1\njne r1, r2, x",
    "bits tested": "mov r1, 9\nx: sub r1, 1\njset r1, 8, x",
    "sleeps": "mov r1, 9\nx: sub r1, 1\ncall 0x61\njne r1, 0, x",
}


@pytest.mark.parametrize("text", UNCOUNTED.values(), ids=UNCOUNTED.keys())
def test_other_loops_are_left_to_the_budget(text: str) -> None:
    report = judge(f"{text}\nmov r0, 0\nexit\nf: mov r1, 1\nexit", budget=1)
    assert "loop-budget" not in {finding.id for finding in report.findings}


LOOPS = {
    "none": ("mov r0, 0\nexit", []),
    "forward only": ("jeq r1, 0, +0\nmov r0, 0\nexit", []),
    "counted": ("mov r0, 0\nx: add r0, 1\njlt r0, 100000, x\nexit", [(1, 2, 100_000)]),
    "counted down": ("mov r0, 9\nx: sub r0, 1\njsge r0, 0, x\nexit", [(1, 2, 10)]),
    "not equal": ("mov r0, 0\nx: add r0, 4\njne r0, 40, x\nexit", [(1, 2, 10)]),
    "misses its end": ("mov r0, 0\nx: add r0, 4\njne r0, 41, x\nexit", [(1, 2, None)]),
    "unknown": ("x: add r1, 1\nmov r0, 0\njlt r1, r2, x\nexit", [(0, 2, None)]),
    "endless": ("x: mov r0, 0\nja x", [(0, 1, None)]),
    "nested": (
        "mov r0, 0\ny: mov r3, 0\nx: add r3, 1\njlt r3, 3, x\nadd r0, 1\njlt r0, 5, y\nexit",
        [(2, 3, 3), (1, 5, None)],
    ),
    "not reached": ("mov r0, 0\nexit\nx: mov r0, 1\nja x", []),
}


@pytest.mark.parametrize(("text", "loops"), LOOPS.values(), ids=LOOPS)
def test_loops(text: str, loops: list[tuple[int, int, int | None]]) -> None:
    report = judge(text)
    assert [(loop.start, loop.end, loop.rounds) for loop in report.loops] == loops
    assert report.to_map()["loops"] == [{"start": a, "end": b, "rounds": n} for a, b, n in loops]


@pytest.mark.parametrize(
    ("start", "step", "test", "limit"),
    [
        (0, 1, "jlt", 7), (3, 5, "jle", 100), (50, -3, "jsgt", -10), (10, -1, "jne", 0), (0, 1, "jge", 2),
        (0, 7, "jne", 49), (5, 1, "jgt", 9), (-5, 2, "jslt", 5), (1, 0, "jne", 5), (-1, 1, "jlt", 5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", "32"])
def test_rounds_are_what_a_run_does(start: int, step: int, test: str, limit: int, suffix: str) -> None:
    text = f"mov{suffix} r6, {start}\nmov r0, 0\nx: add r0, 1\nadd{suffix} r6, {step}\n"
    made = program(text + f"{test}{suffix} r6, {limit}, x\nexit")
    (loop,) = verify(made, helpers=()).loops
    outcome = SwitchEngine().run(made, Run(build_memory(made, bytearray()), budget=10_000))
    assert loop.rounds is None or loop.rounds == outcome.r0
    assert (outcome.r0 is None) <= (loop.rounds is None)
