"""The frame of a command: every way it can end, with its exit code."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

import click

from client.results import Outcome
from client.ui import Ui
from device.errors import MicroBpfError

INTERRUPTED: Final = 130


class InternalError(MicroBpfError):
    """An error that is ours: nobody should see one."""

    title = "Unexpected error"
    default_code = "internal"


def run_framed(ui: Ui, command: Callable[[], int | None], *, debug: bool) -> int:
    """Run a command; errors become output and exit codes, never tracebacks (unless `debug` asks for one)."""
    try:
        return int(command() or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException:
        raise
    except KeyboardInterrupt:
        ui.note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, no traceback
        found = innermost(error)
        if isinstance(found, MicroBpfError):
            return ui.finish([Outcome(None, error=found)])
        if debug:
            traceback.print_exception(error)
        detail = f"{type(found).__name__}: {found}"
        hint = "please report it" if debug else "--debug shows where it comes from"
        return ui.finish([Outcome(None, error=InternalError(detail, hint=hint))])


def innermost(error: BaseException) -> BaseException:
    """The one error in a group of one; task groups wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
