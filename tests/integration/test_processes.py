"""Processes of the three programs side by side: what they say, and what they need of a machine."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.device_bench import eventually
from tests.integration.processes import server


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
