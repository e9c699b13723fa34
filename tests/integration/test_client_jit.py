"""Compiled code from the command line: deployed, run, compared, looked at, over UDP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client_testbed import OBJECTS, LiveFleet

SPIN = "long spin(void) { volatile long n = 0; for (;;) n++; }\n"
WILD = "long wild(char *context) {\n    return context[1000];\n}\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path_factory.mktemp("jit")) as made:
        made.add("otter", "heron")
        for result in made.results("deploy", OBJECTS / "increment.o", "-d", "all"):
            assert result["ok"]
        yield made


def test_exec_compiled_on_all_devices(fleet: LiveFleet) -> None:
    found = fleet.results("exec", "--jit", "--context", "0a00000000000000", "-d", "all")
    assert [(one["device"], one["result"]["engine"], one["result"]["r0_signed"]) for one in found] == [
        ("heron", "jit", 11),
        ("otter", "jit", 11),
    ]
    nodes = fleet.nodes.values()
    assert len({id(node.executor.engines["jit"]) for node in nodes}) == 2


def test_what_people_see(fleet: LiveFleet) -> None:
    shown = fleet.client(
        "exec", "--jit", "--recompile", "--context", "0a00000000000000", "-d", "otter"
    ).stdout
    assert "engine   jit, " in shown
    assert ", compiled in " in shown
    compared = fleet.client("exec", "--shadow", "--context", "0a00000000000000", "-d", "otter").stdout
    assert "shadow   compiled code does the same" in compared
    for verb in (("ps",), ("show", "--slot", "0")):
        told = fleet.client(*verb, "-d", "otter").stdout
        assert "jit" in told
        assert "compiled " in told
    estimated = fleet.client("exec", "--cycles", "--context", "0a00000000000000", "-d", "otter").stdout
    assert "(estimate, Cortex-M4)" in estimated


def test_engines_that_contradict_each_other_are_refused_here(fleet: LiveFleet) -> None:
    (refused,) = fleet.results("exec", "--jit", "--engine", "switch", "-d", "otter", code=2)
    assert refused["error"]["code"] == "argument"


def test_a_fault_in_compiled_code_shows_its_line(fleet: LiveFleet, tmp_path: Path) -> None:
    """The device has a stripped image; the line comes from the operator's own files."""
    source = tmp_path / "wild.c"
    source.write_text(WILD, encoding="utf-8")
    fleet.results("deploy", "--slot", "1", source, "-d", "heron")
    (failed,) = fleet.results("exec", "--slot", "1", "--jit", "--context", "00", "-d", "heron", code=1)
    shown = failed["error"]["fault"]
    assert (shown["code"], shown["access"], shown["size"]) == ("ILLEGAL_MEM", "load", 1)
    assert shown["source"].endswith("wild.c:2")
    assert failed["error"]["answer"]["context"] == "00"


def test_a_program_that_spins_ends_with_its_budget(fleet: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "spin.c"
    source.write_text(SPIN, encoding="utf-8")
    fleet.results("deploy", "--slot", "2", source, "-d", "heron")
    (failed,) = fleet.results("exec", "--slot", "2", "--jit", "-d", "heron", code=1)
    assert failed["error"]["fault"]["code"] == "OUT_OF_INSTRUCTIONS"
