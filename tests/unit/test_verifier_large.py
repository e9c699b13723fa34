"""Large texts, in shapes that would cost a recursive or a quadratic verifier its life."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from device.vm.asm import assemble
from device.vm.program import Program
from device.vm.verifier import verify
from tests.unit.verifying import KNOWN, program

SHAPES: dict[str, Callable[[int], str]] = {
    "straight": lambda n: "mov r0, 0\n" * n + "exit",
    "jumps to the next": lambda n: "mov r0, 0\n" + "jeq r0, 0, +0\n" * n + "exit",
    "jumps to the one before": lambda n: "mov r0, 0\n" + "jeq r0, 0, -2\n" * n + "exit",
    "all jumps to the start": lambda n: "x: mov r0, 0\n" + "jeq r0, 0, x\n" * n + "exit",
    "all jumps to the end": lambda n: "mov r0, 0\n" + "jeq r0, 0, exit\n" * n + "exit",
    "chain of calls": lambda n: "call local +1\nexit\n" * (n // 2) + "mov r0, 0\nexit",
    "everybody calls the same": lambda n: "call local f\n" * n + "exit\nf: mov r0, 0\nexit",
    "functions that share a tail": lambda n: (
        "".join(f"call local f{i}\n" for i in range(n // 2)) + "exit\n"
        + "".join(f"f{i}: ja tail\n" for i in range(n // 2)) + "tail: mov r0, 0\nexit"
    ),
    "one big recursion": lambda n: "f: mov r0, 0\n" + "call local f\n" * n + "exit",
    "counted loops": lambda n: "mov r1, 9\nsub r1, 1\njne r1, 0, -2\n" * (n // 3) + "mov r0, 0\nexit",
    "frame pointers": lambda n: "mov r0, r10\nadd r0, -8\njeq r1, 0, -3\nldxb r0, [r0]\n" * (n // 4) + "exit",
    "garbage": lambda n: ".bytes ffffffffffffffff\n" * n,
}  # fmt: skip


def lines_executed(large: Program) -> int:
    """The work of a verification in executed lines: unlike time, the same on a busy machine."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        verify(large, helpers=KNOWN)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_work_is_proportional_to_the_text(shape: Callable[[int], str]) -> None:
    """Eight times the text takes about eight times the work; a quadratic verifier would need 64 times."""
    small, large = program(shape(500)), program(shape(4_000))
    assert lines_executed(large) < 10 * lines_executed(small)


@pytest.mark.parametrize("name", ["chain of calls", "jumps to the one before", "functions that share a tail"])
def test_the_largest_texts_are_verified(name: str) -> None:
    text = assemble(SHAPES[name](65_528))
    assert len(text) <= 65_536 * 8
    assert verify(program(text), helpers=KNOWN).insns == len(text) // 8
