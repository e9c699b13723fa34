"""`client deploy` against real devices over UDP: every way it goes well, and every way it does not."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from client.cli import cli
from client.keys import generate
from client.settings import LAYOUTS
from device.api import ExecRequest, JobRequest
from device.node import NodeLimits
from tests.integration.client_testbed import OBJECTS, ROOT, LiveFleet

HELLO = OBJECTS / "hello.o"
SOURCE = """\
#include <bpf/helpers.h>
int64_t answer(void) { return %d; }
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


def test_each_step_is_a_line_with_size_and_time(live: LiveFleet) -> None:
    result = live.add("otter").client("deploy", "--slot", "0", HELLO)
    assert result.exit_code == 0, result.output
    steps = [line.split()[0] for line in result.stderr.splitlines()]
    assert [step for step in steps if step not in ("start", "1")] == [
        "read",
        "package",
        "verify",
        "sign",
        "publish",
        "publish",
        "trigger",
        "install",
        "confirm",
    ]
    assert all(" ms " in line for line in result.stderr.splitlines()[:-1])
    assert "slot 0 holds" in result.stdout


def test_what_was_signed_is_what_the_slot_shows(live: LiveFleet) -> None:
    (entry,) = live.add("otter").results("deploy", "--slot", "3", HELLO)
    deployed = entry["result"]
    (shown,) = live.results("show", "--slot", "3")
    for field in ("digest", "tag", "size", "sequence_number"):
        assert shown["result"][field] == deployed[field], field
    assert deployed["attempts"] == 1
    assert {"read", "sign", "publish", "confirm"} <= {step["name"] for step in deployed["steps"]}
    assert all(step["ms"] >= 0 for step in deployed["steps"])
    image = live.served[deployed["image"]]
    assert sha256(image).hexdigest() == deployed["digest"]
    assert live.served["suit_manifest3.signed"] == live.served[deployed["manifest"]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(live: LiveFleet, layout: str) -> None:
    live.add("otter").results("deploy", OBJECTS / "add.o", "--layout", layout)
    (shown,) = live.results("show", "--slot", "0")
    assert shown["result"]["layout"] == layout
    (run,) = live.results("exec")
    assert run["result"]["r0_signed"] == 123


def test_from_assembler_text(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "seven.s"
    source.write_text("mov r0, 7\nexit\n")
    live.add("otter").results("deploy", source)
    (run,) = live.results("exec")
    assert run["result"]["r0_signed"] == 7


def test_from_c_source(live: LiveFleet, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    source = tmp_path / "prog.c"
    source.write_text(SOURCE % 41)
    result = live.add("otter").client("deploy", source)
    assert result.exit_code == 0, result.output
    assert "clang" in result.stderr
    (run,) = live.results("exec")
    assert run["result"]["r0_signed"] == 41


def test_two_devices_of_different_boards_and_srv(live: LiveFleet) -> None:
    live.add("one").add("two", board="nucleo-f446re")
    live.add("three", server=live.server.replace("127.0.0.1", "localhost"))
    result = live.client("deploy", HELLO, "-d", "all")
    assert result.exit_code == 0, result.output
    assert "3 of 3 updated" in result.stderr
    entries = {entry["device"]: entry["result"] for entry in live.results("show", "--slot", "0", "-d", "all")}
    assert len({entry["digest"] for entry in entries.values()}) == 1
    manifests = [name for name in live.served if name.startswith("suit_manifest0-1-")]
    assert len(manifests) == 3


def test_a_board_that_is_named_is_the_only_one_deployed_to(live: LiveFleet) -> None:
    live.add("one").add("two", board="nucleo-f446re").add("three")
    entries = live.results("deploy", HELLO, "-d", "all", "--board", "nucleo-f446re", code=1)
    assert {entry["device"]: entry["ok"] for entry in entries} == {"one": False, "two": True, "three": False}
    errors = [entry["error"] for entry in entries if not entry["ok"]]
    assert {error["code"] for error in errors} == {"CLASS_MISMATCH"}
    assert errors[0]["detail"] == "it is a native, and the program is for nucleo-f446re"
    assert [name for name in live.served if name.startswith("suit_manifest0-1-")][1:] == []
    shown = {entry["device"]: entry["result"] for entry in live.results("show", "--slot", "0", "-d", "all")}
    assert {name: slot["state"] for name, slot in shown.items()} == {
        "one": "free",
        "two": "ready",
        "three": "free",
    }
    (entry,) = live.results("deploy", HELLO, "-d", "one", "--board", "native")
    assert entry["ok"]


def test_where_no_device_is_the_board_nothing_is_published(live: LiveFleet) -> None:
    result = live.add("one").client("deploy", HELLO, "--board", "nucleo-f446re")
    assert result.exit_code == 1
    assert "CLASS_MISMATCH" in result.stderr
    assert live.served == {}


def test_a_device_named_by_its_address_gets_the_url_it_knows(live: LiveFleet) -> None:
    live.add("otter", server=live.server.replace("127.0.0.1", "localhost"))
    (entry,) = live.results("deploy", HELLO, "-d", live.address("otter"))
    assert entry["device"] == live.address("otter")
    assert entry["result"]["image_url"].startswith("coap://localhost:")


def test_an_unregistered_device_needs_to_be_told_that_it_may(live: LiveFleet) -> None:
    live.add("hermit", server=None)
    (entry,) = live.results("deploy", HELLO, "-d", live.address("hermit"), code=4)
    assert entry["error"]["code"] == "URI_FORBIDDEN"


def test_a_host_that_is_not_allowed_is_refused_by_the_device(live: LiveFleet) -> None:
    live.add("otter")
    (entry,) = live.results("deploy", HELLO, "--fetch-base", "coap://192.0.2.1", code=4)
    assert entry["error"]["code"] == "URI_FORBIDDEN"
    assert live.results("show", "--slot", "0")[0]["result"]["state"] == "free"


def test_a_foreign_key_is_a_matter_of_security(live: LiveFleet, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.pem"
    generate(foreign)
    live.add("otter")
    result = live.client("deploy", HELLO, "--key", foreign)
    assert result.exit_code == 4
    assert "BAD_SIGNATURE" in result.stderr
    assert live.results("show", "--slot", "0")[0]["result"]["state"] == "free"


def test_after_a_forgery_the_right_key_still_deploys(live: LiveFleet, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.pem"
    generate(foreign)
    live.add("otter").client("deploy", HELLO, "--key", foreign)
    (entry,) = live.results("deploy", HELLO)
    assert entry["result"]["sequence_number"] == 2


def test_a_job_that_holds_the_slot_is_ended_when_asked_for(live: LiveFleet, tmp_path: Path) -> None:
    source = tmp_path / "spin.s"
    source.write_text("mov r0, 0\nloop: add r0, 1\nja loop\nexit\n")
    live.add("otter", limits=NodeLimits(budget_default=2**32 - 1))
    live.results("deploy", source)
    node = live.nodes["otter"]
    job = live._wait(node.executor.start_job(JobRequest(0, ExecRequest()), "test"))
    (refused,) = live.results("deploy", OBJECTS / "hello.o", code=1)
    assert refused["error"]["code"] == "SLOT_BUSY"
    (done,) = live.results("deploy", OBJECTS / "hello.o", "--stop")
    assert done["result"]["slot"] == 0
    assert node.executor.job(job.number).state == "killed"


def test_a_missing_key_is_not_made(live: LiveFleet, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    result = live.add("otter").client("deploy", HELLO, env={"MICROBPF_KEY": str(nowhere)})
    assert (result.exit_code, nowhere.exists()) == (2, False)
    assert "client keygen" in result.stderr


def test_an_encrypted_key(live: LiveFleet, tmp_path: Path) -> None:
    secret, key = tmp_path / "secret", tmp_path / "locked.pem"
    secret.write_text("open sesame\n")
    assert live.client("keygen", "--to", key, "--pass-file", secret).exit_code == 0
    (live.trusted / "locked.pem.pub").write_bytes(Path(f"{key}.pub").read_bytes())
    live.add("otter")
    wrong = live.client("deploy", HELLO, "--key", key, "--pass-file", HELLO)
    assert wrong.exit_code == 2
    assert live.results("deploy", HELLO, "--key", key, "--pass-file", secret)[0]["ok"]


BROKEN = [
    ("a write to r10", "mov r10, 1\nexit\n", "reg-r10"),
    ("no exit", "mov r0, 1\n", "no-exit"),
    ("a helper that nobody has", "call 0x7777\nexit\n", "helper-unknown"),
]


@pytest.mark.parametrize(("source", "finding"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_program_is_refused_here(live: LiveFleet, tmp_path: Path, source: str, finding: str) -> None:
    path = tmp_path / "broken.s"
    path.write_text(source)
    live.add("otter")
    (entry,) = live.results("deploy", path, code=1)
    assert finding in [found["id"] for found in entry["error"]["findings"]]
    assert live.served == {}


def test_findings_name_the_source_line(live: LiveFleet, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    path = tmp_path / "prog.c"
    path.write_text(
        "static long (*nobody)(void) = (void *)0x7777;\nlong entry(void) {\n  return nobody();\n}\n"
    )
    path.write_text("long entry(void) {\n  return ((long (*)(void))0x7777)();\n}\n")
    result = live.add("otter").client("deploy", path)
    assert result.exit_code == 1
    assert "helper-unknown" in result.stderr
    assert "prog.c:2" in result.stderr


def test_a_source_that_does_not_compile_says_so_in_the_compilers_words(
    live: LiveFleet, tmp_path: Path
) -> None:
    pytest.importorskip("ziglang")
    path = tmp_path / "prog.c"
    path.write_text("int f(void) { return nothing; }\n")
    result = live.add("otter").client("deploy", path)
    assert result.exit_code == 1
    assert "undeclared identifier" in result.stderr


def test_without_a_compiler_the_way_to_one_is_shown(
    live: LiveFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.build.compilers", lambda: ())
    path = tmp_path / "prog.c"
    path.write_text(SOURCE % 1)
    result = live.add("otter").client("deploy", path)
    assert result.exit_code == 1
    assert "compiler" in result.stderr
    assert "hint: " in result.stderr


def test_an_image_that_no_slot_can_hold(live: LiveFleet, tmp_path: Path) -> None:
    path = tmp_path / "large.s"
    path.write_text("mov r0, 1\n" * 600 + "exit\n")
    live.add("otter")
    (entry,) = live.results("deploy", path, code=1)
    assert entry["error"]["code"] == "STORAGE_EXCEEDED"
    assert live.served == {}


def test_an_unknown_name_lists_the_known_ones(live: LiveFleet) -> None:
    result = live.add("otter", "heron").client("deploy", HELLO, "-d", "badger")
    assert result.exit_code == 2
    assert "heron, otter" in result.stderr


def test_which_of_several_is_a_question(live: LiveFleet) -> None:
    result = live.add("otter", "heron").client("deploy", HELLO)
    assert result.exit_code == 2
    assert "-d all" in result.stderr


def test_a_device_that_has_gone_stops_no_other(live: LiveFleet) -> None:
    live.add("otter", "heron")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{silent.getsockname()[1]}"
        devices = ("-d", "otter", "-d", gone, "-d", "heron", "--timeout", "0.5")
        entries = live.results("deploy", HELLO, *devices, code=3)
        result = live.client("deploy", HELLO, *devices)
    assert [(entry["device"], entry["ok"]) for entry in entries] == [
        ("otter", True),
        (gone, False),
        ("heron", True),
    ]
    assert entries[1]["error"]["code"] == "timeout"
    assert result.exit_code == 3
    assert f"{gone}: timeout" in result.stderr.splitlines()
    assert "2 of 3 updated" in result.stderr
    assert "otter" in result.stdout
    assert "heron" in result.stdout


def test_where_nobody_answers_nothing_is_published(live: LiveFleet) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{silent.getsockname()[1]}"
        (entry,) = live.results("deploy", HELLO, "-d", gone, "--timeout", "0.5", code=3)
    assert (entry["device"], entry["ok"]) == (gone, False)
    assert live.served == {}


def test_no_file_server(live: LiveFleet) -> None:
    live.add("otter")
    result = live.client(
        "deploy", HELLO, "-d", live.address("otter"), "--server", "coap://127.0.0.1:9", "--timeout", "1"
    )
    assert result.exit_code == 3


def test_operators_at_once_never_claim_what_is_not_theirs(live: LiveFleet) -> None:
    live.add("otter")
    names = ("hello", "add", "fletcher32")
    environment = {
        "MICROBPF_SERVER": live.server,
        "MICROBPF_KEY": str(live.key),
        "XDG_CACHE_HOME": str(live.directory / "cache"),
    }

    def operator(name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "client", "deploy", "-o", "json", str(OBJECTS / f"{name}.o")]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, cwd=ROOT)
        answer: dict[str, Any] = json.loads(done.stdout)["results"][0]
        return answer

    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(operator, names))
    claimed = [answer["result"] for answer in answers if answer["ok"]]
    refused = [answer["error"]["code"] for answer in answers if not answer["ok"]]
    assert claimed
    assert set(refused) <= {"overtaken", "ROLLBACK", "BUSY", "busy"}
    assert len({claim["sequence_number"] for claim in claimed}) == len(claimed)
    (shown,) = live.results("show", "--slot", "0")
    last = max(claimed, key=lambda claim: int(claim["sequence_number"]))
    # An update that was overtaken before it could be confirmed may have come after the last claim.
    if not refused:
        assert (shown["result"]["digest"], shown["result"]["sequence_number"]) == (
            last["digest"],
            last["sequence_number"],
        )
    assert shown["result"]["sequence_number"] >= last["sequence_number"]


def test_publish_and_sign_without_a_device(live: LiveFleet, tmp_path: Path) -> None:
    (published,) = live.results("publish", HELLO, "--slot", "1", "--seq", "5", "--board", "native")
    assert published["result"]["manifest"] in live.served
    copy = tmp_path / "copy.o"
    copy.write_bytes(HELLO.read_bytes())
    (signed,) = live.results("sign", copy, "--slot", "1", "--seq", "5", "--to", tmp_path / "m.signed")
    assert (tmp_path / "m.signed").read_bytes() == live.served[published["result"]["manifest"]]
    assert Path(signed["result"]["image_file"]).read_bytes() == live.served[published["result"]["image"]]


def test_signed_files_go_here_or_where_they_are_told(
    live: LiveFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    before = set(HELLO.parent.iterdir())
    for to, folder in (((), here), (("--to", there), there)):
        (signed,) = live.results("sign", HELLO, "--seq", "5", *to)
        names = {Path(signed["result"][name]).name for name in ("manifest_file", "image_file")}
        assert {path.name for path in folder.iterdir()} == names
    assert set(HELLO.parent.iterdir()) == before


def test_two_manifests_do_not_fit_into_one_file(live: LiveFleet, tmp_path: Path) -> None:
    live.add("one").add("two", board="nucleo-f446re")
    (refused,) = live.results("sign", HELLO, "-d", "all", "--to", tmp_path / "m.signed", code=2)
    assert "2 manifests" in refused["error"]["detail"]
    assert not (tmp_path / "m.signed").exists()
    (tmp_path / "out").mkdir()
    assert len(live.results("sign", HELLO, "-d", "all", "--to", tmp_path / "out")) == 2
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_publish_asks_the_devices_that_are_named(live: LiveFleet) -> None:
    live.add("otter").results("deploy", HELLO)
    (published,) = live.results("publish", HELLO, "-d", "otter")
    assert published["result"]["sequence_number"] == 2
    assert live.results("show", "--slot", "0")[0]["result"]["sequence_number"] == 1


def run_client(live: LiveFleet, code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Python code in a process of its own, with this testbed in its environment."""
    environment = {
        **os.environ,
        "MICROBPF_SERVER": live.server,
        "MICROBPF_KEY": str(live.key),
        "XDG_CACHE_HOME": str(live.directory / "cache"),
    }
    return subprocess.run([sys.executable, "-c", code], env=environment, check=False, cwd=ROOT, **options)


def test_a_deploy_imports_nothing_it_does_not_need(live: LiveFleet) -> None:
    live.add("otter")
    code = f"""
import sys
from client.cli import cli
try:
    cli(["deploy", "-q", {str(HELLO)!r}])
except SystemExit as ended:
    assert ended.code == 0
unwanted = ("rich", "elftools", "unicorn", "ziglang", "device.server", "device.node", "fileserver")
print(*[name for name in unwanted if name in sys.modules], file=sys.stderr)
"""
    done = run_client(live, code, capture_output=True)
    assert (done.returncode, done.stderr.strip()) == (0, b"")


def test_several_devices_have_a_bar_on_a_terminal_and_a_line_each(live: LiveFleet) -> None:
    live.add("one", "two")
    terminal, inside = pty.openpty()
    code = f"import sys; sys.argv = ['client', 'deploy', {str(HELLO)!r}, '-d', 'all']\n"
    code += "from client.cli import main; main()"
    try:
        done = run_client(live, code, stdout=subprocess.PIPE, stderr=inside)
        said = os.read(terminal, 65536).decode()
    finally:
        os.close(inside)
        os.close(terminal)
    assert done.returncode == 0
    rows = [line.split()[:4] for line in done.stdout.decode().splitlines()]
    assert [row[0] for row in rows] == ["DEVICE", "one", "two"]
    assert "updating" in said
    assert "2 of 2 updated" in said
    assert said.count("one: slot 0 holds") == 1


def test_names_and_slots_are_completed(live: LiveFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add("otter", "heron")
    monkeypatch.setenv("MICROBPF_SERVER", live.server)
    shell = ShellComplete(cli, {}, "client", "_CLIENT_COMPLETE")

    def offered(arguments: list[str], incomplete: str) -> list[str]:
        return [item.value for item in shell.get_completions(arguments, incomplete)]

    assert offered(["exec", "-d"], "") == ["heron", "otter", "all"]
    assert offered(["ps", "-d"], "ot") == ["otter"]
    assert offered(["exec", "--slot"], "") == ["0", "1", "2", "3", "4"]
    assert offered([], "dep") == ["deploy"]
    monkeypatch.setenv("MICROBPF_SERVER", "coap://127.0.0.1:9")
    assert offered(["exec", "-d"], "") == ["all"]
