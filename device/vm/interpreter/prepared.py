"""A program in the form in which an engine keeps it: closures, and the translation that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Protocol

from device.vm.analysis.entries import Entry
from device.vm.interpreter.closures import Closure, Closures
from device.vm.interpreter.machine import Machine


class Enterable(Protocol):
    """A unit of translated code; `parameters` are the registers that it takes behind budget, machine, r10."""

    @property
    def parameters(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def call(self) -> Callable[..., tuple[int, ...]]:
        """Run it: the budget left, r0, further registers. Raises Left where the exact tier is to go on."""


class Translating(Protocol):
    """A program's translation, whatever it is translated to.

    `entries` are the slots where it may be entered, with the halves live there; `returned` the registers
    that a function hands back beside r0.
    """

    @property
    def entries(self) -> Mapping[int, int]: ...  # noqa: D102

    @property
    def returned(self) -> tuple[int, ...]: ...  # noqa: D102

    def entry_at(self, pc: int, registers: Sequence[int]) -> Entry:
        """What is to be entered at one of `entries` with these registers."""

    def find(self, entry: Entry) -> Enterable | None:
        """The unit of an entry, if it was made."""

    def make(self, entry: Entry) -> bool:
        """Translate a unit and what it calls, if it is not there; False when that cannot be."""

    def missed(self, pc: int) -> bool:
        """An access at `pc` was left to the exact tier; whether the guess about it was given up now."""


class Prepared:
    """A program in both tiers. `heat` counts the instructions that the exact tier has executed; `dropped`
    says that its engine keeps it no longer, `used` that it ran by an entrance since that was last asked.
    `version` changes when units that were found are not to be entered any more.
    """

    def __init__(self, closures: Closures, translator: Callable[[], Translating]) -> None:
        self.closures = closures
        self.heat = 0
        self.version = 0
        self.dropped = False
        self.used = False
        self.translation: Translating | None = None
        self.originals: dict[int, Closure] = {}
        self._translator = translator
        self._asked: set[int] = set()
        self._lock = Lock()

    def drop(self) -> None:
        """Its engine keeps it no longer; what runs goes on with it."""
        self.dropped = True
        self.version += 1

    def missed(self, pc: int) -> None:
        """An access at `pc` was left to the exact tier."""
        if self.translation is not None and self.translation.missed(pc):
            self.version += 1

    def ask(self, pc: int) -> bool:
        """Whether this is the first wish for something at `pc` since the last was fulfilled."""
        with self._lock:
            if pc in self._asked:
                return False
            self._asked.add(pc)
            return True

    def translate(self, pc: int, registers: list[int]) -> None:
        """Make the unit that is entered at `pc` with these registers, if one can be."""
        translation = self.translation
        if translation is None:
            translation = self.translation = self._translator()
            self._set_traps(translation)
        if pc in translation.entries and not translation.make(translation.entry_at(pc, registers)):
            self.closures.code[pc] = self.originals[pc]
        with self._lock:
            self._asked.discard(pc)

    def _set_traps(self, translation: Translating) -> None:
        for pc in translation.entries:
            self.originals[pc] = self.closures.build(pc)
        for pc, original in self.originals.items():
            self.closures.code[pc] = partial(_trap, original)


class Enter(Exception):
    """The exact tier has come to a slot where translated code may begin."""


def _trap(original: Closure, r: list[int], m: Machine) -> int:
    """Stands at the entries of a translated program."""
    if m.settled:
        return original(r, m)
    raise Enter
