"""Both formats, capabilities, several slots and several keys from the command line into devices over UDP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.keys import generate
from device.node.config import NodeLimits
from tests.integration.client_testbed import OBJECTS, LiveFleet

HELLO, ADD, COUNTER = OBJECTS / "hello.o", OBJECTS / "add.o", OBJECTS / "counter.o"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


@pytest.mark.parametrize("suit", ["riot", "ietf"])
def test_formats(live: LiveFleet, suit: str) -> None:
    (entry,) = live.add("otter").results("deploy", "--suit", suit, ADD)
    assert entry["result"]["suit"] == suit
    manifest = live.served[entry["result"]["manifest"]]
    assert manifest.startswith(b"\xd8\x6b") == (suit == "ietf")
    (run,) = live.results("exec")
    assert run["result"]["r0_signed"] == 123


@pytest.mark.parametrize("suit", ["riot", "ietf"])
def test_capabilities_bound_what_runs(live: LiveFleet, suit: str) -> None:
    options = ("--helpers", "1", "--budget", "2", "--store", "3", "--stack", "64", "--no-jit")
    live.add("otter").results("deploy", "--suit", suit, *options, HELLO)
    (shown,) = live.results("show", "--slot", "0")
    assert shown["result"]["capabilities"] == {
        "helpers": [1],
        "stack": 64,
        "budget": 2,
        "store": 3,
        "jit": False,
    }
    assert "budget 2" in live.client("show", "--slot", "0").stdout
    (run,) = live.results("exec", code=1)
    assert run["error"]["code"] == "OUT_OF_INSTRUCTIONS"
    (run,) = live.results("exec", "--engine", "jit", code=1)
    assert run["error"]["code"] == "jit-denied"
    live.results("deploy", HELLO)
    (run,) = live.results("exec")
    assert run["result"]["output"] == "Hello from eBPF\n"


@pytest.mark.parametrize("suit", ["riot", "ietf"])
def test_several_slots_are_installed_together_or_not_at_all(live: LiveFleet, suit: str) -> None:
    live.add("otter", limits=NodeLimits(components=2))
    (entry,) = live.results("deploy", "--suit", suit, ADD, "--also", f"3={COUNTER}")
    for slot, digest in ((0, entry["result"]["digest"]), (3, entry["result"]["also"][0]["digest"])):
        (shown,) = live.results("show", "--slot", str(slot))
        assert (shown["result"]["digest"], shown["result"]["sequence_number"]) == (digest, 1)
    (refused,) = live.results(
        "deploy", "--suit", suit, ADD, "--also", f"1={COUNTER}", "--also", f"2={HELLO}", code=1
    )
    assert refused["error"]["code"] == "TOO_MANY_COMPONENTS"
    (shown,) = live.results("show", "--slot", "1")
    assert shown["result"]["state"] == "free"


@pytest.mark.parametrize(
    "options", [("--sever",), ("--integrate",), ("--sever", "--integrate")], ids=" ".join
)
def test_what_is_beside_a_manifest_of_the_current_draft(live: LiveFleet, options: tuple[str, ...]) -> None:
    live.add("otter", limits=NodeLimits(components=2, envelope=4096))
    (entry,) = live.results("deploy", "--suit", "ietf", *options, ADD, "--also", f"3={HELLO}")
    for slot, digest in ((0, entry["result"]["digest"]), (3, entry["result"]["also"][0]["digest"])):
        (shown,) = live.results("show", "--slot", str(slot))
        assert (shown["result"]["digest"], shown["result"]["sequence_number"]) == (digest, 1)
    (run,) = live.results("exec")
    assert run["result"]["r0_signed"] == 123
    images = [name for name in live.served if name.endswith(".bin")]
    assert len(images) == (0 if "--integrate" in options else 2)


def test_a_layout_that_was_signed(live: LiveFleet) -> None:
    live.add("otter").results("deploy", ADD, "--layout", "femto", "--fix-layout")
    (shown,) = live.results("show", "--slot", "0")
    assert (shown["result"]["layout"], shown["result"]["capabilities"]) == ("femto", {"layout": 1})


def test_each_program_runs_under_its_own_grants(live: LiveFleet) -> None:
    live.add("otter", limits=NodeLimits(components=2))
    live.results("deploy", HELLO, "--also", f"3={HELLO}", "--budget", "1000", "--grant", "3:budget=2")
    (run,) = live.results("exec")
    assert run["result"]["output"] == "Hello from eBPF\n"
    (run,) = live.results("exec", "--slot", "3", code=1)
    assert run["error"]["code"] == "OUT_OF_INSTRUCTIONS"


def test_a_format_that_a_device_does_not_take(live: LiveFleet) -> None:
    live.add("otter", limits=NodeLimits(profiles=("riot",)))
    (refused,) = live.results("deploy", "--suit", "ietf", ADD, code=1)
    assert refused["error"]["code"] == "FORMAT"
    live.results("deploy", ADD)


def test_a_key_for_one_slot_and_another_for_all(live: LiveFleet, tmp_path: Path) -> None:
    guest = tmp_path / "guest.pem"
    generate(guest, kind="p256")
    (live.trusted / "guest.pem.pub").write_bytes((tmp_path / "guest.pem.pub").read_bytes())
    (live.trusted / "guest.slots").write_text("4\n")
    live.add("otter")
    options = ("deploy", "--suit", "ietf", "--key", guest, ADD)
    (refused,) = live.results(*options, "--slot", "0", code=4)
    assert refused["error"]["code"] == "COMPONENT_FORBIDDEN"
    live.results(*options, "--slot", "4")
    live.results(*options, "--slot", "0", "--key", live.key)
