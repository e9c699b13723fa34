"""The engines under test: all that there are, and the tiers of one forced where it has tiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from device.engines import ENGINES
from device.jit.engine import JitEngine
from device.vm.program import Engine
from device.vm.switch import SwitchEngine

Factory = Callable[[], Engine]
"""Makes an engine that has seen no program yet."""

REFERENCE: Final = "switch"
INTERPRETER: Final = "interpreter"
SOON: Final = 40
"""Instructions after which a run goes over from closures to generated code in its middle."""

SHARE: Final = 60
"""Instructions that compiled code is handed at once where it is left in between."""

EVERY: Final[Mapping[str, int]] = {
    "jit, in shares": 4,
    "interpreter": 7,
    "interpreter, closures": 2,
    "interpreter, soon hot": 3,
    "interpreter, racing": 5,
}
"""Engines that see only every so many cases: the other forms of theirs see all, and each costs time."""


class SharingJit(JitEngine):
    """The JIT as it runs what takes long: code is left and entered again and again."""

    share = SHARE


def reference() -> Engine:
    """The engine that all others are held against."""
    return SwitchEngine()


def candidates() -> dict[str, Factory]:
    """Every engine but the reference; the interpreter as devices have it, and its tiers by force."""
    found: dict[str, Factory] = {
        name: _maker(engine) for name, engine in ENGINES.items() if name != REFERENCE
    }
    if INTERPRETER in ENGINES:
        make: Callable[..., Engine] = type(ENGINES[INTERPRETER])
        found["interpreter, generated"] = lambda: make(hot_after=0, background=False)
        found["interpreter, closures"] = lambda: make(hot_after=None, background=False)
        found["interpreter, soon hot"] = lambda: make(hot_after=SOON, background=False)
        found["interpreter, racing"] = lambda: make(hot_after=SOON, background=True)
    if JitEngine.name in ENGINES:
        found["jit, in shares"] = SharingJit
    return found


def _maker(engine: Engine) -> Factory:
    return type(engine)


def of_case(number: int, engines: Mapping[str, Engine]) -> dict[str, Engine]:
    """The engines that case `number` runs on."""
    return {name: engine for name, engine in engines.items() if number % EVERY.get(name, 1) == 0}


def chosen(names: Mapping[str, Factory], wanted: list[str]) -> dict[str, Factory]:
    """Those whose name begins with one of `wanted`, or all."""
    return {name: make for name, make in names.items() if not wanted or name.startswith(tuple(wanted))}
