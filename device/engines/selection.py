"""The engines that a run can ask for, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from device.engines.compiling import CompilingEngine
from device.errors import MalformedRequest
from device.vm.interpreter import InterpreterEngine
from device.vm.program import Engine
from device.vm.switch import SwitchEngine

AUTO: Final = "auto"
_BEST: Final = "interpreter"

ENGINES: Final[Mapping[str, Engine]] = MappingProxyType(
    {"switch": SwitchEngine(), "interpreter": InterpreterEngine(), "jit": CompilingEngine()}
)
"""What there is. An engine holds no state of any run, only programs in the form in which it runs them."""


def engines_of_device(workers: int) -> Mapping[str, Engine]:
    """The engines with machines of one device's own: one for each worker, and one for short runs."""
    return MappingProxyType({**ENGINES, "jit": CompilingEngine(workers + 1)})


def select(name: str, engines: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine of that name; `auto` is the interpreter, or the last where there is none.

    Raises MalformedRequest `engine-unavailable` for any other name.
    """
    chosen = name
    if name == AUTO:
        chosen = _BEST if _BEST in engines else list(engines)[-1]
    if chosen not in engines:
        raise MalformedRequest(
            f"engine {name!r} is not available",
            code="engine-unavailable",
            where="engine",
            hint="available: " + ", ".join([AUTO, *engines]),
        )
    return engines[chosen]
