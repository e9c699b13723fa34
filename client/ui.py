"""What a command shows: data on stdout, everything else on stderr (client.md, Output).

The only place of the client that prints. In `json` one envelope is printed, in streams one object a line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import click

from client.escape import escape
from client.progress import NoProgress, Progress, progress_bar
from client.results import Outcome, dump_json, envelope, outcome_map, worst
from client.steps import Step
from client.text import duration, error_lines, size
from device.errors import MicroBpfError

Format = Literal["table", "json"]
Render = Callable[[Any], Iterable[str]]
Explain = Callable[[MicroBpfError], Iterable[str]]


class OutputError(Exception):
    """Data could not be written: the disk is full, say. It is no device's failure, and ends the command."""


class Ui:
    """One command's output. `quiet` silences notes and steps, never data and errors."""

    def __init__(
        self,
        output: Format = "table",
        *,
        quiet: bool = False,
        debugging: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.output = output
        self.quiet = quiet
        self.debugging = debugging
        self._color = False if environment.get("NO_COLOR") else None
        self._several = False
        self._progress: Progress = NoProgress()

    @property
    def json(self) -> bool:
        """Whether data is wanted as JSON."""
        return self.output == "json"

    @property
    def several(self) -> bool:
        """Whether there is more than one device to tell about."""
        return self._several

    def expect(self, devices: int) -> None:
        """How many devices there will be to tell about; from two on each gets one line, not one a step."""
        self._several = devices > 1

    def progress(self, label: str) -> Progress:
        """A bar for long work."""
        self._progress = progress_bar(label, wanted=not self.quiet)
        return self._progress

    def data(self, text: str) -> None:
        """A line of data. Raises OutputError, and BrokenPipeError when the reader has seen enough."""
        try:
            click.echo(text, color=self._color)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.strerror or str(error)) from error

    def note(self, text: str) -> None:
        """A remark for people."""
        if not self.quiet and not self._progress.say(text):
            click.echo(text, err=True, color=self._color)

    def debug(self, text: str) -> None:
        """A remark for whoever looks for a mistake of ours."""
        if self.debugging:
            click.echo(f"debug: {escape(text)}", err=True)

    def step(self, step: Step) -> None:
        """A finished step: name, what, size, time. Of several devices the steps of each are too many."""
        if step.device is not None and self._several:
            return
        amount = "" if step.size is None else size(step.size)
        line = f"{step.name:<8} {amount:>9}  {duration(step.seconds):>8}  {escape(step.detail)}"
        self.note(line.rstrip())

    def error(self, outcome: Outcome[Any]) -> None:
        """An error for people, on stderr, quiet or not."""
        if outcome.error is None:
            return
        first, *rest = error_lines(outcome.error, outcome.device)
        click.echo(click.style("error: ", fg="red", bold=True) + first, err=True, color=self._color)
        for line in rest:
            click.echo(line, err=True, color=self._color)

    def finish(
        self, outcomes: Sequence[Outcome[Any]], render: Render | None = None, explain: Explain | None = None
    ) -> int:
        """Show all outcomes, and return the exit code.

        `render` makes lines of one result. `explain` makes lines of an error that is an answer all the
        same, such as a fault; without lines the error is shown as any other.
        """
        if self.json:
            self.data(dump_json(envelope(outcomes)))
            return int(worst(outcomes))
        for outcome in outcomes:
            lines: Iterable[str] = ()
            if outcome.error is None:
                lines = render(outcome.result) if render is not None else ()
            else:
                lines = list(explain(outcome.error)) if explain is not None else []
                if not lines:
                    self.error(outcome)
                    continue
            self._show(outcome.device if len(outcomes) > 1 else None, lines)
        return int(worst(outcomes))

    def table(self, outcomes: Sequence[Outcome[Any]], lines: Iterable[str]) -> int:
        """Show one table of the good outcomes and the errors of the others; return the exit code."""
        if self.json:
            return self.finish(outcomes)
        for line in lines:
            self.data(line)
        return self.finish([outcome for outcome in outcomes if not outcome.ok])

    def stream(self, outcome: Outcome[Any], render: Render) -> None:
        """One object of a stream, now."""
        if self.json:
            self.data(dump_json(outcome_map(outcome)))
        elif outcome.error is not None:
            self.error(outcome)
        else:
            for line in render(outcome.result):
                self.data(line)

    def _show(self, device: str | None, lines: Iterable[str]) -> None:
        indent = ""
        if device is not None:
            self.data(click.style(escape(device), bold=True))
            indent = "  "
        for line in lines:
            self.data(f"{indent}{line}" if line else "")
