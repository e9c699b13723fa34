"""How much of what a program prints gets into the log."""

from __future__ import annotations

from device.execution.console import MAX_LOGGED, MINUTE_US, RunLog
from device.log import DeviceLog
from tests.clocks import ManualClock


def test_a_job_that_prints_for_hours_is_heard_again_each_minute() -> None:
    clock = ManualClock()
    log = DeviceLog(clock, capacity=5000)
    lines = RunLog(log, "slot0", clock.now_us)
    for minute in range(3):
        for number in range(MAX_LOGGED + 50):
            lines.line(f"{minute} {number}")
        clock.advance(MINUTE_US)
    texts = [line.text for line in log.page().lines]
    note = f"more than {MAX_LOGGED} lines: the rest of this request's is not logged for a minute"
    wanted = [[*(f"{minute} {number}" for number in range(MAX_LOGGED)), note] for minute in range(3)]
    assert texts == [text for minute in wanted for text in minute]


def test_a_warning_is_said_once() -> None:
    clock = ManualClock()
    log = DeviceLog(clock)
    lines = RunLog(log, "slot0", clock.now_us)
    for _ in range(5):
        lines.warn("twice is too often")
    assert [line.text for line in log.page().lines] == ["twice is too often"]
