"""The verifier on programs that nobody wrote: it never raises, and what it says is true.

Small programs are explored path by path, and run. What the verifier found by its analyses has to agree with
what happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from device.vm.asm import assemble
from device.vm.decode import decode_step
from device.vm.faults import FaultCode, GuestFault
from device.vm.isa import BY_OPCODE, Form, Instruction, Slot, walk
from device.vm.lint import lint
from device.vm.profiles import PROFILES, UBPF_FC, Profile
from device.vm.program import Function, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from device.vm.verifier import RULES, Report, verify

HELPERS = {1: "one", 2: "two"}
STRUCTURAL = {
    FaultCode.ILLEGAL_INSTRUCTION,
    FaultCode.ILLEGAL_JUMP,
    FaultCode.ILLEGAL_CALL,
    FaultCode.ILLEGAL_LEN,
    FaultCode.ILLEGAL_REGISTER,
    FaultCode.NO_RETURN,
}

# Any slots: mostly known opcodes, mostly small fields, so that much of it is almost a program.

SMALL = st.integers(-6, 6)
ANY_SLOT = st.builds(
    Slot,
    st.one_of(st.sampled_from(sorted(BY_OPCODE)), st.integers(0, 255)),
    st.one_of(st.integers(0, 10), st.integers(0, 15)),
    st.one_of(st.just(0), st.integers(0, 1), st.integers(0, 15)),
    st.one_of(st.just(0), SMALL, st.integers(-(2**15), 2**15 - 1)),
    st.one_of(st.just(0), SMALL, st.sampled_from([16, 32, 64]), st.integers(-(2**31), 2**31 - 1)),
)
ANY_TEXT = st.one_of(
    st.binary(max_size=100),
    st.lists(ANY_SLOT, max_size=24).map(lambda slots: b"".join(s.pack() for s in slots)),
)
ANY_PROGRAM = st.builds(
    Program,
    text=ANY_TEXT,
    layout=st.sampled_from(Layout),
    digest=st.binary(max_size=32),
    entry=st.one_of(st.just(0), st.integers(-2, 30)),
    rodata=st.binary(max_size=8),
    data=st.binary(max_size=8),
    bss_size=st.integers(0, 8),
    functions=st.lists(
        st.builds(Function, st.integers(-2, 30), st.one_of(st.none(), st.text(max_size=3))), max_size=5
    ).map(tuple),
    lines=st.dictionaries(st.integers(-2, 30), st.text(max_size=3), max_size=3),
)


@settings(max_examples=1000)
@given(
    ANY_PROGRAM,
    st.one_of(st.none(), st.sets(st.sampled_from([1, 2, 3]))),
    st.integers(0, 50),
    st.sampled_from([*PROFILES.values(), UBPF_FC]),
)
def test_any_program_gets_a_report(
    program: Program, allowed: set[int] | None, budget: int, profile: Profile
) -> None:
    report = verify(program, helpers=HELPERS, allowed=allowed, budget=budget, profile=profile)
    last = max(program.slots - 1, 0)
    assert [(f.insn, f.id) for f in report.findings] == sorted((f.insn, f.id) for f in report.findings)
    assert all(f.id in RULES and 0 <= f.insn <= last and f.message for f in report.findings)
    assert report.bounded == (report.bound is not None)
    assert report.to_map()["accepted"] == report.accepted == (report.errors == ())
    assert {loop.end for loop in report.loops} <= set(range(last + 1))


@settings(max_examples=300, deadline=None)
@given(ANY_PROGRAM)
def test_any_program_can_be_linted(program: Program) -> None:
    remarks = lint(program, list(PROFILES))
    assert all(0 <= pc < program.slots for remark in remarks for pc in remark.insns)
    assert all(remark.message and remark.profiles for remark in remarks)


# Findings that make one slot unfit to run, whatever stands around it.
SLOT_RULES = {name for name, rule in RULES.items() if rule.fault in (FaultCode(-1), FaultCode(-6))} | {
    "call-kind"
}


def refused_by_the_engine(text: bytes, pc: int) -> bool:
    try:
        decode_step(text, pc)
    except GuestFault:
        return True
    return False


@settings(max_examples=1000)
@given(ANY_TEXT)
def test_the_engine_refuses_the_same_slots(text: bytes) -> None:
    report = verify(Program(text, Layout.FEMTO, b""), helpers=HELPERS)
    expected = {pc for pc, _ in walk(text) if refused_by_the_engine(text, pc)}
    assert {finding.insn for finding in report.errors if finding.id in SLOT_RULES} == expected


@settings(max_examples=1000)
@given(ANY_TEXT)
def test_targets_are_refused_when_they_are_no_instruction(text: bytes) -> None:
    report = verify(Program(text, Layout.FEMTO, b""), helpers=HELPERS)
    walked = dict(walk(text))
    wrong = {
        instruction.pc
        for instruction in walked.values()
        if instruction is not None and instruction.target not in (None, *walked)
    }
    rules = {"jump-range", "jump-half", "call-range", "call-half"}
    assert {finding.insn for finding in report.errors if finding.id in rules} == wrong


# Small programs that are almost always accepted, explored path by path and run.

LINES = [
    "mov r{a}, {n}",
    "mov r{a}, r{b}",
    "mov r{a}, r10",
    "add r{a}, r{b}",
    "add r{a}, -8",
    "add32 r{a}, {n}",
    "sub r{a}, r{b}",
    "stdw [r10-{m}], {n}",
    "stb [r{a}-1], 7",
    "ldxb r{a}, [r10-{m}]",
    "ldxb r{a}, [r{b}-1]",
    "stxb [r10-{m}], r{b}",
    "lock fetch add [r10-{m}], r{a}",
    "lock cmpxchg [r10-{m}], r{a}",
    "lddw r{a}, {n}",
    "call 1",
    "call local x{t}",
    "jeq r{a}, {n}, x{t}",
    "jne r{a}, r{b}, x{t}",
    "jlt r{a}, 3, x{t}",
    "ja x{t}",
    "exit",
]
MOST_LINES = 12
REGISTERS = st.integers(0, 3)


@st.composite
def sources(draw: st.DrawFn, *, endless: bool = False) -> str:
    """A line or more with jumps among each other, and an exit; or, `endless`, a jump back instead."""
    count = draw(st.integers(1, MOST_LINES))
    lines = [
        draw(st.sampled_from(LINES)).format(
            a=draw(REGISTERS),
            b=draw(REGISTERS),
            n=draw(st.integers(-1, 3)),
            m=draw(st.sampled_from([1, 8, 16, 24, 508, 520])),
            t=draw(st.integers(0, count)),
        )
        for _ in range(count)
    ]
    end = f"ja x{draw(st.integers(0, count - 1))}" if endless else "exit"
    return "".join(f"x{number}: {line}\n" for number, line in enumerate([*lines, end]))


def built(source: str) -> tuple[Program, Report]:
    """A program and its report; those that are refused (a jump to itself, nine frames) are not used."""
    program = Program(assemble(source), Layout.TEXT, b"")
    report = verify(program, helpers=HELPERS)
    assume(report.accepted)
    return program, report


def found(report: Report, *rules: str) -> set[tuple[int, str]]:
    return {(finding.insn, finding.what) for finding in report.findings if finding.id in rules}


# Execution

BUDGET = 500
INPUTS = st.tuples(REGISTERS, REGISTERS, REGISTERS)
"""r1 and r2 at the entry, and what the helper returns."""


def ran(program: Program, inputs: tuple[int, int, int], budget: int = BUDGET) -> tuple[Outcome, bytes]:
    """The outcome, and the stack after it."""
    r1, r2, result = inputs
    memory = build_memory(program, bytearray())
    outcome = SwitchEngine().run(program, Run(memory, lambda *_: result, budget, r1, r2))
    return outcome, bytes(memory.stack.data)


def visited(program: Program, inputs: tuple[int, int, int], most: int = 60) -> set[int]:
    """The slots that a run gets to: where its budget ends after 0, 1, 2 … instructions."""
    outcomes = (ran(program, inputs, budget)[0] for budget in range(most))
    return {outcome.fault.pc for outcome in outcomes if outcome.fault is not None}


@settings(max_examples=700)
@given(sources(), INPUTS)
def test_runs_keep_the_promises_of_the_report(source: str, inputs: tuple[int, int, int]) -> None:
    program, report = built(source)
    outcome, stack = ran(program, inputs)
    code = FaultCode.OK if outcome.fault is None else outcome.fault.code
    assert code not in STRUCTURAL
    if report.bound is not None:
        assert outcome.instructions <= report.bound
    if not found(report, "recursion"):
        assert code is not FaultCode.CALL_DEPTH
    if report.stack_depth is not None and len(report.functions) == 1 and "lock" not in source:
        # A pointer that went through memory is not followed, hence no atomics here.
        assert not any(stack[: len(stack) - report.stack_depth])


@settings(max_examples=400)
@given(sources(), INPUTS)
def test_stack_range_is_a_fault_at_run_time(source: str, inputs: tuple[int, int, int]) -> None:
    program, report = built(source)
    bad = {insn for insn, _ in found(report, "stack-range")}
    outcome, _ = ran(program, inputs)
    if hit := bad & (visited(program, inputs) if bad else set()):
        assert outcome.fault is not None
        assert (outcome.fault.code, {outcome.fault.pc}) == (FaultCode.ILLEGAL_MEM, hit)


@settings(max_examples=400)
@given(sources(endless=True), INPUTS)
def test_a_loop_without_an_exit_never_ends_well(source: str, inputs: tuple[int, int, int]) -> None:
    program, report = built(source)
    endless = {insn for insn, _ in found(report, "loop-budget")}
    if endless & visited(program, inputs):
        assert ran(program, inputs)[0].fault is not None


@settings(max_examples=500)
@given(
    width=st.sampled_from(["", "32"]),
    start=st.integers(-12, 12),
    change=st.tuples(st.sampled_from(["add", "sub"]), st.integers(-4, 4)),
    test=st.sampled_from(["jne", "jlt", "jle", "jgt", "jge", "jslt", "jsle", "jsgt", "jsge"]),
    limit=st.integers(-12, 12),
    budget=st.integers(0, 60),
)
def test_a_counted_loop_outlasts_its_budget(
    width: str, start: int, change: tuple[str, int], test: str, limit: int, budget: int
) -> None:
    step, amount = change
    text = f"""
        mov{width} r1, {start}
    x:  add r0, 1
        {step}{width} r1, {amount}
        {test}{width} r1, {limit}, x
        exit
    """
    program = Program(assemble(text), Layout.TEXT, b"")
    report = verify(program, helpers=(), budget=budget)
    outcome, _ = ran(program, (0, 0, 0), budget + 1)  # the loop alone takes more than the budget
    if found(report, "loop-budget"):
        assert outcome.fault is not None
        assert outcome.fault.code is FaultCode.OUT_OF_INSTRUCTIONS


# Exploration: every path through the program, one state after the other

ARGUMENTS = frozenset(range(1, 6))


@dataclass(frozen=True)
class State:
    """Where a path stands, what it never wrote, what it had before a call, whether it is in a callee."""

    pc: int
    unset: frozenset[int] = frozenset({0, 3, 4, 5, 6, 7, 8, 9})
    stale: frozenset[int] = frozenset()
    in_callee: bool = False

    def settle(self, registers: set[int]) -> State:
        return replace(self, unset=self.unset - registers, stale=self.stale - registers)


def reads(instruction: Instruction, *, in_callee: bool) -> set[int]:
    op = instruction.op
    named = {instruction.dst} if op.reads_dst else set()
    named |= {instruction.src} if op.reads_src else set()
    return named | ({0} if op.reads_r0 and not (in_callee and op.form is Form.EXIT) else set())


def writes(instruction: Instruction) -> set[int]:
    op = instruction.op
    named = {instruction.dst} if op.writes_dst else set()
    named |= {instruction.src} if op.writes_src else set()
    return named | ({0} if op.writes_r0 else set())


def successors(state: State, instruction: Instruction) -> Iterator[State]:
    form, target = instruction.op.form, instruction.target
    before = state.settle(reads(instruction, in_callee=state.in_callee))
    after = before.settle(writes(instruction))
    if form is Form.CALL_LOCAL:
        yield replace(before, pc=target or 0, in_callee=True)
        after = replace(after, unset=after.unset - ARGUMENTS)
    elif target is not None:
        yield replace(after, pc=target)
    if form in (Form.CALL_LOCAL, Form.CALL_HELPER):
        after = replace(after, stale=after.stale | ARGUMENTS)
    if form.falls_through:
        yield replace(after, pc=instruction.pc + form.slots)


def explore(program: Program) -> tuple[set[int], set[tuple[int, str]]]:
    """The slots that are reached, and the reads of registers that nobody set, or that a call may lose."""
    code = dict(walk(program.text))
    seen, work = {State(0)}, [State(0)]
    wrong = set()
    while work:
        state = work.pop()
        instruction = code[state.pc]
        assert instruction is not None
        used = reads(instruction, in_callee=state.in_callee)
        wrong |= {(state.pc, f"r{r} read before written (reads 0)") for r in used & state.unset}
        wrong |= {(state.pc, f"r{r} read after a call") for r in used & state.stale}
        fresh = set(successors(state, instruction)) - seen
        seen |= fresh
        work.extend(fresh)
    return {state.pc for state in seen}, wrong


@settings(max_examples=700)
@given(sources())
def test_registers_are_judged_as_by_walking_every_path(source: str) -> None:
    program, report = built(source)
    # Who exits a block that two functions share is a matter of the path, not of the block.
    assume(not found(report, "cross-function", "fall-into"))
    assume(all(0 not in function.callees for function in report.functions))
    _, wrong = explore(program)
    assert found(report, "uninit", "clobbered") == wrong


@settings(max_examples=400)
@given(sources())
def test_dead_code_is_what_no_path_reaches(source: str) -> None:
    program, report = built(source)
    reached, _ = explore(program)
    slots = [pc for pc, _ in walk(program.text)]
    first = {pc for at, pc in enumerate(slots) if pc not in reached and (at == 0 or slots[at - 1] in reached)}
    assert {insn for insn, _ in found(report, "unreachable")} == first


def longest(program: Program, pc: int, path: tuple[int, ...] = ()) -> float:
    """Instructions on the longest path from `pc` to its exit, callees included; infinite with a cycle."""
    if pc in path:
        return math.inf
    instruction = dict(walk(program.text))[pc]
    assert instruction is not None
    form, target = instruction.op.form, instruction.target
    ahead = [instruction.pc + form.slots] if form.falls_through else []
    ahead += [target] if target is not None and form is not Form.CALL_LOCAL else []
    rest = max((longest(program, at, (*path, pc)) for at in ahead), default=0)
    called = longest(program, target or 0, (*path, pc)) if form is Form.CALL_LOCAL else 0
    return 1 + rest + called


@settings(max_examples=400)
@given(sources())
def test_the_bound_is_the_longest_path(source: str) -> None:
    program, report = built(source)
    exact = longest(program, 0)
    assert report.bound == (None if exact == math.inf else exact)
