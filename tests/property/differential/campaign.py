"""Many cases on all engines, in the order of their numbers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from device.vm.faults import FaultCode
from device.vm.program import Engine, Program
from device.vm.verifier import verify
from tests.property.differential.case import Case
from tests.property.differential.engines import Factory, of_case, reference
from tests.property.differential.execute import CALLABLE, Observed, execute
from tests.property.differential.generate import generate, other_setup
from tests.property.differential.mutate import mutate

NAMES: Final = {number: helper.name for number, helper in CALLABLE.items()}
EVERY_BUDGET: Final = ((24, 0.25), (150, 0.02))
"""How often a program that executes so many instructions at most runs under every budget there is for it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An engine that disagrees on a case. `expected` is what the reference does; `fields` differ.

    Of a program that broke the verifier or the reference, `engine` is its name and `found` has the exception.
    """

    engine: str
    case: Case
    expected: Observed
    found: Observed

    @property
    def fields(self) -> tuple[str, ...]:
        """What is not equal."""
        return self.found.differs_in(self.expected) or ("raised",)


@dataclass(slots=True)
class Tally:
    """What was done.

    `programs` were generated and `refused` of them by the verifier; `cases` are programs with a setup and a
    budget on which engines were compared, `runs` the executions for that, those of the reference among them.
    """

    programs: int = 0
    cases: int = 0
    refused: int = 0
    runs: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.programs += other.programs
        self.cases += other.cases
        self.refused += other.refused
        self.runs += other.runs
        for name, count in other.ends.items():
            self.ends[name] = self.ends.get(name, 0) + count


class Campaign:
    """Cases from one seed on one set of engines, which live as long as it does, as on a device."""

    def __init__(self, seed: str, factories: Mapping[str, Factory]) -> None:
        self.seed = seed
        self.tally = Tally()
        self._reference = reference()
        self._all: dict[str, Engine] = {name: make() for name, make in factories.items()}
        self._engines = self._all

    def check(self, number: int) -> Difference | None:
        """Generate case `number` and run it on all engines under several budgets; the first difference."""
        source = random.Random(f"{self.seed}/{number}")
        self._engines = of_case(number, self._all)
        case = generate(source)
        if source.random() < 0.35:
            case = mutate(source, case)
        self.tally.programs += 1
        program = case.program()
        try:
            accepted = accepts(program, case)
        except Exception as error:  # noqa: BLE001  # the verifier raises nothing, whatever the program
            return _broken("verifier", case, error)
        if not accepted:
            self.tally.refused += 1
            return None
        expected = execute(self._reference, program, case)
        self._end(expected)
        difference = self._compare(program, case, expected)
        for budget in _budgets(source, case, expected):
            difference = difference or self._compare(program, replace(case, budget=budget))
        if source.random() < 0.3:
            # What was proved for the surroundings of the first run must not be used in others.
            case = other_setup(source, case)
            expected = execute(self._reference, program, case)
            difference = difference or self._compare(program, case, expected)
            for budget in _few_budgets(source, expected):
                difference = difference or self._compare(program, replace(case, budget=budget))
        return difference

    def _compare(self, program: Program, case: Case, expected: Observed | None = None) -> Difference | None:
        expected = expected or execute(self._reference, program, case)
        self.tally.cases += 1
        self.tally.runs += 1 + len(self._engines)
        if expected.raised is not None:
            return Difference("switch", case, expected, expected)
        for name, engine in self._engines.items():
            found = execute(engine, program, case)
            if found != expected:
                return Difference(name, case, expected, found)
        return None

    def _end(self, observed: Observed) -> None:
        name = "exit" if observed.fault is None else str(observed.fault[0])
        self.tally.ends[name] = self.tally.ends.get(name, 0) + 1


def accepts(program: Program, case: Case) -> bool:
    """Whether a device would run it; one that takes a missing exit for a warning."""
    return verify(program, helpers=NAMES, frame_size=case.setup.frame_size, no_return=True).accepted


def differs(name: str, engine: Engine, case: Case) -> Difference | None:
    """One case on one engine, without a campaign. Refused programs do not differ."""
    program = case.program()
    try:
        if not accepts(program, case):
            return None
    except Exception as error:  # noqa: BLE001  # as above
        return _broken("verifier", case, error)
    expected = execute(reference(), program, case)
    found = execute(engine, program, case)
    if expected.raised is not None:
        return Difference("switch", case, expected, expected)
    return Difference(name, case, expected, found) if found != expected else None


def _budgets(source: random.Random, case: Case, full: Observed) -> Iterable[int]:
    """Exact budgets around the end of the whole run; all of them for short programs."""
    count = full.instructions
    for most, often in EVERY_BUDGET:
        if count <= most and source.random() < often:
            return range(1, min(count + 3, case.budget))
    return _few_budgets(source, full)


def _few_budgets(source: random.Random, full: Observed) -> Iterable[int]:
    count = full.instructions
    if full.fault is not None and full.fault[0] == FaultCode.OUT_OF_INSTRUCTIONS.name:
        count = min(count, 400)  # an endless loop: more of it shows nothing new
    wanted = {count, count - 1, source.randint(1, count + 1), source.randint(1, count + 1)}
    return sorted(budget for budget in wanted if budget > 0)


def _broken(what: str, case: Case, error: Exception) -> Difference:
    found = Observed(None, None, 0, (), (), f"{type(error).__name__}: {error}")
    return Difference(what, case, Observed(None, None, 0, (), ()), found)
