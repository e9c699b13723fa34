"""Processes of the three programs side by side: what they say, and what they need of a machine."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from client.keys import generate
from tests.device_bench import OBJECTS, eventually
from tests.integration.processes import client, server

# What a kernel without IPv6 answers, to every program that is started with this on its path.
WITHOUT_IPV6 = """
import errno, os, socket

class WithoutIpv6(socket.socket):
    def __init__(self, family=-1, *arguments, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *arguments, **options)

socket.socket = WithoutIpv6
"""


async def test_the_logs_of_all_programs_can_be_put_in_order(tmp_path: Path) -> None:
    before = time.time()
    logs = {name: tmp_path / f"{name}.log" for name in ("fileserver", "device")}
    async with server("fileserver", "--root", str(tmp_path / "served"), log=logs["fileserver"]) as files:
        async with server("device", "--server", files.url, "--name", "otter", log=logs["device"]) as device:
            await eventually(lambda: "otter registered" in logs["fileserver"].read_text())
            assert await device.end(signal.SIGTERM) == 0
        assert await files.end(signal.SIGTERM) == 0
    times = [
        (json.loads(line)["time"], json.loads(line).get("text", ""))
        for log in logs.values()
        for line in log.read_text().splitlines()
    ]
    assert all(before - 1 <= moment <= time.time() + 1 for moment, _ in times)
    in_order = [text for _, text in sorted(times)]
    serves = next(index for index, text in enumerate(in_order) if "otter serves port" in text)
    assert serves < next(index for index, text in enumerate(in_order) if text.startswith("otter registered"))


@pytest.mark.parametrize("bind", ["127.0.0.1", "::"], ids=["one address", "all addresses"])
async def test_everything_works_where_the_kernel_has_no_ipv6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bind: str
) -> None:
    path = tmp_path / "path"
    path.mkdir()
    (path / "sitecustomize.py").write_text(WITHOUT_IPV6)
    monkeypatch.setenv("PYTHONPATH", str(path))
    key, trusted, log = tmp_path / "operator" / "key.pem", tmp_path / "trusted", tmp_path / "log"
    trusted.mkdir()
    generate(key).rename(trusted / "operator.pem.pub")
    async with (
        server("fileserver", "--root", str(tmp_path / "served"), "--bind", bind, log=log) as files,
        server(
            "device", "--server", files.url, "--keys", str(trusted), "--bind", bind, "--count", "2",
            "--name", "d", log=log, count=2,
        ),
    ):  # fmt: skip
        await eventually(lambda: log.read_text().count("registered at") == 2)
        at = ("--server", files.url)
        deployed = await client("deploy", OBJECTS / "hello.o", "-d", "all", "--key", key, "-o", "json", *at)
        assert [entry["device"] for entry in deployed.results if entry["ok"]] == ["d-1", "d-2"]
        ran = await client("exec", "-d", "d-2", "-o", "json", *at)
        assert ran.results[0]["result"]["output"] == "Hello from eBPF\n"
        gone = await client("ps", "-d", "127.0.0.1:9", "-d", "d-1", "-o", "json", *at)
        assert [entry["ok"] for entry in gone.results] == [False, True]
        assert gone.seconds < 5
    assert "EAFNOSUPPORT" not in log.read_text()
