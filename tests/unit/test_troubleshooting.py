"""The codes that the page explains are codes that somebody says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CODES = [
    code
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for code in re.findall(r"`([^`]+)`", line.split("|")[1])
]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("client", "device", "fileserver")
    for path in (ROOT / package).rglob("*.py")
)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_said_somewhere(code: str) -> None:
    assert re.search(rf'"{re.escape(code)}"|\b{re.escape(code)} = ', SOURCES)


def test_there_are_codes() -> None:
    assert len(CODES) > 20


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
