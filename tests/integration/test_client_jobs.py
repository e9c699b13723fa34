"""`client exec --job`, `jobs`, `kill` and `logs -f` against real devices over UDP."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client_testbed import OBJECTS, LiveFleet
from tests.integration.test_client_verbs import started

PACER = """
    call bpf_ztimer_now
    stxw [r10-4], r0
loop:
    mov r1, r10
    add r1, -4
    lddw r2, 20000
    call bpf_ztimer_periodic_wakeup
    ja loop
    exit
"""
"""Sleeps 20 ms at a time, for ever."""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def pacing(live: LiveFleet, tmp_path: Path) -> LiveFleet:
    """A fleet with a program that never ends in slot 0 of all its devices."""
    source = tmp_path / "pacer.s"
    source.write_text(PACER)
    live.results("deploy", source, "-d", "all")
    return live


def states(live: LiveFleet, *options: str) -> list[list[tuple[int, str]]]:
    """(number, state) of all jobs, device by device; asleep is as good as running."""
    return [
        [(job["id"], job["state"].replace("sleeping", "running")) for job in entry["result"]["items"]]
        for entry in live.results("jobs", *options)
    ]


class TestJobs:
    def test_a_job_is_begun_seen_and_stopped(self, live: LiveFleet, tmp_path: Path) -> None:
        pacing(live.add("otter"), tmp_path)
        begun = live.client("exec", "--job")
        assert (begun.exit_code, begun.stdout.split()[:5]) == (0, ["job", "1", "of", "slot", "0"])
        assert states(live) == [[(1, "running")]]
        header, row = live.client("jobs").stdout.splitlines()
        assert header.split()[:4] == ["ID", "SLOT", "STATE", "ENGINE"]
        assert row.split()[:2] == ["1", "0"]
        assert live.client("kill", "1").stdout == "job 1 has stopped\n"
        assert states(live) == [[(1, "killed")]]
        assert live.results("jobs", "1")[0]["result"]["fault"]["code"] == "KILLED"

    def test_several_devices_at_once(self, live: LiveFleet, tmp_path: Path) -> None:
        pacing(live.add("one", "two"), tmp_path)
        for entry in live.results("exec", "--job", "-d", "all"):
            assert (entry["result"]["id"], entry["result"]["slot"]) == (1, 0)
        live.results("exec", "--job", "-d", "two")
        killed = live.results("kill", "--slot", "0", "-d", "all")
        assert [entry["result"]["killed"] for entry in killed] == [[1], [1, 2]]
        assert live.results("kill", "--all", "-d", "one")[0]["result"]["killed"] == []
        assert live.client("kill", "--slot", "3", "-d", "one").stdout == "no job to stop\n"

    def test_waiting_for_the_end(self, live: LiveFleet) -> None:
        live.add("otter").results("deploy", OBJECTS / "hello.o")
        number = live.results("exec", "--job")[0]["result"]["id"]
        (entry,) = live.results("jobs", str(number), "--wait")
        assert (entry["result"]["state"], entry["result"]["r0_signed"]) == ("finished", 0)
        shown = live.client("jobs", str(number)).stdout
        assert "| Hello from eBPF" in shown
        assert "result" in shown

    def test_a_fault_has_its_source_line(self, live: LiveFleet) -> None:
        live.add("otter").results("deploy", OBJECTS / "wild_pointer.o")
        live.results("exec", "--job")
        (entry,) = live.results("jobs", "1", "--wait", code=1)
        assert entry["error"]["code"] == "ILLEGAL_MEM"
        assert entry["error"]["fault"]["source"] == "wild_pointer.c:16"
        assert live.client("jobs").stdout.splitlines()[1].split()[-1] == "ILLEGAL_MEM"

    def test_a_job_has_a_deadline_only_when_one_is_given(self, live: LiveFleet, tmp_path: Path) -> None:
        pacing(live.add("otter"), tmp_path)
        live.results("exec", "--job", "--timeout", "0.1")
        (entry,) = live.results("jobs", "1", "--wait")
        assert entry["result"]["state"] == "killed"
        assert entry["result"]["fault"]["detail"].startswith("KILLED: deadline")

    def test_what_is_not_there(self, live: LiveFleet) -> None:
        live.add("otter")
        for verb in ("jobs", "kill"):
            assert live.results(verb, "7", code=1)[0]["error"]["status"] == "4.04"
        assert live.results("exec", "--job", code=1)[0]["error"]["status"] == "4.09"
        assert live.client("jobs").stdout == "no jobs\n"

    def test_nobody_there(self, live: LiveFleet) -> None:
        for verb in (("jobs",), ("kill", "--all"), ("exec", "--job")):
            live.results(
                *verb, "-d", "127.0.0.1:9", *(("--timeout", "0.2") if verb[0] != "exec" else ()), code=3
            )


USAGE: list[tuple[str, tuple[str, ...], str]] = [
    ("job and packet", ("exec", "--job", "--packet"), "one of these ways"),
    ("method of no packet", ("exec", "--method", "PUT"), "--method is for --packet"),
    ("context of a packet", ("exec", "--packet", "--context", "00"), "not for --packet"),
    ("region of a packet", ("exec", "--packet", "--region", "00"), "--region is nothing"),
    ("waiting for all", ("jobs", "--wait"), "say which"),
    ("killing nothing", ("kill",), "say which"),
    ("killing twice", ("kill", "1", "--all"), "say which"),
]


@pytest.mark.parametrize(("arguments", "said"), [row[1:] for row in USAGE], ids=[row[0] for row in USAGE])
def test_contradictions_are_wrong_usage(live: LiveFleet, arguments: tuple[str, ...], said: str) -> None:
    result = live.client(*arguments, "-d", "h:1")
    assert result.exit_code == 2
    assert said in result.stderr


class TestInterrupted:
    """Ctrl-C leaves nothing half-done and nothing running."""

    def test_waiting_for_a_job_that_goes_on(self, live: LiveFleet, tmp_path: Path) -> None:
        pacing(live.add("otter"), tmp_path).results("exec", "--job")
        with started(live, "jobs", "1", "--wait") as process:
            time.sleep(1.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (130, "")
        assert err == "interrupted\n"
        assert states(live) == [[(1, "running")]]

    def test_a_run_that_takes_long(self, live: LiveFleet, tmp_path: Path) -> None:
        with started(pacing(live.add("otter"), tmp_path), "exec", "--timeout", "30") as process:
            time.sleep(1.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (130, "", "interrupted\n")

    def test_following_logs_says_at_once_who_does_not_answer(self, live: LiveFleet) -> None:
        live.add("otter")
        address = live.address("otter")
        with started(
            live, "logs", "-f", "-o", "json", "-d", address, "-d", "127.0.0.1:9", "--timeout", "1"
        ) as p:
            assert p.stdout is not None
            seen: list[dict[str, Any]] = []
            for line in p.stdout:
                seen.append(json.loads(line))
                if not seen[-1]["ok"]:
                    break
            p.send_signal(signal.SIGINT)
            assert p.wait(10) == 130
        assert seen[-1]["device"] == "127.0.0.1:9"
