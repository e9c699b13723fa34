"""µBPF's own verbs and options, as its scripts use them; and what completion offers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.cli import HIDDEN, VERBS
from client.original import execute_words, joined, package_words
from device.errors import ConfigError
from tests.integration.client_testbed import OBJECTS, LiveFleet


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


EXECUTIONS: list[tuple[str, tuple[str, str, int, str, str | None, bool, bool], str]] = [
    ("short", ("", "wlan0", 0, "ShortLived", None, False, False), "exec --slot 0"),
    ("helpers", ("", "wlan0", 1, "ShortLived", "1,19", False, False), "exec --slot 1 --helpers 1,19"),
    ("job", ("::1", "wlan0", 2, "LongRunning", None, False, False), "exec --slot 2 --job -d [::1]"),
    ("packet", ("", "", 3, "WithAccessToCoapPacket", "1", True, False), "exec --slot 3 --packet"),
    (
        "link-local",
        ("fe80::1", "eth0", 0, "ShortLived", None, False, False),
        "exec --slot 0 -d [fe80::1%eth0]",
    ),
    ("IPv4", ("127.0.0.1", "eth0", 0, "ShortLived", None, False, False), "exec --slot 0 -d 127.0.0.1"),
    ("compiled", ("", "", 0, "ShortLived", None, True, False), "exec --slot 0 --jit"),
    ("compiled anew", ("", "", 0, "ShortLived", None, False, True), "exec --slot 0 --jit --recompile"),
]


@pytest.mark.parametrize(
    ("given", "said"), [row[1:] for row in EXECUTIONS], ids=[row[0] for row in EXECUTIONS]
)
def test_an_execution_in_our_words(
    given: tuple[str, str, int, str, str | None, bool, bool], said: str
) -> None:
    *first, jit, fresh = given
    address, interface, slot, model, helpers = first
    words = execute_words(address, interface, slot, model, helpers, jit=jit, fresh=fresh)  # type: ignore[arg-type]  # a tuple of mixed types
    assert " ".join(words) == said


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError):
        execute_words("riot", "wlan0", 0, "ShortLived", None, jit=False, fresh=False)


def test_a_list_takes_any_number_of_words() -> None:
    assert joined(["--helper-indices", "1", "2", "--target", "x", "y"]) == [
        *("--helper-indices", "1,2", "--target", "x", "y")
    ]


def test_calls_are_verified_beforehand_only_when_that_is_asked_for() -> None:
    assert package_words("a.o", None, "ExtendedHeader", "1", "Runtime")[1] is None
    words, verify = package_words("out/a.o", None, "OnlyTextSection", "1", "AheadOfTime")
    assert words == ["package", "out/a.o", "--layout", "text", "--to", "out/a.bin"]
    assert verify == ["verify", "out/a.o", "--helpers", "1"]


def test_their_way_from_a_source_to_a_result(live: LiveFleet, tmp_path: Path) -> None:
    live.add("otter")
    source, out = tmp_path / "seven.s", tmp_path / "out"
    source.write_text("mov r0, 7\nexit\n")
    compiled = live.client(
        "compile", "--bpf-source-file", source, "--binary-file", "seven.o", "--out-dir", out
    )
    assert compiled.exit_code == 0, compiled.output
    image = tmp_path / "seven.bin"
    made = live.client(
        *("postprocessing", "--source-object-file", out / "seven.o", "--binary-file", image),
        *("--binary-layout", "ExtendedHeader", "--helper-indices", "1", "2"),
    )
    assert made.exit_code == 0, made.output
    live.results("publish", image, "-d", "otter", "--slot", "0")
    pulled = live.client("pull", "--suit-manifest", "suit_manifest0.signed")
    assert (pulled.exit_code, pulled.stdout) == (0, "installed sequence number 1\n"), pulled.output
    run = live.client("execute", "--suit-storage-slot", "0", "--target", "FemtoContainer")
    assert run.stdout.splitlines()[0] == "result  7  (0x0000000000000007)"
    job = live.client("execute", "--execution-model", "LongRunning", "--helper-indices", "1", "2")
    assert job.stdout.startswith("job 1 of slot 0")


def test_their_deploy_and_sign_with_their_options(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "hello.o"
    source.write_bytes((OBJECTS / "hello.o").read_bytes())
    live.add("otter")
    deployed = live.client(
        *("deploy", "--bpf-source-file", source, "--out-dir", "out", "--target", "rBPF", "--erase"),
        *("--binary-layout", "ExtendedHeader", "--suit-storage-slot", "1", "--helper-indices", "1", "3"),
        *("--helper-access-verification", "LoadTime", "--riot-network-interface", "6"),
    )
    assert deployed.exit_code == 0, deployed.output
    slot = live.results("show", "--slot", "1")[0]["result"]
    assert (slot["layout"], slot["capabilities"]["helpers"]) == ("extended", [1, 3])
    image = tmp_path / "a.bin"
    live.client("package", source, "--layout", "femto", "--to", image)
    signed = live.client("sign", "--binary-name", image, "--coaproot-dir", "coaproot", "-s", "1")
    assert signed.exit_code == 0, signed.output
    pulled = live.client("pull", "--suit-manifest", "suit_manifest1.signed", "-s", "1")
    assert pulled.exit_code == 0, pulled.output
    assert live.results("show", "--slot", "1")[0]["result"]["layout"] == "femto"
    assert live.client("deploy", "--bpf-source-file", source, "--riot-ipv6-addr", "riot").exit_code == 2


def test_what_a_device_refuses_is_said(live: LiveFleet) -> None:
    live.add("otter")
    assert live.client("pull", "--suit-manifest", "nothing.signed").exit_code == 1
    assert live.client("execute").exit_code == 1
    assert live.client("execute", "--riot-ipv6-addr", "riot").exit_code == 2


def test_calls_that_are_not_allowed_end_it_ahead_of_time(live: LiveFleet, tmp_path: Path) -> None:
    image = tmp_path / "hello.bin"
    refused = live.client(
        *("postprocessing", "--source-object-file", OBJECTS / "hello.o", "--binary-file", image),
        *("--helper-indices", "2", "3", "--helper-access-verification", "AheadOfTime"),
    )
    assert (refused.exit_code, image.exists()) == (4, False)


def completions(words: str, live: LiveFleet) -> list[str]:
    """What bash is offered after these words, the last of them begun."""
    environment = {
        **os.environ,
        "_CLIENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "MICROBPF_SERVER": live.server,
    }
    environment.pop("MICROBPF_DEVICE", None)
    done = subprocess.run(
        [sys.executable, "-m", "client"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


COMPLETIONS: list[tuple[str, list[str]]] = [
    ("client wat", ["watch"]),
    ("client e", ["exec"]),  # and no word of theirs
    ("client exec --pack", ["--packet"]),
    ("client exec --method P", ["POST", "PUT", "PATCH"]),
    ("client jobs -d ", ["heron", "otter", "all"]),
    ("client kill --slot ", ["0", "1", "2", "3", "4"]),
]


@pytest.mark.parametrize(("words", "offered"), COMPLETIONS, ids=[row[0] for row in COMPLETIONS])
def test_completion(live: LiveFleet, words: str, offered: list[str]) -> None:
    live.add("otter", "heron")
    assert completions(words, live) == offered


def test_their_words_are_nowhere_offered(live: LiveFleet) -> None:
    assert completions("client ", live) == list(VERBS)
    shown = live.client("--help").stdout
    assert [verb for verb in HIDDEN if f"  {verb} " in shown] == []
