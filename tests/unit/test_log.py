"""The device's log: numbers, gaps, escaping, sinks."""

from __future__ import annotations

import io
import json
import threading

import pytest

from device.api import LogLine
from device.log import MAX_TEXT, DeviceLog, escape, json_sink, text_sink


class Clock:
    def __init__(self) -> None:
        self.us = 0

    def now_us(self) -> int:
        self.us += 1_500
        return self.us


def filled(count: int, capacity: int = 8) -> DeviceLog:
    log = DeviceLog(Clock(), capacity=capacity)
    for number in range(1, count + 1):
        log.add("info", "test", f"line {number}")
    return log


@pytest.mark.parametrize(
    ("count", "since", "numbers", "missed"),
    [
        pytest.param(0, 0, [], 0, id="nothing yet"),
        pytest.param(3, 0, [1, 2, 3], 0, id="from the beginning"),
        pytest.param(3, 1, [1, 2, 3], 0, id="the first number is 1"),
        pytest.param(3, 3, [3], 0, id="the last"),
        pytest.param(3, 4, [], 0, id="what is to come"),
        pytest.param(3, 99, [], 0, id="far ahead"),
        pytest.param(11, 0, [4, 5, 6, 7, 8, 9, 10, 11], 3, id="a gap"),
        pytest.param(11, 3, [4, 5, 6, 7, 8, 9, 10, 11], 1, id="a gap of one"),
        pytest.param(11, 4, [4, 5, 6, 7, 8, 9, 10, 11], 0, id="just no gap"),
    ],
)
def test_page(count: int, since: int, numbers: list[int], missed: int) -> None:
    page = filled(count).page(since)
    assert [line.seq for line in page.lines] == numbers
    assert (page.missed, page.next) == (missed, count + 1)


def test_a_line_says_when_and_where() -> None:
    log = DeviceLog(Clock())
    log.add("warning", "slot0", "hot")
    assert log.page().lines == (LogLine(seq=1, ms=1, level="warning", source="slot0", text="hot"),)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü ☃", "plain ü ☃"),
        ("two\nlines\r\n", "two\\x0alines\\x0d\\x0a"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("half \ud83d", "half \\ud83d"),
        ("nul \0", "nul \\x00"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown
    escape(text).encode()


@pytest.mark.parametrize("text", ["x" * 1000, "\n" * 1000, "\n" * 200], ids=["long", "escapes", "grows"])
def test_a_long_line_is_cut(text: str) -> None:
    shown = escape(text)
    assert len(shown) == MAX_TEXT
    assert shown.endswith("…")


def test_sinks() -> None:
    text, machine = io.StringIO(), io.StringIO()
    line = LogLine(seq=7, ms=42, level="info", source="suit", text="suit_worker: started.")
    text_sink(text)(line)
    text_sink(text, "otter ")(line)
    json_sink(machine, "otter", lambda: 1_800_000_000.12345)(line)
    assert text.getvalue() == "42 info suit suit_worker: started.\notter 42 info suit suit_worker: started.\n"
    assert json.loads(machine.getvalue()) == {
        "time": 1_800_000_000.123,
        "device": "otter",
        **line.to_map(),
    }


def test_a_stream_that_cannot_say_it_gets_it_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    text_sink(stream)(LogLine(seq=1, ms=0, level="info", source="a", text="ü"))
    assert raw.getvalue() == b"0 info a \\xfc\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("closed file")], ids=["pipe", "closed"])
def test_a_broken_sink_stops_nobody(error: Exception) -> None:
    calls = []

    def sink(line: LogLine) -> None:
        calls.append(line)
        raise error

    log = DeviceLog(Clock(), sink=sink)
    log.add("info", "a", "one")
    log.add("info", "a", "two")
    assert len(calls) == 1
    assert len(log.page().lines) == 2


def test_listeners_hear_every_line_from_any_thread() -> None:
    log = DeviceLog(Clock(), capacity=10_000)
    heard: list[int] = []
    log.listen(lambda: heard.append(threading.get_ident()))

    def write() -> None:
        for number in range(200):
            log.add("info", "thread", str(number))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 800
    assert [line.seq for line in log.page().lines] == list(range(1, 801))
