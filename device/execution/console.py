"""Where the output of programs goes: into the answer of the run, and line by line into the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.log import MAX_TEXT, DeviceLog

MAX_OUTPUT: Final = 16 * 1024
"""Bytes of output that the answer of a run holds."""

MAX_LOGGED: Final = 100
"""Lines that one request may put into the log in a minute of the device's time: a program that prints in a
loop must not push out all else."""

MINUTE_US: Final = 60_000_000

_MAX_LINE: Final = 4 * MAX_TEXT + 1
"""Bytes of a line that are kept: more than the log shows, which then marks that the line was longer."""


class RunLog:
    """What one request may say in the log, under the name of its slot. `now_us` is the device's clock."""

    def __init__(self, log: DeviceLog, source: str, now_us: Callable[[], int]) -> None:
        self._log = log
        self._source = source
        self._now_us = now_us
        self._since = now_us()
        self._left = MAX_LOGGED
        self._seen: set[str] = set()

    def line(self, text: str) -> None:
        """A line that the program printed."""
        if self._left <= 0 and self._now_us() - self._since >= MINUTE_US:
            self._left, self._since = MAX_LOGGED, self._now_us()
        if self._left > 0:
            self._log.add("info", self._source, text)
        elif self._left == 0:
            self._log.add(
                "warning",
                self._source,
                f"more than {MAX_LOGGED} lines: the rest of this request's is not logged for a minute",
            )
        self._left -= 1

    def fault(self, text: str) -> None:
        """How the request ended; always said."""
        self._log.add("warning", self._source, text)

    def warn(self, text: str) -> None:
        """Something that a helper finds worth a word; once for each text, a loop would say it for ever."""
        if text not in self._seen and len(self._seen) < MAX_LOGGED:
            self._seen.add(text)
            self._log.add("warning", self._source, text)


class RunConsole:
    """The console of one run (ports.Console), bounded."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._output = bytearray()
        self._dropped = 0
        self._line = bytearray()

    def write(self, text: bytes) -> None:
        """Append bytes of output, as they are."""
        kept = text[: max(MAX_OUTPUT - len(self._output), 0)]
        self._output += kept
        self._dropped += len(text) - len(kept)
        *lines, rest = text.split(b"\n")
        for line in lines:
            self._line += line[: max(_MAX_LINE - len(self._line), 0)]
            self._flush()
        self._line += rest[: max(_MAX_LINE - len(self._line), 0)]

    def close(self) -> str:
        """End the last line; all output as text, with a note when there was more."""
        if self._line:
            self._flush()
        return self.text()

    def text(self) -> str:
        """All output so far; may be asked from any thread."""
        note = f"\n[{self._dropped} more bytes of output]" if self._dropped else ""
        return bytes(self._output).decode("utf-8", "replace") + note

    def _flush(self) -> None:
        self._log.line(self._line.decode("utf-8", "replace"))
        self._line.clear()
