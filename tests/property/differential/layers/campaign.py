"""Trials on all engines, in an order that meets all of a layer early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from device.vm.faults import FaultCode
from device.vm.program import Engine, Program
from tests.property.differential.campaign import Difference, accepts
from tests.property.differential.case import Case
from tests.property.differential.engines import candidates, reference
from tests.property.differential.execute import Observed, execute
from tests.property.differential.layers.trial import Budgets, Layer, Trial
from tests.property.differential.layers.watched import WatchedJit

Factory = Callable[[], Engine]

RENEWED: Final = 400
"""Programs after which engines are made anew, for all that they keep."""
ENDLESS: Final = 300
"""Budgets that a program is run under at most, one after the other."""

GENERATED: Final = "interpreter, generated"
JIT: Final = "jit"
WATCHED: Final = "jit, watched"
EVERY_GENERATED: Final = 6
EVERY_WATCHED: Final = 3
"""How often a program is run on the interpreter as well, and on the JIT between sentinels instead."""


def factories() -> dict[str, Factory]:
    """The engines that layers are run on."""
    found = candidates()
    return {name: found[name] for name in (JIT, GENERATED)} | {WATCHED: WatchedJit}


@dataclass(slots=True)
class Count:
    """What was done of a layer: programs, pairs of one and what it was run with, executions of those."""

    programs: int = 0
    cases: int = 0
    executions: int = 0
    refused: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    def add(self, other: Count) -> None:
        """Both together."""
        self.programs += other.programs
        self.cases += other.cases
        self.executions += other.executions
        self.refused += other.refused
        for name, count in other.ends.items():
            self.ends[name] = self.ends.get(name, 0) + count


class Runner:
    """Runs trials of a layer, and counts."""

    def __init__(self, engines: Mapping[str, Factory]) -> None:
        self._factories = engines
        self._engines: dict[str, Engine] = {}
        self._reference = reference()
        self._done = 0

    def check(self, layer: Layer, trial: Trial, count: Count) -> Difference | None:
        """One program with all that it is to be run with; the first difference."""
        if self._done % RENEWED == 0:
            self._engines = {name: make() for name, make in self._factories.items()}
        self._done += 1
        case, program = trial.case, trial.case.program()
        if not accepts(program, case):
            count.refused += 1
            return None
        count.programs += 1
        engines = self._chosen(layer)
        for setup in (case.setup, *trial.setups):
            given = replace(case, setup=setup)
            expected = execute(self._reference, program, given)
            difference = self._compare(engines, program, given, expected, count)
            for budget in _budgets(trial.budgets, expected):
                difference = difference or self._compare(
                    engines, program, replace(given, budget=budget), None, count
                )
            if difference is not None:
                return difference
        return None

    def _chosen(self, layer: Layer) -> dict[str, Engine]:
        left = {GENERATED} if self._done % EVERY_GENERATED else set[str]()
        left.add(JIT if layer.watched or self._done % EVERY_WATCHED == 0 else WATCHED)
        return {name: engine for name, engine in self._engines.items() if name not in left}

    def _compare(
        self,
        engines: Mapping[str, Engine],
        program: Program,
        case: Case,
        expected: Observed | None,
        count: Count,
    ) -> Difference | None:
        expected = expected or execute(self._reference, program, case)
        end = "exit" if expected.fault is None else str(expected.fault[0])
        count.ends[end] = count.ends.get(end, 0) + 1
        count.cases += 1
        count.executions += 1 + len(engines)
        if expected.raised is not None:
            return Difference("switch", case, expected, expected)
        for name, engine in engines.items():
            found = execute(engine, program, case)
            if found != expected:
                return Difference(name, case, expected, found)
        return None


def _budgets(wanted: Budgets, full: Observed) -> Iterator[int]:
    count = full.instructions
    if wanted is Budgets.EVERY:
        yield from range(1, min(count + 3, ENDLESS))
    elif wanted is Budgets.ENDS:
        over = full.fault is not None and full.fault[0] == FaultCode.OUT_OF_INSTRUCTIONS.name
        yield from (budget for budget in (count // 2, count - 1, count) if budget > 0 and not over)
