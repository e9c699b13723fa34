"""A progress bar for long work, on a terminal and for several devices only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol, Self


class Progress(Protocol):
    """Work that is counted."""

    def start(self, total: int) -> None:
        """The number of pieces is known now."""

    def advance(self) -> None:
        """One more is done."""

    def say(self, text: str) -> bool:
        """Print a line above the bar; False when there is none, and the line is still to be printed."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and leave the terminal as it was."""


class NoProgress:
    """Shows nothing."""

    def start(self, total: int) -> None:
        """See Progress."""

    def advance(self) -> None:
        """See Progress."""

    def say(self, text: str) -> bool:  # noqa: ARG002  # there is no bar
        """See Progress."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class TerminalBar:
    """rich's bar on stderr, from the second piece on; lines that are said scroll above it."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._task: Any = None

    def start(self, total: int) -> None:
        """See Progress."""
        if total < 2 or self._bar is not None:
            return
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True, redirect_stdout=False)
        self._task = self._bar.add_task(self._label, total=total)
        self._bar.start()

    def advance(self) -> None:
        """See Progress."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def say(self, text: str) -> bool:
        """See Progress."""
        if self._bar is None:
            return False
        self._bar.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def progress_bar(label: str, *, wanted: bool) -> Progress:
    """A bar when it is wanted and stderr is a terminal."""
    return TerminalBar(label) if wanted and sys.stderr.isatty() else NoProgress()
