"""`client hook`, and `exec --packet` on a path that a program is bound to, against real devices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client_testbed import OBJECTS, LiveFleet


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def test_a_program_answers_on_its_path(live: LiveFleet) -> None:
    live.add("one", "two").results("deploy", OBJECTS / "light_sound_reply.o", "-d", "all")
    live.results("store", "set", "4=53", "5=49", "-d", "all")
    added = live.client("hook", "add", "--slot", "0", "--path", "/app/light", "-d", "one")
    assert added.stdout == "hook 1 runs slot 0: /app/light\n"
    live.results("hook", "add", "--slot", "0", "--path", "light", "-d", "two")
    for entry in live.results("exec", "--packet", "--path", "/app/light", "-d", "all"):
        answer = entry["result"]
        assert (answer["status"], answer["text"]) == ("2.05", '{"light":53,"sound":49}')
    header, row = live.client("hook", "-d", "one").stdout.splitlines()
    assert header.split() == ["ID", "SLOT", "WHEN", "POLICY", "RUNS", "FAULTS", "MISSED", "LAST"]
    assert row.split()[:5] == ["1", "0", "/app/light", "continue", "1"]
    (taken,) = live.results("hook", "add", "--slot", "0", "--path", "light", "-d", "two", code=1)
    assert taken["error"]["status"] == "4.09"


def test_a_hook_takes_the_place_of_the_one_that_is_there(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "counter.o")
    live.results("deploy", OBJECTS / "gcoap_hello.o", "--slot", "1")
    for path in ("light", "/app/light"):
        live.results("hook", "add", "--slot", "0", "--path", path, "--replace")
    live.results("hook", "add", "--slot", "1", "--path", "light", "--replace")
    for _ in range(2):
        live.results("hook", "add", "--slot", "0", "--every", "1000", "--replace")
    live.results("hook", "add", "--slot", "0", "--every", "2000", "--replace")
    items = live.results("hook")[0]["result"]["items"]
    assert [(hook["slot"], hook.get("path") or hook["period_ms"]) for hook in items] == [
        (1, "/app/light"),
        (0, 1000),
        (0, 2000),
    ]
    assert live.results("exec", "--packet", "--path", "/app/light")[0]["result"]["text"] == "hello"


def test_a_hook_stays_when_nothing_can_take_its_place(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "gcoap_hello.o")
    live.results("hook", "add", "--slot", "0", "--path", "light", "--policy", "single")
    (refused,) = live.results("hook", "add", "--slot", "99", "--path", "light", "--replace", code=1)
    assert refused["error"]["status"] == "4.04"
    (hook,) = live.results("hook")[0]["result"]["items"]
    assert (hook["slot"], hook["path"], hook["policy"]) == (0, "/app/light", "single")
    assert live.results("exec", "--packet", "--path", "/app/light")[0]["result"]["text"] == "hello"


def test_a_program_answers_on_its_slot(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "gcoap_hello.o")
    shown = live.client("exec", "--packet").stdout.splitlines()
    assert shown == ["answer   2.05", "payload  5 bytes", "| hello"]
    (empty,) = live.results("exec", "--packet", "--slot", "1", code=1)
    assert empty["error"]["status"] == "4.09"


def test_a_fault_of_a_handler_has_its_line(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "wild_pointer.o")
    (entry,) = live.results("exec", "--packet", code=1)
    assert entry["error"]["code"] == "ILLEGAL_MEM"
    assert entry["error"]["fault"]["source"] == "wild_pointer.c:16"


def test_intervals_run_until_they_are_removed(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "counter.o")
    live.results("hook", "add", "--slot", "0", "--every", "20")
    end = time.monotonic() + 10
    while live.results("hook")[0]["result"]["items"][0]["runs"] < 3:
        assert time.monotonic() < end
    assert "every 20 ms" in live.client("hook").stdout
    assert live.client("hook", "remove", "1").stdout == "hook 1 is gone\n"
    assert live.client("hook").stdout == "no hooks\n"
    assert live.results("hook", "remove", "1", code=1)[0]["error"]["status"] == "4.04"


@pytest.mark.parametrize(
    "arguments",
    [
        ("add",),
        ("remove", "1", "--replace"),
        ("add", "--slot", "0"),
        ("add", "--every", "20"),
        ("add", "--slot", "0", "--every", "20", "--path", "x"),
        ("add", "--slot", "0", "--every", "5"),
        ("add", "--slot", "0", "--path", "a b"),
        ("add", "--slot", "0", "--saul", "x"),
        ("remove",),
        ("remove", "x"),
        ("fly",),
    ],
    ids=" ".join,
)
def test_what_is_no_hook_is_wrong_usage(live: LiveFleet, arguments: tuple[str, ...]) -> None:
    result = live.client("hook", *arguments, "-d", "h:1")
    assert (result.exit_code, result.stdout) == (2, "")


def test_readings_that_change(live: LiveFleet) -> None:
    live.add("otter").results("deploy", OBJECTS / "counter.o")
    live.results("hook", "add", "--slot", "0", "--saul", "1")
    live.results("board", "set", "saul:1=300")
    end = time.monotonic() + 10
    while not live.results("hook")[0]["result"]["items"][0]["runs"]:
        assert time.monotonic() < end
    assert "saul:1" in live.client("hook").stdout
