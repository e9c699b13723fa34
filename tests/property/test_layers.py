"""All engines mean the same, layer by layer (differential/layers); and each layer can say otherwise.

`make layers` is the long form: every trial there is, more than a million programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product, zip_longest

import pytest

from device.jit.assembler import Assembler
from device.jit.encoder import Access, R, access, bx, load_constant, mov, pop, push, svc, to_single
from device.jit.engine import JitEngine
from device.jit.layout import CODE_BASE, MAILBOX, PAGE, REQUEST, STACK_BASE
from device.jit.stop import Reason
from device.jit.watchdog import Watchdog
from device.vm.isa import TABLE, Form, Op, walk
from device.vm.memory import CONTEXT_BASE
from device.vm.program import Run, build_memory
from tests.property.broken_layers import WRONG
from tests.property.differential.found import describe_small
from tests.property.differential.layers import edges, operands
from tests.property.differential.layers.campaign import WATCHED, Count, Runner, factories
from tests.property.differential.layers.table import layers
from tests.property.differential.layers.trial import Layer, Trial, spread
from tests.property.differential.layers.watched import Clobbered, WatchedMachine
from tests.property.fuzzing import SEED

LAYERS = layers(str(SEED))
SLICE = {
    "single": 500,
    "accesses": 400,
    "sequences": 300,
    "calls": 100,
    "leaves": 120,
    "edges": 400,
    "strolls": 150,
    "large": 40,
    "budgets": 40,
}
"""Programs of each layer in a test run."""

ENOUGH = {"large": 300, "budgets": 20, "calls": 1000}
"""Programs of a layer within which what is wrong is found; 6000 of the others."""


def trials(layer: Layer, count: int) -> Iterator[tuple[int, Trial]]:
    return ((number, layer.trial(number)) for number in spread(layer.size, count))


def in_turn(layer: Layer, count: int) -> Iterator[Trial]:
    """So many, of each family as many: the small ones early."""
    each = count // len(layer.families)
    lists = [spread(family.size, each) for family in layer.families]
    for numbers in zip_longest(*lists):
        for family, number in zip(layer.families, numbers, strict=True):
            if number is not None:
                yield family.trial(number)


def test_every_layer_has_its_slice() -> None:
    assert SLICE.keys() == LAYERS.keys()
    assert sum(layer.size for layer in LAYERS.values()) > 1_000_000


def agree(name: str, programs: int) -> None:
    """So many of a layer's programs, on all engines."""
    layer, engines, count = LAYERS[name], factories(), Count()
    runner = Runner(engines)
    for number, trial in trials(layer, programs):
        difference = runner.check(layer, trial, count)
        assert difference is None, f"\n; layer {name}, trial {number}\n" + describe_small(difference, engines)
    assert count.refused == 0
    assert count.programs == min(programs, layer.size)


@pytest.mark.parametrize("name", SLICE)
def test_engines_agree(name: str) -> None:
    agree(name, SLICE[name])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SLICE)
def test_engines_agree_at_length(name: str) -> None:
    agree(name, 20 * SLICE[name])


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str) -> None:
    name, make = WRONG[wrong]
    layer, runner, count = LAYERS[name], Runner({"broken": make}), Count()
    checked = (runner.check(layer, trial, count) for trial in in_turn(layer, ENOUGH.get(name, 6000)))
    found = next(filter(None, checked), None)
    assert found is not None
    assert found.engine == "broken"
    assert found.found.raised is None


# That layers hold what they say


def test_spread_meets_every_number_once() -> None:
    for size in (1, 2, 3, 10, 97, 1000):
        assert sorted(spread(size, size)) == list(range(size))
        assert len(set(spread(size, size // 2))) == size // 2


def test_one_instruction_of_every_row() -> None:
    """A product's first axis has the rows. Jumps, calls and exits stand in all that the other layers run."""
    rows = set[Op]()
    for name in ("single", "accesses"):
        for family in LAYERS[name].families:
            for number in range(min(family.size, 60)):
                text = family.trial(number).case.text
                rows.update(one.op for _, one in walk(text) if one is not None)
    others = {Form.JUMP_FAR, Form.CALL_HELPER, Form.CALL_LOCAL}
    assert {op for op in TABLE if op.form not in others} <= rows


def test_all_pairs_of_registers() -> None:
    assert set(operands.PAIRS) == set(product(range(10), range(11)))


def test_every_region_with_every_right() -> None:
    kinds = {(area.start >> 16, area.case.setup.context_writable) for area in edges.AREAS}
    assert len({start for start, _ in kinds}) >= 7
    assert {len(area.case.setup.packet[0]) for area in edges.AREAS if area.case.setup.packet} >= set(
        edges.SIZES
    )


def code_size(trial: Trial) -> int:
    """Bytes of code that a trial's program becomes."""
    engine, program, setup = JitEngine(), trial.case.program(), trial.case.setup
    memory = build_memory(program, program.fresh_data(), bytearray(setup.context))
    engine.ensure(program, Run(memory, r1=CONTEXT_BASE, r2=len(setup.context)))
    return engine.figures(program).size


def test_large_code_is_beyond_every_range() -> None:
    """Those of 16-bit branches and of literals; near them there is something on either side."""
    families = LAYERS["large"].families
    sizes = sorted(code_size(families[0].trial(number)) for number in range(0, families[0].size, 95))
    assert sizes[0] < 200
    assert any(200 < size < 320 for size in sizes)
    assert any(1800 < size < 2600 for size in sizes)
    assert max(code_size(families[-1].trial(number)) for number in range(4)) > 16_384
    literal = families[-2]
    assert max(code_size(literal.trial(number)) for number in range(literal.size - 3, literal.size)) > 4096


# That the watch over registers watches


NATIVE = {"single": 0.95, "accesses": 0.9, "sequences": 0.9, "calls": 0.8, "leaves": 0.9, "large": 0.9}
"""Runs that compiled code brings to their exit, of all that come to it."""


def test_nothing_of_what_layers_run_is_left_to_another_tier() -> None:
    """Compiled code goes on to the end of nearly all programs that do not fault."""
    counted: dict[str, tuple[int, int]] = {}
    for name, least in NATIVE.items():
        made = factories()[WATCHED]()
        assert isinstance(made, JitEngine)
        claim = made.machines.claim()
        assert claim is not None
        machine = claim.processor().machine
        claim.release()
        assert isinstance(machine, WatchedMachine)
        runner, count = Runner({WATCHED: lambda made=made: made}), Count()  # type: ignore[misc]  # of this round
        whole = Layer(name, LAYERS[name].families, watched=True)
        for _, trial in trials(whole, 12 if name == "large" else 60):
            assert runner.check(whole, Trial(trial.case, trial.setups), count) is None
        counted[name] = machine.ended, count.ends.get("exit", 0)
        assert machine.ended >= least * count.ends["exit"], counted


def _function(*body: int) -> bytes:
    asm = Assembler()
    asm.emit(*body)
    return asm.finish().text


def _asking(*before: int) -> bytes:
    """A function that asks for something with what stands before."""

    ask = (
        *load_constant(R.R0, 1),
        *load_constant(R.R1, MAILBOX),
        access(Access.STR, R.R0, R.R1, 4 * REQUEST),
    )
    return _function(*before, *ask, svc(0), bx(R.LR))


BEHAVED = {
    "nothing": _function(bx(R.LR)),
    "saved": _function(push([R.R4, R.R11, R.LR]), *load_constant(R.R4, 1), pop([R.R4, R.R11, R.PC])),
    "scratch": _function(*load_constant(R.R12, 5), to_single(15, R.R12), bx(R.LR)),
    "a request": _asking(),
}
CLOBBERED = {
    "r4": _function(*load_constant(R.R4, 1), bx(R.LR)),
    "r11": _function(mov(R.R11, R.R0), bx(R.LR)),
    "the stack": _function(push([R.R0, R.R1]), bx(R.LR)),
    "s16": _function(to_single(16, R.R0), bx(R.LR)),
    "s31": _function(to_single(31, R.R0), bx(R.LR)),
    "the end of the stack": _function(
        *load_constant(R.R1, STACK_BASE), access(Access.STR, R.R0, R.R1, 0), bx(R.LR)
    ),
    "the end of the mailbox": _function(
        *load_constant(R.R1, MAILBOX), access(Access.STR, R.R0, R.R1, PAGE - 4), bx(R.LR)
    ),
    "the stack at a request": _asking(mov(R.SP, R.R2)),
}


@pytest.fixture
def machine() -> Iterator[WatchedMachine]:
    watched = WatchedMachine(Watchdog())
    yield watched
    watched.close()


@pytest.mark.parametrize("text", BEHAVED.values(), ids=BEHAVED)
def test_code_that_behaves_is_let_pass(machine: WatchedMachine, text: bytes) -> None:
    entry = machine.install(text, CODE_BASE).entry
    for _ in range(2):
        assert machine.run(entry, 1, service=lambda _number: None).reason is Reason.RETURNED
    assert (machine.begun, machine.ended) == (2, 2)


@pytest.mark.parametrize("text", CLOBBERED.values(), ids=CLOBBERED)
def test_code_that_does_not_is_found(machine: WatchedMachine, text: bytes) -> None:
    entry = machine.install(text, CODE_BASE).entry
    with pytest.raises(Clobbered):
        machine.run(entry, 1, 2, 0x1235, service=lambda _number: None)
