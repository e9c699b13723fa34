"""The interpreter: that its tiers mean the same is tests/property's business; here, when it uses which."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from device.vm.analysis.lift import UNIT_LIMIT
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from device.vm.interpreter import InterpreterEngine
from device.vm.interpreter.engine import HOT_AFTER
from device.vm.interpreter.execution import CHUNK
from device.vm.interpreter.flow import FlowWriter
from device.vm.interpreter.guesses import REWRITES, WRONG_GUESSES
from device.vm.interpreter.machine import SHARE
from device.vm.interpreter.translation import VARIANTS, Translation
from device.vm.memory import CONTEXT_BASE, DATA_BASE, EXTRA_BASE, EXTRA_STRIDE, Stack
from device.vm.program import PERIODIC_WAKEUP, Control, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine

COUNT = "mov r0, 0\nagain: add r0, 1\njlt r0, {times}, again\nexit"
SPIN = "mov r0, 0\nagain: add r0, 1\nja again\nexit"


def program(source: str, **fields: object) -> Program:
    return Program(assemble(source), Layout.TEXT, bytes(32), **fields)  # type: ignore[arg-type]  # fields of tests


def generated() -> InterpreterEngine:
    return InterpreterEngine(hot_after=0, background=False)


def closures() -> InterpreterEngine:
    return InterpreterEngine(hot_after=None)


def run(
    engine: InterpreterEngine | SwitchEngine, linked: Program, context: bytes = b"", **fields: object
) -> Outcome:
    memory = build_memory(linked, linked.fresh_data(), bytearray(context))
    r1, r2 = (CONTEXT_BASE if context else 0), len(context)
    return engine.run(linked, Run(memory, r1=r1, r2=r2, **fields))  # type: ignore[arg-type]  # fields of tests


def translation_of(engine: InterpreterEngine, linked: Program) -> Translation | None:
    found = engine.prepared(linked, Run(build_memory(linked, linked.fresh_data()))).translation
    assert found is None or isinstance(found, Translation)
    return found


def test_a_program_is_translated_when_it_is_hot_and_not_before() -> None:
    engine = InterpreterEngine(background=False)
    linked = program(COUNT.format(times=1_000))  # 2,002 instructions
    for _ in range(HOT_AFTER // 2_002 + 1):
        assert translation_of(engine, linked) is None
        assert run(engine, linked).instructions == 2_002
    assert run(engine, linked).instructions == 2_002
    assert translation_of(engine, linked) is not None


def test_a_long_run_goes_over_to_translated_code_in_its_middle() -> None:
    engine = InterpreterEngine()
    linked = program(COUNT.format(times=2_000_000))
    outcome = run(engine, linked, budget=10_000_000)
    assert (outcome.r0, outcome.instructions) == (2_000_000, 4_000_002)
    heat = engine.prepared(linked, Run(build_memory(linked, bytearray()))).heat
    translation = translation_of(engine, linked)
    assert translation is not None
    assert outcome.instructions > HOT_AFTER + CHUNK
    assert heat >= outcome.instructions


@pytest.mark.parametrize(
    "engine", [generated(), closures(), InterpreterEngine()], ids=lambda e: str(e.hot_after)
)
@pytest.mark.parametrize("budget", [0, 1, 2, 3, 4, 5, 6, 7, SHARE, SHARE + 1, 3 * SHARE - 1])
def test_the_budget_is_exact(engine: InterpreterEngine, budget: int) -> None:
    outcome = run(engine, program(SPIN), budget=budget)
    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.OUT_OF_INSTRUCTIONS
    assert outcome.instructions == budget
    assert outcome.fault.pc == run(SwitchEngine(), program(SPIN), budget=budget).fault.pc  # type: ignore[union-attr]


@pytest.mark.parametrize("engine", [generated(), closures()], ids=["generated", "closures"])
@pytest.mark.parametrize("reason", ["operator", "deadline"])
def test_a_spinning_program_is_stopped(engine: InterpreterEngine, reason: str) -> None:
    control = Control(monotonic() + 0.15) if reason == "deadline" else Control()
    outcomes: list[tuple[Outcome, float]] = []

    def work() -> None:
        outcomes.append((run(engine, program(SPIN), budget=2**32 - 1, control=control), monotonic()))

    thread = threading.Thread(target=work)
    thread.start()
    sleep(0.15)
    if reason == "operator":
        control.kill()
    thread.join(10)
    [(outcome, _)] = outcomes
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.detail) == (FaultCode.KILLED, reason)


def test_a_killed_run_does_not_begin() -> None:
    engine, control = generated(), Control()
    run(engine, program(SPIN), budget=10)
    control.kill()
    outcome = run(engine, program(SPIN), budget=10, control=control)
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.instructions) == (FaultCode.KILLED, 0)


def test_a_function_too_large_for_a_unit_is_left_to_the_exact_tier() -> None:
    large = "\n".join(["add r0, 1"] * (UNIT_LIMIT + 1))
    linked = program(f"mov r0, 0\ncall local big\nadd r0, 1\nexit\nbig:\nmov r0, 0\n{large}\nexit")
    engine = generated()
    for _ in range(2):
        outcome = run(engine, linked)
        assert (outcome.r0, outcome.instructions) == (UNIT_LIMIT + 2, UNIT_LIMIT + 7)
    only = program(f"mov r0, 0\n{large}\nexit")
    assert run(engine, only).r0 == UNIT_LIMIT + 1
    assert run(engine, only).r0 == UNIT_LIMIT + 1


def nested(depth: int) -> str:
    """Loops around each other, each of two rounds, counting in the stack."""
    opening = [f"stdw [r10-{8 * n + 8}], 0\nloop{n}:" for n in range(depth)]
    closing = [
        f"ldxdw r1, [r10-{8 * n + 8}]\nadd r1, 1\nstxdw [r10-{8 * n + 8}], r1\njlt r1, 2, loop{n}"
        for n in reversed(range(depth))
    ]
    return "\n".join(["mov r0, 0", *opening, "add r0, 1", *closing, "exit"])


@pytest.mark.parametrize("depth", [3, 12, 16])
def test_nested_loops(depth: int) -> None:
    linked = program(nested(depth))
    expected = run(SwitchEngine(), linked)
    assert expected.r0 == 2**depth
    outcome = run(generated(), linked)
    assert (outcome.r0, outcome.instructions) == (expected.r0, expected.instructions)


def test_what_is_nested_too_deeply_for_python_is_dispatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """25 loops around each other; of the inner ones only a few rounds fit into the budget."""
    dispatched: list[int] = []
    write = FlowWriter.dispatching

    def noted(self: FlowWriter) -> None:
        dispatched.append(1)
        write(self)

    monkeypatch.setattr(FlowWriter, "dispatching", noted)
    linked = program(nested(25))
    expected, outcome = run(SwitchEngine(), linked, budget=50_000), run(generated(), linked, budget=50_000)
    assert dispatched
    assert outcome == expected


def misleading(loads: int, rounds: int) -> Program:
    """Adds up bytes of an extra region whose address looks as if it came from that of the context."""
    lines = ["mov r0, 0", "mov r5, 0", "lddw r3, 0x20200000", "ldxw r4, [r1]", "sub r4, r3", "again:"]
    for _ in range(loads):
        lines += ["lddw r3, 0x20200000", "add r3, r4", "ldxb r2, [r3]", "add r0, r2"]
    return program("\n".join([*lines, "add r5, 1", f"jlt r5, {rounds}, again", "exit"]))


@pytest.mark.parametrize(("loads", "given_up"), [(1, 1), (REWRITES - 1, REWRITES - 1), (REWRITES + 4, None)])
def test_wrong_guesses_at_regions_are_given_up(loads: int, given_up: int | None) -> None:
    """After some rewriting all guesses are, in every access of the program."""
    rounds = WRONG_GUESSES * loads * 2
    linked, engine = misleading(loads, rounds), generated()
    context = bytearray(EXTRA_BASE.to_bytes(4, "little"))
    memory = build_memory(linked, bytearray(), context, extra=[(bytearray(b"\1"), False)])
    outcome = engine.run(linked, Run(memory, r1=CONTEXT_BASE, r2=4))
    assert (outcome.r0, outcome.instructions) == (loads * rounds, 6 + (4 * loads + 2) * rounds)
    translation = translation_of(engine, linked)
    assert translation is not None
    assert len(translation.distrusted) == (given_up or linked.slots)


def test_one_slot_is_entered_with_any_knowledge() -> None:
    """More kinds of pointers than there are variants: they share one that takes anything."""
    linked = program("ldxb r0, [r1]\nexit")
    engine = generated()
    regions = [(bytearray([n]), False) for n in range(8)]
    for n in range(8):
        memory = build_memory(linked, bytearray(), bytearray(b"\x63"), extra=regions)
        assert engine.run(linked, Run(memory, r1=EXTRA_BASE + n * EXTRA_STRIDE)).r0 == n
        assert engine.run(linked, Run(memory, r1=CONTEXT_BASE)).r0 == 0x63
    translation = translation_of(engine, linked)
    assert translation is not None
    assert translation.count <= VARIANTS + 1


@pytest.mark.parametrize("frame", [32, 256, 512])
def test_one_text_with_frames_of_different_sizes(frame: int) -> None:
    source = "stb [r10-{0}], 5\ncall local below\nldxb r1, [r10-{0}]\nadd r0, r1\nexit\n"
    linked = program((source + "below: stb [r10-{0}], 9\nldxb r0, [r10-{0}]\nexit").format(frame))
    memory = build_memory(linked, bytearray(), frame_size=frame)
    assert generated().run(linked, Run(memory)).r0 == 14


def test_a_frame_is_not_accessible_from_above() -> None:
    linked = program("mov r3, r10\nsub r3, 600\nldxb r0, [r3]\nexit")
    outcome = run(generated(), linked)
    assert outcome == run(SwitchEngine(), linked)
    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.ILLEGAL_MEM


def test_the_stack_is_new_for_every_run() -> None:
    linked = program("ldxdw r0, [r10-8]\nstdw [r10-8], 7\nexit")
    engine = generated()
    memory = build_memory(linked, bytearray())
    assert [engine.run(linked, Run(memory)).r0 for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("engine", [generated(), closures()], ids=["generated", "closures"])
def test_a_long_run_sleeps_and_its_budget_begins_anew(engine: InterpreterEngine) -> None:
    source = f"mov r6, 0\nagain: call {PERIODIC_WAKEUP:#x}\nadd r6, 1\njlt r6, 100, again\nmov r0, r6\nexit"
    linked = program(source)
    for renews in (True, False):
        expected = run(SwitchEngine(), linked, budget=20, renews=renews, call_helper=lambda *_: 0)
        outcome = run(engine, linked, budget=20, renews=renews, call_helper=lambda *_: 0)
        assert outcome == expected
        assert (outcome.fault is None) == renews


def test_regions_elsewhere_and_budgets_beyond_32_bits_are_for_switch() -> None:
    linked = program("lddw r1, 0x20000010\nldxb r0, [r1]\nexit", data=bytes(15) + b"\5\6")
    memory = build_memory(linked, linked.fresh_data())
    assert generated().run(linked, Run(memory, budget=2**40)).r0 == 6
    data = memory.regions[1]
    data.base = data.origin = DATA_BASE + 1
    data.end += 1
    assert generated().run(linked, Run(memory)).r0 == 5


def test_threads_share_an_engine() -> None:
    engine = InterpreterEngine(hot_after=1_000)
    programs = [program(f"mov r0, {n}\n" + COUNT.format(times=3_000).split("\n", 1)[1]) for n in range(4)]
    results: list[tuple[int, int | None]] = []

    def work(n: int) -> None:
        for _ in range(20):
            outcome = run(engine, programs[n], budget=100_000)
            results.append((n, outcome.r0))

    threads = [threading.Thread(target=work, args=(n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 160
    assert {r0 for _, r0 in results} == {3_000}


def test_stacks_of_other_shapes_are_other_programs() -> None:
    linked = program("call local down\nexit\ndown: call local down\nexit")
    engine = generated()
    for frames in (2, 8, 3):
        memory = build_memory(linked, bytearray())
        memory = type(memory)([], Stack(64, frames))
        outcome = engine.run(linked, Run(memory))
        assert outcome.fault is not None
        assert (outcome.fault.code, outcome.instructions) == (FaultCode.CALL_DEPTH, frames)


@pytest.mark.parametrize(
    "op",
    [
        "add r2, 1",
        "mov r3, r2",
        "mul32 r2, 3",
        "rsh r2, 1",
        "div r2, 3",
        "mod r2, r2",
        "div r3, r2",
        "sdiv r2, r2",
        "neg r2",
    ],
)
def test_a_register_that_was_lost_is_not_shown_as_a_number(op: str) -> None:
    """r2 is dead in the loop: translated code does not keep it, and the end of the budget shows registers."""
    linked = program(f"lddw r2, 0x123456789\nmov r0, 0\nagain: add r0, 1\n{op}\nja again\nexit")
    for budget in range(3, 20):
        expected, found = run(SwitchEngine(), linked, budget=budget), run(generated(), linked, budget=budget)
        assert expected.fault is not None
        assert found.fault is not None
        for shown, right in zip(found.fault.registers, expected.fault.registers, strict=True):
            assert shown in (None, right)
