"""Says with which seed the fuzz tests ran."""

from __future__ import annotations

import pytest

from tests.property.fuzzing import SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, whatever came of it."""
    terminalreporter.write_line(f"fuzz: MICROBPF_FUZZ_SEED={SEED} makes the same inputs again")
