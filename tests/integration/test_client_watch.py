"""`client watch`: from a save to a running program, again and again, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client_testbed import LiveFleet
from tests.integration.test_client_jobs import PACER
from tests.integration.test_client_verbs import started


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def returning(number: int) -> str:
    return f"mov r0, {number}\nexit\n"


def test_each_save_is_deployed_and_a_mistake_is_waited_out(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "prog.s"
    source.write_text(returning(1))
    live.add("one", "two")
    with started(live, "watch", str(source), "-d", "all", "-o", "json", "-q") as process:
        assert process.stdout is not None

        def told(lines: int) -> list[bool]:
            assert process.stdout is not None
            return [json.loads(process.stdout.readline())["ok"] for _ in range(lines)]

        assert told(2) == [True, True]
        source.write_text("mov r0, what\n")
        assert told(1) == [False]
        source.write_text(returning(42))
        assert told(2) == [True, True]
        answers = live.results("exec", "-d", "all")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert [entry["result"]["r0_signed"] for entry in answers] == [42, 42]
    assert process.returncode == 130
    assert "Traceback" not in out + err


def test_a_job_that_holds_the_slot_is_ended(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "pacer.s"
    source.write_text(PACER)
    live.add("otter").results("deploy", source)
    live.results("exec", "--job")
    with started(live, "watch", str(source)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("slot 0 holds ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    (entry,) = live.results("jobs")
    assert [job["state"] for job in entry["result"]["items"]] == ["killed"]


def test_a_number_given_once_cannot_be_used_twice(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "prog.s"
    source.write_text(returning(1))
    result = live.client("watch", source, "--seq", "7")
    assert (result.exit_code, "number of its own" in result.stderr) == (2, True)
