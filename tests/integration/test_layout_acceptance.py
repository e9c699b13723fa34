"""Every acceptance program in every layout that can carry it, on every engine (programs.md section 8).

A layout that cannot carry a program refuses it by name; that is in the table as well. What the originals
got wrong is among them: .data together with literals, calls of global functions, early exits, pointers.
"""

from __future__ import annotations

from typing import Final

import pytest

from client.build import CPU_LEVELS, compile_source, compilers
from client.examples import Example, load
from device.engines import ENGINES
from device.errors import LoadError
from device.vm import loader
from device.vm.layouts.convert import Wish, convert
from device.vm.program import Engine, Layout
from tests.unit.test_examples import check, relocations

EXAMPLES: Final = load()

FORMATS: Final = {
    "elf": Wish(Layout.ELF),
    "text": Wish(Layout.TEXT),
    "femto": Wish(Layout.FEMTO),
    "femto for Femto-Containers": Wish(Layout.FEMTO, profile="femto"),
    "sming": Wish(Layout.SMING),
    "extended": Wish(Layout.EXTENDED),
}
FOREIGN: Final = ("femto for Femto-Containers", "sming")
"""Written for machines with a memory map of their own."""

POINTERS: Final = frozenset(
    name
    for name, example in EXAMPLES.items()
    if example.object.exists() and any(section == ".data" for section, _ in relocations(example.object))
)
"""Programs with pointers in .data: only who knows the addresses can fill them in."""


def carries(example: Example, name: str) -> bool:
    if name == "text":
        return example.text
    return name not in FOREIGN or example.name not in POINTERS


TABLE: Final = [(example, name) for example in EXAMPLES.values() for name in FORMATS]
CARRIED: Final = [row for row in TABLE if carries(*row)]
each_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


def ids(rows: list[tuple[Example, str]]) -> list[str]:
    return [f"{example.name}-{name}" for example, name in rows]


@each_engine
@pytest.mark.parametrize(("example", "name"), CARRIED, ids=ids(CARRIED))
def test_gives_its_value(example: Example, name: str, engine: Engine) -> None:
    image = convert(example.object.read_bytes(), FORMATS[name]).image
    assert loader.load(image).layout is FORMATS[name].layout
    check(example, image, engine)


def test_the_table_has_programs_of_both_kinds() -> None:
    assert {"data_relocations", "looping", "data_relocations_looping"} <= POINTERS
    assert len(POINTERS) < len(EXAMPLES) / 2


REFUSED: Final = [row for row in TABLE if not carries(*row)]


@pytest.mark.parametrize(("example", "name"), REFUSED, ids=ids(REFUSED))
def test_is_refused_by_name(example: Example, name: str) -> None:
    with pytest.raises(LoadError) as caught:
        convert(example.object.read_bytes(), FORMATS[name])
    assert caught.value.code == "load-reloc"
    assert caught.value.where
    assert caught.value.hint


CHAINS: Final = [(one, other) for one in FORMATS for other in FORMATS if "for" not in other]


@pytest.mark.parametrize(("one", "other"), CHAINS, ids=[f"{one} to {other}" for one, other in CHAINS])
def test_gives_its_value_after_another_layout(one: str, other: str) -> None:
    """An image in one layout is turned into another; only the reasons of the table stop that."""
    engine = list(ENGINES.values())[-1]
    converted = 0
    for example in EXAMPLES.values():
        if not (carries(example, one) and carries(example, other)):
            continue
        image = convert(example.object.read_bytes(), FORMATS[one]).image
        check(example, convert(image, FORMATS[other]).image, engine)
        converted += 1
    assert converted >= sum(example.text for example in EXAMPLES.values())


@pytest.mark.skipif(not compilers(), reason="no clang and no ziglang: other CPU levels NOT packaged")
@pytest.mark.parametrize("cpu", CPU_LEVELS)
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_every_cpu_level(example: Example, cpu: str) -> None:
    built = compile_source(example.source, cpu=cpu).object
    engine = list(ENGINES.values())[-1]
    for name in ("femto", "sming", "extended"):
        if carries(example, name):
            check(example, convert(built, FORMATS[name]).image, engine)
