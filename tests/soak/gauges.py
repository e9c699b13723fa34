"""What a device process holds: memory, tasks, threads, descriptors."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """At one moment. `resident_mb` in MiB, `blocks` of Python's allocator, `cpu_s` seconds so far."""

    resident_mb: float
    blocks: int
    tasks: int
    threads: int
    descriptors: int
    cpu_s: float

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {name: getattr(self, name) for name in self.__slots__}


async def read(pid: int, file: Path) -> Gauges:
    """Ask the process, and look at /proc. Raises TimeoutError when it does not write `file`."""
    return await asyncio.to_thread(_read, pid, file)


def _read(pid: int, file: Path) -> Gauges:
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    end = monotonic() + _PATIENCE_S
    while not file.exists():
        if monotonic() > end:
            raise TimeoutError(f"process {pid} does not say what it holds")
        sleep(0.01)
    tasks, blocks = map(int, file.read_text(encoding="utf-8").split())
    process = Path("/proc") / str(pid)
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return Gauges(
        resident_mb=int((process / "statm").read_text().split()[1]) * _PAGE / 2**20,
        blocks=blocks,
        tasks=tasks,
        threads=int(fields[17]),
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
    )
