"""What a device senses, and which helpers it grants, as its command line says; over UDP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from aiocoap import Code

from device.transport import client_context
from tests.device_bench import example
from tests.device_process import COMMAND, device_process, environment, prepare_state
from tests.integration.test_many_jobs import Peer


async def test_signals(tmp_path: Path) -> None:
    recording = tmp_path / "day.csv"
    recording.write_text("seconds,value\n0,250\n100000,300\n")
    await prepare_state(tmp_path / "state", {0: example("temperature_read"), 1: example("show")})
    options = ("--state", str(tmp_path / "state"), "--slots", "6")
    signals = (f"saul:1=csv:{recording}", "adc:2=600", "saul:6=fail")
    with device_process(*options, *(part for signal in signals for part in ("--signal", signal))) as process:
        context = await client_context()
        try:
            peer = Peer(context, process.url)
            code, answer, _ = await peer.ask(Code.POST, "/slots/0/exec", {})
            assert (code, answer["r0_signed"], answer["output"]) == ("2.04", 500, "250 and 250\n")
            code, answer, _ = await peer.ask(Code.POST, "/slots/1/exec", {})
            assert (code, answer["r0_signed"]) == ("2.04", 2)
        finally:
            await context.shutdown()


async def test_helpers_that_a_device_grants(tmp_path: Path) -> None:
    await prepare_state(tmp_path / "state", {0: example("temperature_read"), 1: example("pins")})
    options = ("--state", str(tmp_path / "state"), "--slots", "6", "--helpers", "0x01 0x31,0x34")
    with device_process(*options) as process:
        context = await client_context()
        try:
            peer = Peer(context, process.url)
            code, answer, _ = await peer.ask(Code.POST, "/slots/0/exec", {})
            assert (code, answer["helpers"]) == ("2.04", [0x01, 0x31, 0x34])
            code, _, _ = await peer.ask(Code.POST, "/slots/1/exec", {})
            assert code == "4.22"
            code, _, _ = await peer.ask(Code.POST, "/jobs", {"slot": 1})
            assert code == "4.22"
        finally:
            await context.shutdown()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--signal", "saul:1"), "has no ="),
        (("--signal", "saul:1=wave"), "is no number"),
        (("--signal", "saul:0=1"), "LED is no sensor"),
        (("--signal", "adc:7=1"), "no line 7"),
        (("--signal", "saul:1=csv:/nowhere.csv"), "cannot be read"),
        (("--helpers", "0x01,printf"), "are no helper ids"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_settings_that_are_refused(options: tuple[str, ...], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, "--bind", "127.0.0.1", "--port", "0", *options],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
