"""The frame of a command: every way it can end, with its exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Final

import click

from client.results import Outcome
from client.settings import INTERRUPTED
from client.ui import OutputError, Ui
from device.errors import ConfigError, MicroBpfError

READER_GONE: Final = 141


class InternalError(MicroBpfError):
    """An error that is ours: nobody should see one."""

    title = "Unexpected error"
    default_code = "internal"


class OutputLostError(ConfigError):
    """Standard output takes no more: the operator gave us a full disk, say."""

    title = "Output failed"
    default_code = "output"


def run_framed(ui: Ui, command: Callable[[], int | None]) -> int:
    """Run a command; errors become output and exit codes, never tracebacks (unless --debug asks for one)."""
    try:
        return _run(ui, command)
    except OutputError as error:  # an error in JSON is data too
        return _output_full(ui, error)
    except BrokenPipeError:
        return _reader_gone()


def _run(ui: Ui, command: Callable[[], int | None]) -> int:
    try:
        return int(command() or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException:
        raise
    except (KeyboardInterrupt, click.Abort):
        ui.note("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, no traceback
        found = innermost(error)
        if isinstance(found, BrokenPipeError):
            return _reader_gone()
        if isinstance(found, OutputError):
            raise found from None
        if isinstance(found, OSError) and found.errno == errno.ENOSPC:
            raise OutputError(found.strerror) from None
        if isinstance(found, MicroBpfError):
            return ui.finish([Outcome(None, error=found)])
        if ui.debugging:
            traceback.print_exception(error)
        detail = f"{type(found).__name__}: {found}"
        hint = "please report it" if ui.debugging else "--debug shows where it comes from"
        return ui.finish([Outcome(None, error=InternalError(detail, hint=hint))])


def _reader_gone() -> int:
    """Whoever read our output has seen enough (`client logs | head`): end as other tools do, in silence."""
    _discard_output()
    return READER_GONE


def _output_full(ui: Ui, error: OutputError) -> int:
    """Data that could not be written is told on stderr, in JSON too: stdout takes no more."""
    _discard_output()
    outcome: Outcome[None] = Outcome(None, error=OutputLostError(str(error)))
    ui.error(outcome)
    return int(outcome.exit)


def _discard_output() -> None:
    """What is still buffered would raise once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def innermost(error: BaseException) -> BaseException:
    """The one error in a group of one; task groups wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
