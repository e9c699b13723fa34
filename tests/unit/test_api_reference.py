"""The page of the API is the one that a device's resources and messages give, and misses none of them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from device.api import Message
from device.node.config import NodeLimits
from device.node.reference import messages, reference, resources
from tests.device_bench import device

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


async def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8") == reference(await resources())
    assert written, "run: python -m device.node.reference > docs/api.md"


async def test_every_path_of_a_device_is_in_it() -> None:
    listed = re.findall(r"^\| `([^`]*)` \|", section("Resources"), re.MULTILINE)
    async with device() as bench:
        text = (await bench.get("/.well-known/core")).value
    paths = {re.sub(r"/\d+(?=/|$)", "/{n}", path) for path in re.findall("<([^>]*)>", text)}
    assert set(listed) == paths | {"/jobs/{id}", "/hooks/{id}", "/app/{path}"}


@pytest.mark.parametrize("kind", messages(), ids=lambda kind: kind.__name__)
def test_every_field_is_in_it(kind: type[Message]) -> None:
    told = section("Messages").split(f"### {kind.__name__}\n")[1].split("\n### ")[0]
    for item in fields(kind):  # type: ignore[arg-type]  # every message is a dataclass
        name = item.name
        assert f"| `{'class' if name == 'kind' else name}` |" in told


@pytest.mark.parametrize("name", [item.name for item in fields(NodeLimits)])
def test_every_limit_is_in_it(name: str) -> None:
    assert name == "of_slots" or re.search(rf"^ +{name} ", section("Limits"), re.MULTILINE)


def section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"## {title}\n", 1)[1].split("\n## ")[0]
