"""Compiled code as the client's users see it: options, answers, `ps` and `show`, runs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client.cli import cli
from client.commands.requests import request_of
from client.execution import run_lines
from client.views import slot_lines, slots_lines
from device.api import ExecRequest, SlotInfo, SlotList
from device.errors import ConfigError
from device.jit.engine import JitEngine
from device.vm.asm import assemble
from device.vm.program import Outcome, Program, Run

SUM = assemble("ldxb r0, [r1]\nldxb r3, [r1+1]\nstxb [r1], r3\nstxb [r1+1], r0\nadd r0, r3\nexit")
HOT = assemble("mov r0, 0\nmov r6, 60000\nagain: add r0, r6\nadd r6, -1\njne r6, 0, again\nexit")

NOTHING: dict[str, Any] = {
    "engine": "auto", "jit": False, "recompile": False, "shadow": False, "cycles": False, "context": None,
    "regions": (), "helpers": None, "budget": None, "timeout": 1.0, "repeat": 1,
}  # fmt: skip
JIT = {"size": 120, "exact_code": 0, "compiles": 2, "compile_us": 900, "runs": 7, "quarantined": False}


def asked(**options: Any) -> ExecRequest:
    return request_of(**{**NOTHING, **options})


@pytest.mark.parametrize("engine", ["auto", "jit"])
def test_jit_is_the_engine_of_that_name(engine: str) -> None:
    assert asked(jit=True, engine=engine).engine == "jit"


def test_jit_and_another_engine_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        asked(jit=True, engine="switch")


@pytest.mark.parametrize("wish", ["recompile", "shadow", "cycles"])
def test_wishes_are_in_the_request(wish: str) -> None:
    request = asked(**{wish: True})
    assert [getattr(request, name) for name in ("recompile", "shadow", "cycles")].count(True) == 1
    assert request.to_map()[wish] is True


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"sizes": {"code": 96}, "time_us": {"run": 5, "compile": 800}}, "code    96 B, compiled in 800 µs"),
        ({"sizes": {"code": 96}, "time_us": {"run": 5, "compile": 0}}, "code    96 B"),
        ({"cycles": 1234}, "cycles  1234 (estimate, Cortex-M4)"),
        ({"shadow": {"equal": True}}, "shadow  compiled code does the same"),
        ({"shadow": {"equal": False, "difference": "r0 8"}}, "shadow  DIFFERENT: r0 8"),
        ({"shadow": {"equal": None, "difference": "not compared: why"}}, "shadow  not compared: why"),
    ],
    ids=["compiled", "kept", "cycles", "equal", "different", "not compared"],
)
def test_answers_tell_of_code(answer: dict[str, Any], line: str) -> None:
    assert line in list(run_lines({"engine": "jit", "instructions": 3, **answer}))


def test_slots_tell_of_code() -> None:
    slot = SlotInfo(slot=0, state="ready", name="p", jit=JIT)
    told = "120 B  runs 7  compiled 2 times in 900 µs"
    assert f"   jit {told}" in list(slots_lines(SlotList((slot,))))
    assert any(line.startswith("jit ") and line.endswith(told) for line in slot_lines(slot))
    plain = SlotInfo(slot=0, state="ready", name="p")
    assert not any("jit" in line for line in (*slots_lines(SlotList((plain,))), *slot_lines(plain)))


def test_a_slot_without_bytecode_says_so() -> None:
    told = "discarded, runs by jit only, 2048 B of exact code"
    slot = SlotInfo(slot=0, state="ready", bytecode="discarded", jit={**JIT, "exact_code": 2048})
    assert f"   bytecode {told}" in list(slots_lines(SlotList((slot,))))
    assert any(line.startswith("bytecode ") and line.endswith(told) for line in slot_lines(slot))


@pytest.mark.parametrize(
    "jit",
    [{**JIT, "quarantined": True}, {"size": "\x1b[2J", "runs": None}, {}],
    ids=["quarantined", "rubbish", "none"],
)
def test_whatever_a_device_says_of_code_is_shown(jit: dict[str, Any]) -> None:
    slot = SlotInfo(slot=0, state="ready", name="p", jit=jit)
    lines = [*slots_lines(SlotList((slot,))), *slot_lines(slot)]
    assert any("quarantined" in line for line in lines) == bool(jit.get("quarantined"))
    assert not any("\x1b" in line for line in lines)


# On this machine


def run(folder: Path, image: bytes, *options: str) -> Result:
    path = folder / "p.bin"
    path.write_bytes(image)
    return CliRunner().invoke(cli, ["run", str(path), "--layout", "text", "-o", "json", *options])


def result(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["results"]
    found: dict[str, Any] = one["result"]
    return found


def test_a_program_runs_compiled(tmp_path: Path) -> None:
    found = result(run(tmp_path, SUM, "--jit", "--context", "0102"))
    assert (found["engine"], found["r0_signed"], found["context"]) == ("jit", 3, "0201")
    assert found["sizes"]["code"] > 0
    assert found["time_us"]["compile"] > 0


@pytest.mark.parametrize("engine", ["switch", "jit"])
def test_a_fault_has_its_context_as_json(tmp_path: Path, engine: str) -> None:
    done = run(tmp_path, SUM, "--engine", engine, "--context", "01")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["results"][0]["error"]
    assert (error["code"], error["answer"]["context"], error["answer"]["engine"]) == (
        "ILLEGAL_MEM",
        "01",
        engine,
    )


def test_it_is_compared(tmp_path: Path) -> None:
    found = result(run(tmp_path, SUM, "--shadow", "--context", "0102"))
    assert (found["engine"], found["shadow"], found["context"]) == ("interpreter", {"equal": True}, "0201")


def test_a_difference_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_self: JitEngine, _program: Program, run: Run) -> Outcome:
        run.memory.store(run.r1, 1, 9)
        return Outcome(3, None, 6)

    monkeypatch.setattr(JitEngine, "run", wrong)
    found = result(run(tmp_path, SUM, "--shadow", "--context", "0102"))
    text = "byte at 0x20200000 in the context: 0x09, expected 0x02"
    assert found["shadow"] == {"equal": False, "difference": text}
    assert (found["r0_signed"], found["context"]) == (3, "0201")


def test_cycles_are_estimated(tmp_path: Path) -> None:
    short, long = (
        result(run(tmp_path, SUM, "--cycles", "--context", "0102", *more))["cycles"]
        for more in ((), ("--jit",))
    )
    assert short == long > 0


def test_what_is_hot_gets_compiled(tmp_path: Path) -> None:
    found = result(run(tmp_path, HOT, "--repeat", "60"))
    assert (found["engine"], found["r0_signed"]) == ("jit", 60_000 * 60_001 // 2)


@pytest.mark.parametrize(
    "options", [("--engine", "switch", "--shadow"), ("--shadow", "--cycles")], ids=["engine", "both"]
)
def test_wishes_that_make_no_sense_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(tmp_path, SUM, *options)
    assert done.exit_code != 0
    assert json.loads(done.stdout)["results"][0]["error"]["code"] == "malformed"
