"""Which engine `auto` takes for a program's next run (engines.md, "Policy"): one table, from the top.

    the first rule that fits decides; a reason is what the device's log and tests call it by

The numbers are where the JIT began to win on one core, by calls of whole engines: a run of 700 instructions
or more, 80 instructions between two helper calls, compiling paid back after some 70,000 instructions. They
are rounded up: the interpreter needs no machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

FIRST_RUNS: Final = 2
"""Runs that are interpreted whatever they are."""

HOT: Final = 100_000
"""Instructions of a program, over all its runs, before it is worth compiling."""

SHORT: Final = 1_000
"""Instructions of a mean run below which entering compiled code costs more than it saves."""

HELPER_BOUND: Final = 100
"""Instructions between two helper calls below which helpers are what takes the time."""

LARGEST: Final = 4_096
"""Slots of a program above which only an explicit wish compiles it."""

INTERPRETER: Final = "interpreter"
JIT: Final = "jit"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a program before a run.

    `may_compile` is what its update, its profile and earlier attempts say; `quarantined` that its code was
    wrong once. `instructions` and `runs` are those since it was deployed; `calls` are the helper calls of
    `watched` instructions among them, in runs that were interpreted. `wanted` is a request for new code.
    """

    slots: int
    may_compile: bool = True
    quarantined: bool = False
    wanted: bool = False
    runs: int = 0
    instructions: int = 0
    calls: int = 0
    watched: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """When it `fits`, `engine` runs the program, for this `reason`."""

    reason: str
    engine: str
    fits: Callable[[Facts], bool]


RULES: Final[Sequence[Rule]] = (
    Rule("may not be compiled", INTERPRETER, lambda known: not known.may_compile),
    Rule("quarantined", INTERPRETER, lambda known: known.quarantined),
    Rule("asked for", JIT, lambda known: known.wanted),
    Rule("too large", INTERPRETER, lambda known: known.slots > LARGEST),
    Rule("first runs", INTERPRETER, lambda known: known.runs < FIRST_RUNS),
    Rule("not hot", INTERPRETER, lambda known: known.instructions < HOT),
    Rule("short runs", INTERPRETER, lambda known: known.instructions < SHORT * known.runs),
    Rule("helper-bound", INTERPRETER, lambda known: known.watched < HELPER_BOUND * known.calls),
    Rule("hot", JIT, lambda _known: True),
)


def choose(known: Facts) -> Rule:
    """The rule that decides."""
    return next(rule for rule in RULES if rule.fits(known))
