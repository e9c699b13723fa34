"""The engines that a run can ask for, by name (engines.md)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from device.errors import MalformedRequest
from device.vm.interpreter import InterpreterEngine
from device.vm.program import Engine
from device.vm.switch import SwitchEngine

ENGINES: Final[Mapping[str, Engine]] = MappingProxyType(
    {"switch": SwitchEngine(), "interpreter": InterpreterEngine()}
)
"""What there is, the best last. An engine holds no state of any run, only decoded text to use again."""

AUTO: Final = "auto"


def select(name: str, engines: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine of that name; `auto` is the best there is.

    Raises MalformedRequest `engine-unavailable` for any other name.
    """
    chosen = list(engines)[-1] if name == AUTO else name
    if chosen not in engines:
        raise MalformedRequest(
            f"engine {name!r} is not available",
            code="engine-unavailable",
            where="engine",
            hint="available: " + ", ".join([AUTO, *engines]),
        )
    return engines[chosen]
