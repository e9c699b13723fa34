"""Runs of a program that was run before: what is not found out again for them changes nothing."""

from __future__ import annotations

import gc
from functools import partial
from time import monotonic
from weakref import ref

import pytest

from device.jit.engine import JitEngine
from device.vm.asm import assemble
from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import HELPERS, gate
from device.vm.interpreter import InterpreterEngine
from device.vm.interpreter.entrance import ENTRANCES
from device.vm.memory import CONTEXT_BASE, PACKET_VIEW_BASE, GuestMemory, Region
from device.vm.profiles import PROFILES
from device.vm.program import Control, Layout, Outcome, Program, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.unit.helper_bench import Bench

Hot = InterpreterEngine | JitEngine

ENGINES = {
    "interpreter": lambda: InterpreterEngine(hot_after=0, background=False),
    "jit": JitEngine,
}

SOURCES = {
    "arithmetic": "mov r0, r2\nmul r0, 3\nexit",
    "loop": "mov r6, 20\nagain: add r7, r6\nadd r6, -1\njne r6, 0, again\nmov r0, r7\nexit",
    "context": "ldxb r0, [r1]\nadd r0, 1\nstxb [r1], r0\nexit",
    "stack": "ldxdw r0, [r10-8]\nstdw [r10-8], 7\nexit",
    "data": "lddw r3, 0x20000000\nldxw r0, [r3]\nadd r0, 1\nstxw [r3], r0\nexit",
    "fault": "mov r6, 3\nagain: add r6, -1\njne r6, 0, again\nldxdw r0, [r1+100]\nexit",
    "calls": "mov r1, 4\ncall local f\nadd r0, r6\nexit\nf: mov r6, 9\nstb [r10-1], 1\nmov r0, r1\nexit",
    "helper": "mov r6, r1\nmov r1, 0\nmov r2, r10\nadd r2, -4\ncall bpf_fetch_global\nldxw r0, [r10-4]\nexit",
    "string": "stw [r10-8], 0x4141\nstw [r10-4], 0\nmov r1, r10\nadd r1, -8\ncall bpf_strlen\nexit",
    "denied": "mov r0, 5\ncall bpf_printf\nexit",
}
NAMES = {helper.name: number for number, helper in HELPERS.items()}
ALLOWED = frozenset(NAMES.values()) - {NAMES["bpf_printf"]}


def program(source: str) -> Program:
    return Program(assemble(source, helpers=NAMES), Layout.TEXT, bytes(32), data=bytes(range(4)))


def run(
    engine: Hot | SwitchEngine, linked: Program, context: bytes, **fields: object
) -> tuple[Outcome, list[bytes]]:
    """How it ended, and all memory behind it."""
    held = bytearray(context)
    memory = build_memory(linked, linked.fresh_data(), held)
    call = gate(memory, Bench().services, HELPERS, ALLOWED)
    given = {"call_helper": call, "r1": CONTEXT_BASE, "r2": len(context), **fields}
    outcome = engine.run(linked, Run(memory, **given))  # type: ignore[arg-type]  # fields of tests
    return outcome, [bytes(region.data) for region in memory.regions]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("name", ENGINES)
def test_the_next_runs_are_as_the_first(name: str, source: str) -> None:
    """The same program with contexts, arguments and budgets that come again."""
    engine, linked = ENGINES[name](), program(source)
    for fields in (
        {},
        {"budget": 2**32 - 1},
        {"r2": 2**63 + 5},
        {},
        {"budget": 3},
        {"budget": 0},
        {"r1": CONTEXT_BASE + 1},
        {"budget": 17},
        {},
    ):
        for context in (bytes(8), b"\x07" * 8, bytes(120), bytes(8)):
            found, expected = (run(one, linked, context, **fields) for one in (engine, SwitchEngine()))
            assert found == expected, (fields, len(context))


@pytest.mark.parametrize("name", ENGINES)
def test_rules_of_another_profile_hold_from_one_run_to_the_next(name: str) -> None:
    engine, linked = ENGINES[name](), program("mov r6, 40\nagain: add r6, -1\njne r6, 0, again\nexit")
    strict = next(one.rules for one in PROFILES.values() if one.rules.branch_limit is not None)
    for fields in ({}, {}, {"rules": strict}, {}):
        assert run(engine, linked, b"", **fields)[0] == run(SwitchEngine(), linked, b"", **fields)[0]


@pytest.mark.parametrize("name", ENGINES)
def test_programs_that_are_gone_are_not_entered(name: str) -> None:
    """Programs are known by identity, which the next one may have when one is gone."""
    engine = ENGINES[name]()
    for number in range(3 * ENTRANCES):
        linked = program(f"mov r0, {number % 50}\nadd r0, r2\nexit")
        for _ in range(2):
            outcome = run(engine, linked, b"abc")[0]
            assert outcome.r0 == number % 50 + 3


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("what", ["killed", "late"])
def test_a_run_that_is_to_stop_does_not_begin(name: str, what: str) -> None:
    engine, linked = ENGINES[name](), program(SOURCES["data"])
    for _ in range(3):
        run(engine, linked, b"")
    control = Control(monotonic() - 1 if what == "late" else None)
    if what == "killed":
        control.kill()
    outcome, memory = run(engine, linked, b"", control=control)
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.instructions) == (FaultCode.KILLED, 0)
    assert linked.data in memory


@pytest.mark.parametrize("name", ENGINES)
def test_a_helper_that_kills_its_run_is_the_last_one(name: str) -> None:
    engine, linked = ENGINES[name](), program("mov r1, 1\ncall 9\nmov r1, 2\ncall 9\nexit")
    calls = list[int]()
    for _ in range(3):
        control = Control()
        outcome = run(engine, linked, b"", call_helper=partial(killing, control, calls), control=control)[0]
        assert outcome.fault is not None
        assert (outcome.fault.code, outcome.fault.detail) == (FaultCode.KILLED, "replaced")
    assert calls == [1, 1, 1]


def killing(control: Control, calls: list[int], _helper: int, r1: int, *_: int) -> int:
    calls.append(r1)
    control.kill("replaced")
    return 0


def test_a_gate_denies_in_each_run_anew() -> None:
    """What one run may call, the next may not."""
    engine, linked = JitEngine(), program(SOURCES["string"])
    for allowed in (None, frozenset[int](), None, frozenset({NAMES["bpf_strlen"]}), frozenset[int]()):
        memory = build_memory(linked, linked.fresh_data())
        call = gate(memory, Bench().services, HELPERS, allowed)
        outcome = engine.run(linked, Run(memory, call))
        denied = allowed is not None and not allowed
        assert (outcome.r0, outcome.fault and outcome.fault.code) == (
            (None, FaultCode.HELPER_DENIED) if denied else (2, None)
        )


def test_code_that_was_dropped_is_not_entered() -> None:
    engine, linked = JitEngine(), program(SOURCES["loop"])
    for _ in range(3):
        run(engine, linked, b"")
    engine.discard(linked)
    assert engine.figures(linked).units == 0
    assert run(engine, linked, b"")[0] == run(SwitchEngine(), linked, b"")[0]
    assert engine.figures(linked).units == 1


def test_nothing_is_kept_of_code_that_was_dropped() -> None:
    engine, linked = JitEngine(), program(SOURCES["loop"])
    for _ in range(3):
        run(engine, linked, b"")
    [kept] = [ref(prepared) for prepared in engine._programs.values()]
    engine.discard(linked)
    gc.collect()
    assert kept() is None


def test_a_helper_of_any_kind_may_fault() -> None:
    """A gate that is a plain function is asked for each call."""
    engine, linked = (
        JitEngine(),
        program("mov r6, 3\nagain: mov r1, r6\ncall 9\nadd r6, -1\njne r6, 0, again\nexit"),
    )

    def refuse(helper: int, r1: int, *_: int) -> int:
        if r1 == 1:
            raise GuestFault(FaultCode.HELPER_DENIED, "enough", helper=helper)
        return r1

    for _ in range(3):
        assert (
            run(engine, linked, b"", call_helper=refuse)[0]
            == run(SwitchEngine(), linked, b"", call_helper=refuse)[0]
        )


@pytest.mark.parametrize("name", [*ENGINES, "switch"])
def test_what_only_helpers_write_to_is_seen_at_once(name: str) -> None:
    """The view of a packet is shown anew by each helper that changes the packet."""
    engine = SwitchEngine() if name == "switch" else ENGINES[name]()
    linked = program(f"lddw r6, {PACKET_VIEW_BASE}\nldxw r7, [r6]\ncall 9\nldxw r0, [r6]\nadd r0, r7\nexit")
    for number in range(3):
        view = Region("a view", PACKET_VIEW_BASE, bytearray([number, 0, 0, 0]), writable=False, updated=True)

        def show(*_: int, view: Region = view) -> int:
            view.data[0] += 10
            return view.data[0]

        outcome = engine.run(linked, Run(GuestMemory([view]), show))
        assert (outcome.r0, view.data) == (2 * number + 10, bytearray([number + 10, 0, 0, 0]))
