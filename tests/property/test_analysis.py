"""What the analyses claim, held against what `switch` does: random programs, looked at before every step.

A run with a budget of k ends with OUT_OF_INSTRUCTIONS before instruction k + 1 and shows all registers there,
so that budgets 0, 1, 2, … show a whole run step by step.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from device.vm.analysis import intervals, liveness
from device.vm.analysis.effects import bound, step_over
from device.vm.analysis.lift import LEAVE, RETURN, TEST, Unit, lift
from device.vm.analysis.structure import shape
from device.vm.analysis.values import ANY, State
from device.vm.asm import assemble
from device.vm.decode import decode_step
from device.vm.faults import FaultCode
from device.vm.isa import SLOT_SIZE, Instruction
from device.vm.memory import STACK_TOP
from device.vm.program import Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.property.programs import PREAMBLE, VALUES, WIDE, text_of

STEPS = 120


def program_of(text: bytes) -> Program:
    return Program(text, Layout.TEXT, b"\0" * 32)


def run(text: bytes, budget: int) -> tuple[Outcome, bytes]:
    context = bytearray(range(16))
    program = program_of(text)
    memory = build_memory(program, bytearray(), context)
    outcome = SwitchEngine().run(program, Run(memory, budget=budget))
    return outcome, bytes(context) + bytes(memory.stack.data)


def trace(text: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(slot, registers) before every step of a run."""
    for budget in range(STEPS):
        fault = run(text, budget)[0].fault
        if fault is None or fault.code is not FaultCode.OUT_OF_INSTRUCTIONS:
            return
        yield fault.pc, tuple(value or 0 for value in fault.registers)


def no_calls(start: int) -> int:
    raise AssertionError(start)


def unit_of(text: bytes, start: int) -> Unit:
    unit = lift(lambda pc: decode_step(text, pc), len(text) // SLOT_SIZE, start)
    assert unit is not None
    return unit


def states_by_slot(unit: Unit, entry: State) -> dict[int, State]:
    """What is claimed before every step that is held to be reachable."""
    claimed: dict[int, State] = {}
    for block, known in zip(
        unit.blocks, intervals.solve(unit, shape(unit.blocks), bound(unit, 0), entry), strict=True
    ):
        if known is None:
            continue
        state = list(known)
        for pc, step in block.steps:
            claimed[pc] = list(state)
            step_over(step, state, 0)
        if block.end == LEAVE:
            claimed[block.leave] = list(state)
    return claimed


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_registers_stay_within_their_intervals(first: int) -> None:
    for seed in range(first, first + 50):
        source = random.Random(seed)
        text = text_of(source, [source.choice(VALUES) for _ in range(10)])
        unit = unit_of(text, 0)
        entry: State = [(0, 0, -1)] * 10 + [(STACK_TOP, STACK_TOP, -1)]
        claimed = states_by_slot(unit, entry)
        for pc, registers in trace(text):
            assert pc in claimed, (seed, pc)
            if pc in unit.joined:
                continue
            for register, (value, (low, high, _)) in enumerate(zip(registers, claimed[pc], strict=True)):
                assert low <= value <= high, (seed, pc, register)


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_what_is_dead_changes_nothing(first: int) -> None:
    for seed in range(first, first + 50):
        source = random.Random(seed)
        values = [source.choice(VALUES) for _ in range(10)]
        text = text_of(source, values)
        unit = unit_of(text, PREAMBLE)
        live = liveness.solve(unit, no_calls, 0).starts[0]
        other = [
            value ^ (0 if live & liveness.LOW[r] else source.getrandbits(32))
            ^ (0 if live & liveness.HIGH[r] else source.getrandbits(32) << 32)
            for r, value in enumerate(values)
        ]  # fmt: skip
        prefix = b"".join(Instruction(0, WIDE, r, 0, 0, value).encode() for r, value in enumerate(other))
        one, memory = run(text, STEPS)
        two, memory_too = run(prefix + text[PREAMBLE * SLOT_SIZE :], STEPS)
        assert (one.r0, one.instructions, one.fault) == (two.r0, two.instructions, two.fault), seed
        assert memory == memory_too, seed


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_blocks_follow_each_other_as_the_run_does(first: int) -> None:
    for seed in range(first, first + 50):
        source = random.Random(seed)
        text = text_of(source, [source.choice(VALUES) for _ in range(10)])
        unit = unit_of(text, 0)
        following: dict[int, set[int]] = {}
        for block in unit.blocks:
            places = [pc for pc, _ in block.steps] + ([block.leave] if block.end == LEAVE else [])
            for pc, after in pairwise(places):
                following.setdefault(pc, set()).add(after)
            if places:
                targets = {unit.blocks[number].start for number in block.successors()}
                following.setdefault(places[-1], set()).update(targets)
            assert block.end not in (RETURN, TEST) or block.steps
        previous = None
        for pc, _ in trace(text):
            assert previous is None or pc in following[previous], (seed, previous, pc)
            previous = pc


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_every_block_has_one_place(first: int) -> None:
    for seed in range(first, first + 50):
        source = random.Random(seed)
        unit = unit_of(text_of(source, [0] * 10), 0)
        found = shape(unit.blocks)
        for number in range(1, len(unit.blocks)):
            assert found.dominator[number] < number
        if not found.structured:
            continue
        placed = [label for labels in found.labels for label in labels]
        assert sorted(placed) == sorted(found.labelled), seed
        for number, labels in enumerate(found.labels):
            inner, outer = labels[: found.inside[number]], labels[found.inside[number] :]
            assert inner == sorted(inner)
            assert outer == sorted(outer)
            assert all(label > number for label in labels)


def test_counters_do_not_wrap_and_pointers_stay_in_the_map() -> None:
    """r2 walks through the context up to an end that nothing is known of, r3 counts."""

    text = assemble(
        "mov r3, 0\nlddw r2, 0x20200000\nmov r0, 0\nldxdw r4, [r10-8]\n"
        "again: ldxb r5, [r2]\nadd r0, r5\nadd r2, 1\nadd r3, 1\njne r3, r4, again\nexit\n"
    )
    unit = unit_of(text, 0)
    claimed = states_by_slot(unit, [ANY] * 10 + [(STACK_TOP, STACK_TOP, -1)])
    last = claimed[max(claimed)]
    assert last[2][1] < 2**30
    assert last[3][1] < 2**64 - 1, "a counter from 0 in steps of 1 cannot get there"


def test_what_functions_read_of_their_callers() -> None:
    """main passes r1 and keeps r6; the callee reads r1 and r3; r2 is read behind the call."""
    text = assemble(
        "mov r6, 1\nmov r1, 2\ncall local callee\nadd r0, r6\nadd r0, r2\nexit\n"
        "callee: mov r0, r1\nadd32 r0, r3\nexit\n"
    )
    callee = len(text) // SLOT_SIZE - 3
    needs, returned = liveness.around_calls({0: unit_of(text, 0), callee: unit_of(text, callee)})
    assert returned == liveness.BOTH[2]
    assert needs[callee] == liveness.LOW[1] | liveness.BOTH[2] | liveness.LOW[3]
    assert needs[0] == liveness.BOTH[2] | liveness.LOW[3]


@pytest.mark.parametrize(("back", "extended"), [("rsh", 0x89ABCDEF), ("arsh", 0xFFFFFFFF89ABCDEF)])
def test_shifts_to_and_fro_are_a_move(back: str, extended: int) -> None:
    text = assemble(f"lddw r0, 0x0123456789abcdef\nlsh r0, 32\n{back} r0, 32\nexit")
    unit = unit_of(text, 0)
    assert unit.joined == {3}
    low, high, _ = states_by_slot(unit, [ANY] * 10 + [(STACK_TOP, STACK_TOP, -1)])[4][0]
    assert low <= extended <= high
    assert run(text, 10)[0].r0 == extended


@pytest.mark.parametrize(
    "source",
    [
        "lsh r0, 32\nrsh r1, 32\nexit",
        "lsh r0, 31\nrsh r0, 32\nexit",
        "lsh32 r0, 0\nrsh r0, 32\nexit",
        "jeq r1, 0, in\nlsh r0, 32\nin: rsh r0, 32\nexit",
    ],
)
def test_other_shifts_are_shifts(source: str) -> None:
    assert unit_of(assemble(source), 0).joined == frozenset()
