"""A program whose bytecode is gone (engines.md, "Policy"): exact code of all of it, and what was compiled.

    exact code, whole ──┬── shape of memory with compiled code: that, and exact code where it cannot go on
                        └── any other shape: exact code alone

Nothing here refers to text, decoded instructions or what they were lifted to, so that these can be freed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from sys import getsizeof
from typing import Final, NoReturn, Self

from device.errors import Conflict
from device.vm.interpreter.closures import Closure, WholeClosures
from device.vm.interpreter.prepared import Prepared, Translating
from device.vm.program import Program

Shape = tuple[int, ...]
"""GuestMemory.shape."""

_POINTER: Final = 8
_SHARED: Final = range(-5, 257)
"""Integers of which Python has one object each for everybody."""


class WholePrepared(Prepared):
    """Exact code with the units of a translation that gets no further ones; `size` is their bytes."""

    def __init__(self, exact: Sequence[Closure], translation: Translating | None, size: int) -> None:
        super().__init__(WholeClosures(exact), bytecode_discarded)
        self.size = size
        self.translation = translation
        if translation is not None:
            self._set_traps(translation)

    def translate(self, _pc: int, _registers: list[int]) -> None:
        """Nothing can be translated any more: the exact tier goes on."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a program to run it: `exact` by slot, `compiled` by shape of memory."""

    exact: Sequence[Closure]
    compiled: Mapping[Shape, WholePrepared]
    alone: WholePrepared

    @classmethod
    def of(cls, exact: Sequence[Closure], translations: Mapping[Shape, tuple[Translating, int]]) -> Remains:
        """With translations that make nothing new, and the bytes of their code."""
        compiled = {shape: WholePrepared(exact, *found) for shape, found in translations.items()}
        return cls(exact, compiled, WholePrepared(exact, None, 0))

    def prepared(self, shape: Shape) -> WholePrepared:
        """What runs with memory of a shape go by."""
        return self.compiled.get(shape, self.alone)

    @property
    def all(self) -> Sequence[WholePrepared]:
        """What all runs go by."""
        return *self.compiled.values(), self.alone

    @property
    def size(self) -> int:
        """Bytes of compiled code, for all shapes."""
        return sum(one.size for one in self.compiled.values())


@dataclass(frozen=True, slots=True, eq=False)
class DiscardedProgram(Program):
    """A program without text; all else is as it was. `exact_size` are the bytes of exact code in `remains`.

    The exact code of each shape of memory is a list of the same closures: only those are counted.
    """

    remains: Remains = field(kw_only=True, repr=False)
    exact_size: int = field(kw_only=True)

    @classmethod
    def of(cls, program: Program, remains: Remains) -> Self:
        """What stays of `program`."""
        kept = {one.name: getattr(program, one.name) for one in fields(Program)}
        return cls(**kept | {"text": b""}, remains=remains, exact_size=exact_size(remains.exact))

    @property
    def slots(self) -> int:
        """Slots that the text had."""
        return len(self.remains.exact)


def exact_size(exact: Sequence[Closure]) -> int:
    """Bytes that exact code takes here, as Python's objects: functions, variables, constants, the list."""
    return sum(_POINTER + _size(closure) for closure in exact)


def _size(closure: Closure) -> int:
    if isinstance(closure, partial):
        return getsizeof(closure) + getsizeof(closure.args)
    cells: Sequence[object] = getattr(closure, "__closure__", None) or ()
    contents = (getattr(cell, "cell_contents", None) for cell in cells)
    numbers = sum(getsizeof(one) for one in contents if isinstance(one, int) and one not in _SHARED)
    return getsizeof(closure) + getsizeof(cells) + sum(map(getsizeof, cells)) + numbers


def bytecode_discarded() -> NoReturn:
    """Raises Conflict: what was asked for reads the bytecode."""
    raise Conflict(
        "the bytecode of this program was discarded: it runs by jit alone",
        code="bytecode-discarded",
        where="engine",
        hint="leave the engine out, or deploy the program again",
    )
