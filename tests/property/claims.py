"""What the interval analysis claims of a program, held against what `switch` does with it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from device.vm import switch
from device.vm.analysis import intervals, relations
from device.vm.analysis.effects import bound, step_over
from device.vm.analysis.inlining import Bodies, inlined
from device.vm.analysis.lift import LEAVE, Unit, lift
from device.vm.analysis.liveness import SPARE
from device.vm.analysis.structure import shape
from device.vm.analysis.values import ANY, State, number
from device.vm.asm import assemble
from device.vm.decode import decode_step
from device.vm.isa import SLOT_SIZE
from device.vm.memory import STACK_TOP
from device.vm.program import Control, Layout, Program, Run, build_memory
from device.vm.switch import SwitchEngine

LENGTH: Final = 120
"""Instructions of a run that are looked at."""

Moment = tuple[int, tuple[int, ...]]
"""A slot, and r0 to r10 in front of it."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an engine asks for claims: with relations or without, how often narrowed, calls inlined or not."""

    related: bool
    narrowings: int
    inlining: bool


COMPILED: Final = Way(related=True, narrowings=2, inlining=True)
WAYS: Final = (COMPILED, COMPILED, Way(True, 0, False), Way(False, 0, True), Way(False, 2, False))


class Watcher(Control):
    """Notes the registers of a run wherever `switch` looks at its control."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Moment] = []

    def check(self) -> None:
        """See Control."""
        names = sys._getframe(1).f_locals
        self.seen.append((names["pc"], tuple(names["registers"])))


def trace(text: bytes, source: random.Random, length: int = LENGTH) -> list[Moment]:
    """What a run goes through, with a context and results of helpers that are made up."""
    watcher, program = Watcher(), Program(text, Layout.TEXT, b"")
    context = bytearray(source.choice((0, 0, 1, 2, 255, source.getrandbits(8))) for _ in range(16))
    memory = build_memory(program, bytearray(), context)

    def call_helper(_helper: int, *_arguments: int) -> int:
        return source.choice((0, 1, 5, source.getrandbits(64)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switch, "CHECK_INTERVAL", 1)
        SwitchEngine().run(program, Run(memory, call_helper, budget=length, control=watcher))
    return watcher.seen


def unit_at(text: bytes, start: int) -> Unit:
    unit = lift(lambda pc: decode_step(text, pc), len(text) // SLOT_SIZE, start)
    assert unit is not None
    return unit


def claimed(text: bytes, unit: Unit, entry: State, way: Way) -> dict[int, State]:
    """What is claimed before every step of a unit that is held to be reachable."""
    own = {pc for block in unit.blocks for pc, _ in block.steps} - unit.joined
    whole = unit
    if way.inlining:
        whole = inlined(unit, Bodies(lambda start: unit_at(text, start), SPARE, 4).at)
        entry = [*entry, *[ANY] * len(SPARE)]
    related = relations.distances(whole, entry) if way.related else None
    form = shape(unit.blocks)
    states = intervals.solve(whole, form, bound(whole, 0), entry, way.narrowings, related)
    found: dict[int, State] = {}
    for block, known in zip(whole.blocks, states, strict=True):
        if known is None:
            continue
        state = list(known)
        for pc, step in block.steps:
            if pc in own:
                found.setdefault(pc, list(state))
            step_over(step, state, 0)
        if block.end == LEAVE:
            found[block.leave] = list(state)
    return found


def entries(
    unit: Unit, seen: list[Moment], source: random.Random
) -> Iterator[tuple[Unit | None, int, State]]:
    """Where a unit may begin in a run: at its start, and at headers of loops, where more is known or less."""
    nothing: State = [*[ANY] * 10, number(STACK_TOP)]
    yield unit, 0, [*[number(0)] * 10, number(STACK_TOP)]
    headers = {unit.blocks[header].start for header in shape(unit.blocks).headers}
    visits = [index for index, (pc, _) in enumerate(seen) if pc in headers]
    if visits:
        index = source.choice(visits)
        yield None, index, nothing
        index = source.choice(visits)
        part = source.getrandbits(10)
        exact = [number(value) if part >> r & 1 else ANY for r, value in enumerate(seen[index][1][:10])]
        yield None, index, [*exact, number(STACK_TOP)]


def violation(number_: int, source_text: str) -> str | None:
    """What a run does that was claimed not to happen; None where all claims hold."""
    source = random.Random(number_)
    text = assemble(source_text)
    whole = unit_at(text, 0)
    slots = {pc for block in whole.blocks for pc, _ in block.steps}
    seen = trace(text, source)
    for found, index, entry in entries(whole, seen, source):
        unit = found or unit_at(text, seen[index][0])
        way = source.choice(WAYS)
        claims = claimed(text, unit, entry, way)
        for pc, registers in seen[index:]:
            if pc not in slots or pc in unit.joined:
                continue
            if pc not in claims:
                return f"{number_}: slot {pc} is reached from slot {unit.start} ({way})"
            for register, (value, known) in enumerate(zip(registers, claims[pc], strict=False)):
                if not known[0] <= value <= known[1]:
                    return f"{number_}: r{register} is {value} at slot {pc}, not {known}; {unit.start}, {way}"
    return None
