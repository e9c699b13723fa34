"""Programs without bytecode in the engine: whatever the exact tier has to do, it has what it needs."""

from __future__ import annotations

from threading import Event

import pytest

from device.engines.wish import Wish
from device.errors import Conflict
from device.jit import engine as engines
from device.jit.engine import Figures, JitEngine
from device.vm.interpreter.closures import Closures
from device.vm.interpreter.discarded import DiscardedProgram, exact_size
from device.vm.memory import CONTEXT_BASE
from device.vm.program import BUDGET_MAX, Outcome, Program, Rules, Run, build_memory
from device.vm.switch import SwitchEngine
from tests.unit.test_entrances import SOURCES, program, run

WALK = """
    mov r6, 12
again:
    mov r1, 0x20200000
    add r1, r6
    call local poke
    add r7, r0
    add r6, -1
    jne r6, 0, again
    mov r0, r7
    exit
poke:
    ldxb r0, [r1-1]
    stxb [r1-1], r6
    exit
"""
"""Goes through twelve bytes of context, in a function: with fewer there is a fault in the middle."""


def without_bytecode(engine: JitEngine, linked: Program, context: bytes = b"") -> DiscardedProgram:
    memory = build_memory(linked, linked.fresh_data(), bytearray(context))
    left = engine.without_bytecode(linked, Run(memory, r1=CONTEXT_BASE, r2=len(context)))
    engine.discard(linked)
    return left


def shown(result: tuple[Outcome, list[bytes]]) -> object:
    """Without the registers of a fault, which only `switch` knows all of."""
    outcome, memory = result
    fault = outcome.fault
    named = fault and (
        fault.code,
        fault.pc,
        fault.address,
        fault.size,
        fault.access,
        fault.helper,
        fault.function,
    )
    return outcome.r0, named, outcome.instructions, memory


@pytest.mark.parametrize("source", [*SOURCES.values(), WALK], ids=[*SOURCES, "walk"])
def test_every_budget_with_any_length_of_context(source: str) -> None:
    """Code is there for one length. With the others, and where a budget ends, it is the exact tier's."""
    engine, linked = JitEngine(), program(source)
    left = without_bytecode(engine, linked, bytes(12))
    assert (left.text, left.slots, left.digest) == (b"", linked.slots, linked.digest)
    for length in (12, 0, 1, 5, 13):
        for budget in (*range(1, 70), BUDGET_MAX):
            context = bytes(range(length))
            expected = run(SwitchEngine(), linked, context, budget=budget)
            assert shown(run(engine, left, context, budget=budget)) == shown(expected)
    assert not engine._programs


def test_it_compiles_nothing_and_is_not_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CACHED_CODE", 1)
    engine, linked = JitEngine(), program(WALK)
    left = without_bytecode(engine, linked, bytes(12))
    before = engine.figures(left)
    assert before.size > 0
    assert before.units == 1
    for source in SOURCES.values():
        run(engine, program(source), b"\1\2")
    monkeypatch.setattr(engines, "NativeTranslation", None)  # whoever wants to make one fails
    for length in (12, 3, 12):
        assert shown(run(engine, left, bytes(length))) == shown(run(SwitchEngine(), linked, bytes(length)))
    assert engine.figures(left) == before


def test_shapes_that_there_was_code_for_keep_it() -> None:
    engine, linked = JitEngine(), program(WALK)
    for length in (12, 20):
        run(engine, linked, bytes(length))
    left = without_bytecode(engine, linked, bytes(30))
    assert len(left.remains.compiled) == 3
    assert engine.figures(left) == Figures(sum(one.size for one in left.remains.compiled.values()), 3)
    assert all(one.size > 0 for one in left.remains.compiled.values())


def test_another_program_with_the_text_is_not_touched() -> None:
    engine, linked = JitEngine(), program(WALK)
    left = without_bytecode(engine, linked, bytes(12))
    expected = shown(run(SwitchEngine(), linked, bytes(12)))
    for _ in range(3):
        assert shown(run(engine, linked, bytes(12))) == shown(run(engine, left, bytes(12))) == expected
    engine.discard(left)
    assert engine.figures(linked).size > 0
    assert shown(run(engine, linked, bytes(12))) == expected


def test_dropped_code_has_no_entrance() -> None:
    engine, linked = JitEngine(), program(SOURCES["loop"])
    left = without_bytecode(engine, linked)
    run(engine, left, b"")
    assert any(one.program is left for one in engine._entrances._entrances.values())
    engine.discard(left)
    assert not engine._entrances._entrances


def test_what_is_being_compiled_is_not_kept_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text goes while another thread compiles it."""
    engine, linked = JitEngine(), program(SOURCES["loop"])
    begun, go, told = Event(), Event(), []
    ensure = engine.ensure

    def slowly(one: Program, asked: Run) -> None:
        begun.set()
        assert go.wait(10)
        ensure(one, asked)

    monkeypatch.setattr(engine, "ensure", slowly)
    asked = Run(build_memory(linked, linked.fresh_data(), bytearray(3)))
    engine.ensure_soon(linked, asked, lambda *_figures: told.append(1))
    assert begun.wait(10)
    without_bytecode(engine, linked)
    go.set()
    engine.close()
    assert (len(engine._programs), told, engine._compiling) == (0, [], {})


def test_rules_of_other_machines_need_the_bytecode() -> None:
    engine, linked = JitEngine(), program(SOURCES["loop"])
    left = without_bytecode(engine, linked)
    with pytest.raises(Conflict) as refused:
        run(engine, left, b"", rules=Rules(branch_limit=5))
    assert refused.value.code == "bytecode-discarded"


@pytest.mark.parametrize("engine", ["auto", "jit"])
def test_without_bytecode_it_is_jit(engine: str) -> None:
    assert Wish(engine).without_bytecode() == Wish("jit")


@pytest.mark.parametrize(
    "wish",
    [Wish("switch"), Wish("interpreter"), Wish(recompile=True), Wish("jit", cycles=True), Wish(shadow=True)],
    ids=str,
)
def test_a_wish_for_bytecode_is_refused(wish: Wish) -> None:
    with pytest.raises(Conflict) as refused:
        wish.without_bytecode()
    assert refused.value.code == "bytecode-discarded"


def test_exact_code_is_measured_by_instruction() -> None:
    """Twice the instructions, twice the bytes; a wide constant counts, a small one is Python's own."""
    sizes = [
        exact_size(Closures(program(source).text, 0).whole())
        for source in ("add r1, r2\n" * 4, "add r1, r2\n" * 8, "lddw r1, 5", "lddw r1, 0x123456789abcdef0")
    ]
    assert sizes[1] == 2 * sizes[0] > 8 * 8
    assert sizes[3] > sizes[2]
