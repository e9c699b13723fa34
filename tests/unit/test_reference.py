"""The documentation page is the one that the tables give, and misses no row of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.vm.helpers import HELPERS
from device.vm.isa import TABLE
from device.vm.reference import reference
from device.vm.verifier import RULES

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8") == reference()
    assert written, "run: python -m device.vm.reference > docs/reference.md"


@pytest.mark.parametrize(
    ("title", "names"),
    [
        pytest.param("Instructions", [f"`{op.mnemonic}`" for op in TABLE], id="instructions"),
        pytest.param("Helpers", [f"0x{number:02x}" for number in HELPERS], id="helpers"),
        pytest.param("Findings", list(RULES), id="findings"),
    ],
)
def test_every_row_is_in_it(title: str, names: list[str]) -> None:
    section = reference().split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]] == names
    assert {len(row.replace("\\|", "").split("|")) for row in rows} == {len(rows[0].split("|"))}
