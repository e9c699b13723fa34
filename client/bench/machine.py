"""What a measurement was made on, and with what."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from client.bench.timing import Effort
from device import __version__

LIBRARIES: Final = ("unicorn", "cbor2", "aiocoap")
"""What is in the way of anything that is measured."""

_CPUINFO: Final = Path("/proc/cpuinfo")


def facts(effort: Effort, *, now: datetime | None = None) -> dict[str, Any]:
    """`meta` of the results: machine, versions, when, and how much was done."""
    return {
        "version": __version__,
        "time": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": _load(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "seconds": "processor time of the thread; first calls on the clock",
        "rounds": effort.rounds,
        "sample_seconds": effort.sample_s,
        "warm_up_seconds": effort.warm_s,
    }


def processor(source: Path = _CPUINFO) -> str:
    """The name of the processor, as well as it is known."""
    try:
        lines = source.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _load() -> float | None:
    """How busy the machine was in the last minute, in processes; what else runs is in the numbers."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
