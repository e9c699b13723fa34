"""A `device` that writes down on SIGUSR1 how many tasks and allocated blocks it has.

python -m tests.soak.watched FILE [options of device]
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from device.cli import main


def tell(file: Path) -> None:
    """Write the gauges, so that a reader finds all of them or the former ones."""
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{len(asyncio.all_tasks())} {sys.getallocatedblocks()}", encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    gauges = Path(sys.argv.pop(1))
    # The handler runs between two bytecodes of the main thread, which is the one with the event loop.
    signal.signal(signal.SIGUSR1, lambda _number, _frame: tell(gauges))
    main()
