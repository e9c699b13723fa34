"""Functions that stand where they are called: which may, and what they do there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from device.vm.analysis.functions import Functions
from device.vm.analysis.inlining import BODY_LIMIT, ENTERING, LEAVING, Bodies
from device.vm.analysis.lift import Unit
from device.vm.analysis.liveness import SPARE
from device.vm.asm import assemble
from device.vm.decode import CONSTANT, Step, decode_step
from device.vm.memory import MAX_FRAMES

LEAF: Final = 2
"""The slot of the first function behind the entry of `around`."""

ADD, INNER = "add r0, 1\n", "inner: mov r7, 9\nadd r0, r7\nexit"

HAVE: Final = {
    "nothing": ("exit", ["leave"]),
    "sums": ("add r0, r1\nsub32 r2, 7\nexit", ["r0 add r1", "r2 sub32 7", "leave"]),
    "a constant": ("lddw r3, 0x500000001\nexit", ["r3 = 0x500000001", "leave"]),
    "bytes": ("be16 r1\nmovsx832 r2, r1\nexit", ["r1 be16", "r2 movsx832 r1", "leave"]),
    "a division of 32 bits": ("div32 r0, r1\nexit", ["r0 div32 r1", "leave"]),
    "its caller's registers": ("add r0, r6\nxor r0, r9\nexit", ["r0 add r6", "r0 xor r9", "leave"]),
    "one written anew": (
        "mov r6, r1\nadd r6, r6\nmov r0, r6\nexit",
        ["r11 mov r1", "r11 add r11", "r0 mov r11", "leave"],
    ),
    "one read, then written": (
        "add r0, r6\nmov32 r6, r7\nadd r0, r6\nexit",
        ["r0 add r6", "r11 mov32 r7", "r0 add r11", "leave"],
    ),
    "all four": (
        "mov r9, r1\nlddw r8, 1\nmovsx16 r7, r9\nmov r6, r8\nexit",
        ["r11 mov r1", "r12 = 0x1", "r13 movsx16 r11", "r14 mov r12", "leave"],
    ),
    "another": ("call local inner\nexit\n" + INNER, ["enter", "r11 mov 9", "r0 add r11", "leave", "leave"]),
    "another, that reads what it has": (
        "mov r7, 1\ncall local inner\nadd r0, r7\nexit\ninner: add r0, r7\nadd r0, r8\nexit",
        ["r11 mov 1", "enter", "r0 add r11", "r0 add r8", "leave", "r0 add r11", "leave"],
    ),
    "another, that preserves too": (
        "mov r7, 1\ncall local inner\nadd r0, r7\nexit\n" + INNER,
        ["r11 mov 1", "enter", "r12 mov 9", "r0 add r12", "leave", "r0 add r11", "leave"],
    ),
    "another, before it preserves": (
        "call local inner\nmov r7, 1\nexit\n" + INNER,
        ["enter", "r12 mov 9", "r0 add r12", "leave", "r11 mov 1", "leave"],
    ),
    "the same twice": (
        "call local inner\ncall local inner\nexit\n" + INNER,
        ["enter", "r11 mov 9", "r0 add r11", "leave"] * 2 + ["leave"],
    ),
}
"""Functions, and what they do where they are called."""

REFUSED: Final = {
    "a change of what is preserved": "add r6, 1\nexit",
    "a preserved register moved to itself": "movsx8 r6, r6\nexit",
    "r10": "mov r0, r10\nexit",
    "r10 added": "add r0, r10\nexit",
    "a load": "ldxb r0, [r1]\nexit",
    "a store": "stxb [r10-1], r0\nexit",
    "an atomic": "lock add [r10-8], r0\nexit",
    "a helper": "call 0x60\nexit",
    "a division of 64 bits": "div r0, r1\nexit",
    "a signed one": "smod r0, 7\nexit",
    "a branch": "jeq r0, 0, out\nadd r0, 1\nout: exit",
    "a jump": "add r0, 1\nja on\non: exit",
    "a loop": "again: add r0, 1\njlt r0, 9, again\nexit",
    "no exit": "add r0, 1\n.bytes ffffffffffffffff",
    "another that may not": "call local inner\nexit\ninner: ldxb r0, [r1]\nexit",
    "itself": "add r0, 1\ncall local leaf\nexit",
    "each other": "call local inner\nexit\ninner: add r0, 1\ncall local leaf\nexit",
    "six to preserve": (
        "mov r6, 1\nmov r7, 2\nmov r8, 3\ncall local inner\nexit\n"
        "inner: mov r6, 1\nmov r7, 2\nmov r8, 3\nexit"
    ),
}


def around(leaf: str) -> str:
    return f"call local leaf\nexit\nleaf: {leaf}"


def bodies(
    source: str, frames: int = MAX_FRAMES - 1, asked: list[int] | None = None, *, divides: bool = False
) -> Bodies:
    """As the JIT has them; `asked` are the functions looked at."""
    text = assemble(source)
    functions = Functions(lambda pc: decode_step(text, pc), len(text) // 8, 0)

    def unit_at(start: int) -> Unit:
        if asked is not None:
            asked.append(start)
        return functions.part(start).unit

    return Bodies(unit_at, SPARE, frames, divides=divides)


def told(steps: Sequence[tuple[int, Step]]) -> list[str]:
    return [_told(step) for _, step in steps]


def _told(step: Step) -> str:
    case, sem, width, _, dst, src, _, imm, from_register = step
    if step is ENTERING or step is LEAVING:
        return "enter" if step is ENTERING else "leave"
    if case == CONSTANT:
        return f"r{dst} = {imm:#x}"
    name = sem.value + ("32" if width == 32 else "")
    if sem.value.startswith("be"):
        return f"r{dst} {sem.value}"
    return f"r{dst} {name} " + (f"r{src}" if from_register else str(imm))


@pytest.mark.parametrize(("leaf", "does"), HAVE.values(), ids=HAVE)
def test_what_only_computes_has_a_body(leaf: str, does: list[str]) -> None:
    body = bodies(around(leaf)).at(LEAF)
    assert body is not None
    assert told(body.steps) == does
    assert body.frames == 1 + ("enter" in does)


@pytest.mark.parametrize("leaf", REFUSED.values(), ids=REFUSED)
def test_what_does_more_has_none(leaf: str) -> None:
    assert bodies(around(leaf)).at(LEAF) is None


def test_whoever_can_divide_takes_divisions() -> None:
    assert bodies(around(REFUSED["a division of 64 bits"]), divides=True).at(LEAF) is not None


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_counts_all_instructions(more: int) -> None:
    """Of the function, its exit, and what it calls with the call and the exit."""
    alone = ADD * (BODY_LIMIT - 1 + more) + "exit"
    both = ADD * 20 + "call local inner\nexit\ninner: " + ADD * (BODY_LIMIT - 23 + more) + "exit"
    for leaf in (alone, both):
        body = bodies(around(leaf)).at(LEAF)
        assert (body is None) == bool(more)
        assert body is None or len(body.steps) == BODY_LIMIT


def nested(depth: int, innermost: str = ADD) -> str:
    """So many functions, each in the one before it."""
    calls = [f"call local in{number}\nexit\nin{number}: " for number in range(1, depth)]
    return "".join(calls) + innermost + "exit"


@pytest.mark.parametrize("depth", range(1, MAX_FRAMES + 1))
@pytest.mark.parametrize("frames", range(MAX_FRAMES))
def test_frames_have_to_suffice_for_all(depth: int, frames: int) -> None:
    body = bodies(around(nested(depth)), frames).at(LEAF)
    assert (body is not None) == (depth <= frames)
    assert body is None or body.frames == depth


@pytest.mark.parametrize("leaf", [REFUSED["itself"], "call local leaf\n" * 30 + "exit"])
def test_recursion_ends_where_frames_do(leaf: str) -> None:
    asked: list[int] = []
    assert bodies(around(f"add r0, 1\n{leaf}"), asked=asked).at(LEAF) is None
    assert len(asked) <= MAX_FRAMES


def test_calls_of_calls_are_not_all_looked_at() -> None:
    """Thirty calls of the largest function that may be, in each of many that call one another."""
    chain = "".join(
        "call local large\n" * 30 + f"call local f{number}\nexit\nf{number}: " for number in range(40)
    )
    asked: list[int] = []
    found = bodies(around(chain + "exit\nlarge: " + ADD * (BODY_LIMIT - 2) + "exit"), asked=asked)
    assert found.at(LEAF) is None
    assert len(asked) <= 4
