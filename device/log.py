"""The device's log: a bounded ring that peers read and observe, and lines on stderr.

Lines come from the event loop and from the threads that run programs. Text from outside (programs, URLs,
manifests) is escaped here, once, so that no reader of the log has to think of terminals.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TextIO

from device.api import LogLine, LogPage
from device.vm.ports import Clock

CAPACITY: Final = 512
"""Lines kept; older ones are gone, and `page` says how many."""

MAX_TEXT: Final = 512
"""Characters of a line; the rest of a longer one is cut."""

Level = Literal["debug", "info", "warning", "error"]
Sink = Callable[[LogLine], None]

# C0, DEL and C1, what turns the direction of text round, line separators, and halves of surrogate pairs.
_ESCAPED: Final = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)
_ESCAPES: Final = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _ESCAPED}


def escape(text: str, limit: int = MAX_TEXT) -> str:
    """One line of at most `limit` characters that no terminal acts upon."""
    shown = text[:limit].translate(_ESCAPES)
    return shown if len(shown) <= limit and len(text) <= limit else shown[: limit - 1] + "…"


class DeviceLog:
    """The log of one device; safe to use from any thread.

    `seq` counts from 1 without gaps, and `boot` tells one such count from another: a device that is started
    again soon writes the same lines at the same milliseconds. `sink` gets every line, in order; one that
    fails (a closed pipe) is not used again.
    """

    def __init__(self, clock: Clock, *, sink: Sink | None = None, capacity: int = CAPACITY) -> None:
        self.boot: Final = secrets.token_hex(4)
        self._clock = clock
        self._sink = sink
        self._lines: deque[LogLine] = deque(maxlen=capacity)
        self._next = 1
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def add(self, level: Level, source: str, text: str) -> None:
        """Append a line. Control characters in it are escaped, over-long text is cut."""
        with self._lock:
            ms = self._clock.now_us() // 1000
            line = LogLine(seq=self._next, ms=ms, level=level, source=escape(source, 32), text=escape(text))
            self._next += 1
            self._lines.append(line)
            self._write(line)
        for listener in self._listeners:
            listener()

    def page(self, since: int = 0) -> LogPage:
        """The lines from number `since` on, as far as they are still here."""
        with self._lock:
            lines = tuple(line for line in self._lines if line.seq >= since)
            following = self._next
        oldest = lines[0].seq if lines else following
        return LogPage(next=following, lines=lines, missed=max(0, oldest - max(since, 1)), boot=self.boot)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every line, on whatever thread added it."""
        self._listeners.append(listener)

    def _write(self, line: LogLine) -> None:
        if self._sink is None:
            return
        try:
            self._sink(line)
        except (OSError, ValueError):  # a closed pipe, a closed file: the ring goes on without it
            self._sink = None


def text_sink(stream: TextIO, prefix: str = "") -> Sink:
    """Lines as `ms level source text`, for people; `prefix` tells devices of one process apart."""

    def write(line: LogLine) -> None:
        _emit(stream, f"{prefix}{line.ms} {line.level} {line.source} {line.text}")

    return write


def json_sink(stream: TextIO, device: str, now: Callable[[], float] = time.time) -> Sink:
    """Lines as JSON objects, for machines; each names its device and its moment.

    `ms` begins with the device; `time` is what logs of several processes are put in order by: seconds since
    1970, as in the file server's log.
    """

    def write(line: LogLine) -> None:
        shown = {"time": round(now(), 3), "device": device, **line.to_map()}
        _emit(stream, json.dumps(shown, ensure_ascii=False))

    return write


def _emit(stream: TextIO, text: str) -> None:
    """Write a whole line at once: lines of several devices and threads must not mix."""
    with suppress(UnicodeEncodeError):
        stream.write(text + "\n")
        stream.flush()
        return
    encoding = stream.encoding or "ascii"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
