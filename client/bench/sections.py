"""The sections of the evaluation by name, and a run of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from client.bench import engines, jit, jit_tables, machine, regions, sizes, tables
from client.bench.settings import Row, Settings


@dataclass(frozen=True, slots=True)
class Section:
    """What it measures, in words; how it is measured; how its rows are shown."""

    title: str
    measure: Callable[[Settings], list[Row]]
    render: Callable[[Sequence[Row]], Iterable[str]]


SECTIONS: Final[Mapping[str, Section]] = {
    "engines": Section("speed of the engines", engines.measure, tables.engines),
    "jit": Section("compiled code beside native C", jit.measure, jit_tables.jit),
    "sizes": Section("size of the published programs", sizes.measure, jit_tables.sizes),
    "regions": Section("cost of the number of regions", regions.measure, tables.regions),
}
"""All of them, in the order in which they are measured."""


@dataclass(frozen=True, slots=True)
class Results:
    """What came out, as scripts get it (evaluation.md, The command)."""

    meta: Mapping[str, Any]
    sections: Mapping[str, list[Row]]

    def to_map(self) -> dict[str, Any]:
        """The JSON object."""
        return {"meta": dict(self.meta), "sections": dict(self.sections)}


def run(
    names: Sequence[str],
    settings: Settings,
    on_section: Callable[[str, Section, list[Row]], None] = lambda _name, _section, _rows: None,
) -> Results:
    """Measure the sections of these names, one after the other; `on_section` gets each as it is done.

    Raises WrongResultError when a program returns something else than it should, ConfigError and LoadError
    when the programs are missing or damaged.
    """
    meta = machine.facts(settings.effort)
    rows: dict[str, list[Row]] = {}
    for name, section in SECTIONS.items():
        if name in names:
            rows[name] = section.measure(settings)
            on_section(name, section, rows[name])
    return Results(meta, rows)
