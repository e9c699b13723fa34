"""A device that runs programs under another machine's rules, over UDP."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from device.cli import main
from device.errors import ConfigError, VerifyError
from device.node import NodeConfig, limits_of
from device.vm.asm import assemble
from tests.device_bench import device

LOOP = assemble("mov r0, 0\nx: add r0, 1\njlt r0, 1000, x\nexit")
DIVISION = assemble("mov r0, 7\nmod r0, r3\nexit")
NEG = assemble("mov r0, 5\n.bytes 8f00000000000000\nexit")
MAGIC = assemble("call 0x100\nexit")
GLOBAL = assemble("mov r1, 1\nmov r2, 9\ncall 0x10\nexit")

CASES: list[tuple[str, dict[str, Any], bytes, int | str]] = [
    ("200 branches", {"profile": "femto"}, LOOP, "OUT_OF_BRANCHES"),
    ("any number", {}, LOOP, 1000),
    ("the device's own bound", {"limits": limits_of(["branches=10"])}, LOOP, "OUT_OF_BRANCHES"),
    ("no bound", {"profile": "femto", "limits": limits_of(["branches=0"])}, LOOP, 1000),
    ("zero divisor", {"profile": "sming"}, DIVISION, "ILLEGAL_DIV"),
    ("zero divisor as RFC 9669 says", {"profile": "riot2020"}, DIVISION, 7),
    ("neg as 8f", {"profile": "femto"}, NEG, -5),
    ("a helper of Sming's", {"profile": "sming"}, MAGIC, 1234),
]


@pytest.mark.parametrize("engine", ["switch", "interpreter"])
@pytest.mark.parametrize(
    ("settings", "image", "ending"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
async def test_runs(settings: dict[str, Any], image: bytes, ending: int | str, engine: str) -> None:
    async with device(**settings) as bench:
        await bench.install(0, image)
        answer = (await bench.execute(0, {"engine": engine})).value
        assert answer.get("r0_signed", (answer.get("fault") or {}).get("code")) == ending
        info = (await bench.get("/slots/0")).value
        assert info["profile"] == settings.get("profile", "ubpf")
        assert (await bench.get("/device")).value["profiles"] == [settings.get("profile", "ubpf")]


async def test_what_only_another_profile_takes_is_refused() -> None:
    async with device() as bench:
        for image, finding in ((NEG, "opcode"), (MAGIC, "helper-unknown")):
            with pytest.raises(VerifyError) as refused:
                await bench.install(0, image)
            assert refused.value.findings[0]["id"] == finding


async def test_the_stores_of_sming_are_the_other_way_round() -> None:
    async with device(profile="sming") as bench:
        await bench.install(0, GLOBAL)
        await bench.execute(0)
        assert (await bench.get("/store/global")).value["entries"] == {"1": 9}
        assert (await bench.get("/store/slots/0")).value["entries"] == {}


async def test_a_fault_has_the_original_number_and_a_line_in_the_log() -> None:
    async with device(profile="femto", limits=limits_of(["budget_default=5"])) as bench:
        await bench.install(0, LOOP)
        fault = (await bench.execute(0)).value["fault"]
        assert (fault["code"], fault["number"], fault["profile_number"]) == ("OUT_OF_INSTRUCTIONS", -10, -8)
        (line,) = [line for line in bench.lines if "OUT_OF_INSTRUCTIONS" in line]
        assert line.startswith("warning slot0 OUT_OF_INSTRUCTIONS: budget of 5 instructions used up at insn")
        assert "; try: " in line


def test_a_profile_that_is_none() -> None:
    with pytest.raises(ConfigError, match="no profile"):
        NodeConfig(profile="linux")
    assert CliRunner().invoke(main, ["--profile", "linux"]).exit_code == 2
