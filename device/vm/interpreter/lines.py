"""The text of a generated function while it is being written, and what each of its lines may end with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

_INDENT: Final = " "
"""One blank a level, as CPython refuses more than 100 levels and nobody reads this but it."""


class Kind(Enum):
    """What is to happen when a line raises."""

    RESUME = "the instruction is executed again by the exact tier"
    HELPER = "a helper's fault ends the run; anything else is as for RESUME"
    CALL = "a callee was left: this is a caller's frame"


class Site(NamedTuple):
    """A line that may raise: which instruction it stands for, and how the machine's state is found there.

    `refund` is what was charged for this instruction and those behind it. `live` are the halves of registers
    that are needed; each is in its variable, or `texts` has an expression for it.
    """

    pc: int
    refund: int
    live: int
    texts: tuple[tuple[int, str], ...] = ()
    kind: Kind = Kind.RESUME


@dataclass(slots=True)
class Lines:
    """Statements so far. `names` are what the function looks up when it is entered, with their sources."""

    rows: list[str] = field(default_factory=list)
    sites: dict[int, Site] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    level: int = 2
    _temporaries: int = 0

    def add(self, text: str, site: Site | None = None) -> None:
        """A statement on a line of its own."""
        if site is not None:
            self.sites[len(self.rows)] = site
        self.rows.append(_INDENT * self.level + text)

    @contextmanager
    def block(self, head: str, site: Site | None = None) -> Iterator[None]:
        """A compound statement; its body is what is added within."""
        self.add(head, site)
        self.level += 1
        yield
        self.end()

    def end(self) -> None:
        """End a compound statement, which has to have a body."""
        if self.rows[-1].endswith(":"):
            self.add("pass")
        self.level -= 1

    def temporary(self) -> str:
        """A name that nothing else has."""
        self._temporaries += 1
        return f"t{self._temporaries}"

    def use(self, name: str, source: str) -> str:
        """`name`, made to stand for `source` from the start of the function on."""
        self.names[name] = source
        return name

    def function(self, name: str, parameters: str, sites_name: str) -> tuple[str, Mapping[int, Site]]:
        """The whole text, and its sites by line number, the first line being 1."""
        head = [f"def {name}({parameters}):"]
        head += [f"{_INDENT}{local} = {source}" for local, source in self.names.items()]
        head.append(f"{_INDENT}try:")
        tail = [
            f"{_INDENT}except PROBLEMS as e:",
            f"{_INDENT * 2}raise leave(e, {sites_name}, locals()) from None",
        ]
        text = "\n".join([*head, *self.rows, *tail, ""])
        return text, {row + len(head) + 1: site for row, site in self.sites.items()}
