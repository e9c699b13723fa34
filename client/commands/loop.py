"""Running a command's coroutine."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from client.ui import Ui

T = TypeVar("T")


def run(ui: Ui, work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own.

    What asyncio would report by itself, with a traceback (a request that lost its socket in the middle of
    an interruption, say), changes nothing for the command: it is shown under --debug alone.
    """

    async def guarded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: _report(ui, context))
        return await work

    # What was imported until now stays until the end (see client.cli.main).
    gc.freeze()
    gc.enable()
    return asyncio.run(guarded())


def _report(ui: Ui, context: dict[str, Any]) -> None:
    error = context.get("exception")
    reason = "" if error is None else f" ({type(error).__name__}: {error})"
    ui.debug(f"{context.get('message', 'asyncio')}{reason}")
