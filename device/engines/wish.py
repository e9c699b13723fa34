"""What a request says of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.engines.policy import JIT
from device.engines.selection import AUTO
from device.errors import MalformedRequest
from device.vm.interpreter.discarded import bytecode_discarded

_OF_CODE: Final = ("recompile", "shadow", "cycles")


@dataclass(frozen=True, slots=True)
class Wish:
    """Which engine, whether to compile anew, to compare, to estimate cycles."""

    engine: str = AUTO
    recompile: bool = False
    shadow: bool = False
    cycles: bool = False

    @property
    def compiles(self) -> bool:
        """Whether it cannot be fulfilled without compiled code."""
        return self.engine == JIT or self.shadow or self.recompile or self.cycles

    def without_bytecode(self) -> Wish:
        """The same of a program whose bytecode was discarded: it runs by jit.

        Raises Conflict `bytecode-discarded` when it asks for what reads the bytecode.
        """
        if self not in (Wish(), Wish(JIT)):
            bytecode_discarded()
        return Wish(JIT)

    def require_sense(self) -> None:
        """Raises MalformedRequest when compiled code is asked for, and an engine that has none."""
        if self.shadow and self.cycles:
            raise MalformedRequest("cycles are counted in a run of their own", where="cycles")
        for name in _OF_CODE:
            if getattr(self, name) and self.engine not in (AUTO, JIT):
                raise MalformedRequest(
                    f"{name} is about compiled code, which engine {self.engine!r} does not run",
                    where=name,
                    hint="leave the engine out, or ask for jit",
                )
