"""`client net`: a device behind a bad link, from the command line."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device_process import environment
from tests.integration.client_testbed import OBJECTS, LiveFleet
from tests.integration.processes import SCRIPTS


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def net(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SCRIPTS / "client", "net", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_a_deploy_and_a_run_through_a_bad_link(live: LiveFleet) -> None:
    live.add("otter")
    with net(
        live.address("otter"), "--loss", "10", "--duplicate", "20", "--delay", "20", "-o", "json"
    ) as link:
        assert link.stdout is not None
        url = json.loads(link.stdout.readline())["result"]["url"]
        through = ("-d", url.removeprefix("coap://"), "--fetch-base", live.server)
        live.results("deploy", OBJECTS / "hello.o", *through, "--timeout", "20")
        for _ in range(5):
            assert live.results("exec", *through[:2], "--timeout", "20")[0]["result"]["r0_signed"] == 0
        link.send_signal(signal.SIGINT)
        out, said = link.communicate(timeout=10)
    assert (link.returncode, out) == (130, "")
    passed, lost, twice = (int(word) for word in said.split() if word.isdigit())
    assert passed > 20
    assert lost + twice > 0
    assert said.splitlines()[-1] == "interrupted"


def test_a_port_that_is_taken_is_said(live: LiveFleet) -> None:
    live.add("otter")
    with net("localhost:1", "--listen", live.address("otter").rpartition(":")[2]) as link:
        out, said = link.communicate(timeout=20)
    assert (link.returncode, out) == (2, "")
    assert "in use" in said


@pytest.mark.parametrize(
    "arguments", [("a b",), ("localhost:1", "--loss", "101"), ("coap://h/?x=1",)], ids=str
)
def test_wrong_usage(live: LiveFleet, arguments: tuple[str, ...]) -> None:
    assert live.client("net", *arguments).exit_code == 2
