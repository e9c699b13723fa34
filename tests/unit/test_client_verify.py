"""`client verify` and `client run` on this machine: findings, profiles, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client.cli import cli
from client.judge import judge, profile_named
from device.errors import ConfigError

NEG = "mov r0, 5\nneg r0\nexit\n"
NEG_8F = "mov r0, 5\n.bytes 8f00000000000000\nexit\n"
DIVIDES = "mov r0, 7\nmov r1, 0\ndiv r0, r1\nexit\n"
SMINGS = "call 0x100\nexit\n"
LONG = "mov r0, 0\nx: add r0, 1\njlt r0, 1000, x\nexit\n"


def source(folder: Path, text: str) -> str:
    path = folder / "prog.s"
    path.write_text(text)
    return str(path)


def client(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert "Traceback" not in result.output
    return result


def entry(*arguments: str) -> dict[str, Any]:
    (found,) = json.loads(client(*arguments, "-o", "json").stdout)["results"]
    assert isinstance(found, dict)
    return found


# text, options, exit code, what is shown
SHOWN: list[tuple[str, str, tuple[str, ...], int, tuple[str, ...]]] = [
    ("accepted", NEG, (), 0, ("accepted: prog", "bound     3 instructions", "loops     none")),
    ("a loop", LONG, (), 0, ("loops     #1-#2 (1000 rounds)", "bound     none, it loops")),
    ("a remark", NEG, ("--profile", "femto"), 0, ("warning neg-87: femto: neg is encoded as 8f",)),
    (
        "of several profiles", NEG, ("--profile", "riot2020,femto", "--profile", "ubpf"), 0,
        ("accepted under riot2020, femto, ubpf: prog", "warning neg-87: femto, riot2020:"),
    ),
    ("8f is no instruction", NEG_8F, (), 1, ("error opcode: unknown opcode 0x8f", "expected an opcode")),
    ("but neg there", NEG_8F, ("--profile", "femto"), 0, ("warning opcode: unknown opcode 0x8f, runs as",)),
    ("any profile refuses", NEG_8F, ("--profile", "femto,ubpf"), 1, ("error opcode", "warning neg-8f: ubpf")),
    ("helper of another", SMINGS, (), 1, ("helper 0x100 does not exist in profile ubpf",)),
    ("helper of its own", SMINGS, ("--profile", "sming"), 0, ("0x100", "bpf_user_get_magic")),
    ("denied", "call 0x20\nexit", ("--helpers", "0x01"), 4, ("error helper-denied: helper 0x20 bpf_now_ms",)),
    ("no profile", NEG, ("--profile", "linux"), 2, ("'linux' is no profile", "riot2020")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "options", "code", "parts"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN]
)
def test_verify(
    tmp_path: Path, text: str, options: tuple[str, ...], code: int, parts: tuple[str, ...]
) -> None:
    result = client("verify", source(tmp_path, text), *options)
    assert result.exit_code == code
    for part in parts:
        assert part in result.output


def test_verify_in_json(tmp_path: Path) -> None:
    found = entry("verify", source(tmp_path, NEG), "--profile", "femto")["result"]
    assert (found["accepted"], found["profiles"], found["findings"]) == (True, ["femto"], [])
    assert {remark["id"] for remark in found["remarks"]} == {"neg-87", "layout-femto"}
    assert all(
        {"id", "severity", "message", "hint", "there", "profiles"} <= r.keys() for r in found["remarks"]
    )


def test_a_refusal_in_json_has_findings_with_advice_and_the_report(tmp_path: Path) -> None:
    error = entry("verify", source(tmp_path, NEG_8F), "--profile", "ubpf")["error"]
    (finding,) = error["findings"]
    assert (finding["id"], finding["insn"], finding["offset"]) == ("opcode", 1, 8)
    assert finding["expected"] == "an opcode of RFC 9669"
    assert finding["hint"]
    assert error["report"]["remarks"][0]["id"] == "neg-8f"


# text, profile, what it comes to
RUNS = [
    ("neg", NEG_8F, "femto", "result  -5"),
    ("zero divisor here", DIVIDES, "ubpf", "result  0"),
    ("zero divisor there", DIVIDES, "sming", "ILLEGAL_DIV (-9)"),
    ("branches here", LONG, "riot2020", "result  1000"),
    ("branches there", LONG, "femto", "OUT_OF_BRANCHES (-8)"),
    ("a helper of its own", SMINGS, "sming", "result  1234"),
    ("nothing special", "x: mov r0, 0\nadd r0, 1\nexit", "femto", "result  1"),
]


@pytest.mark.parametrize(
    ("text", "profile", "shown"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS]
)
def test_run_under_a_profile(tmp_path: Path, text: str, profile: str, shown: str) -> None:
    result = client("run", source(tmp_path, text), "--profile", profile)
    assert shown in result.output
    assert result.exit_code == (1 if "(" in shown else 0)


def test_the_number_of_the_original_is_shown_where_it_differs(tmp_path: Path) -> None:
    path = source(tmp_path, "x: mov r0, 0\njeq r0, 1, x\nexit\n")
    fault = entry("run", path, "--profile", "femto", "--budget", "1")["error"]["fault"]
    assert (fault["code"], fault["number"], fault["profile_number"]) == ("OUT_OF_INSTRUCTIONS", -10, -8)
    assert "profile_number" not in entry("run", path, "--budget", "1")["error"]["fault"]


def test_judge_is_a_call_like_any_other(tmp_path: Path) -> None:
    judgement = judge(Path(source(tmp_path, NEG)), profiles=["femto", "femto"])
    assert (judgement.profiles, judgement.refusal) == (("femto",), None)
    with pytest.raises(ConfigError, match="no profile"):
        profile_named("sming2")
