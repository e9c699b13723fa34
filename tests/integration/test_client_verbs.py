"""The other verbs against real devices over UDP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.settings import LAYOUTS
from tests.integration.client_testbed import OBJECTS, ROOT, LiveFleet


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFleet]:
    with LiveFleet(tmp_path) as fleet:
        yield fleet


NO_SOURCES: list[tuple[str, bytes, int, str]] = [
    ("notes.txt", b"buy milk\n", 2, "notes.txt is no source that can be built"),
    ("no-suffix", b"int f(void) { return 0; }\n", 2, "sources end in .c"),
    ("object.bin", b"\x7fELF", 2, "object.bin is no source"),
    ("empty.c", b"", 1, "empty.c is empty"),
    ("empty.s", b"", 1, "empty.s is empty"),
    ("garbage.c", bytes(range(256)), 1, "error"),
    ("garbage.s", bytes(range(256)), 1, "garbage.s is not UTF-8 text"),
]

ENDS_IN_MINUTES = "300000000"
"""A budget that outlasts a deadline on any engine, and still ends a run whose engine overlooks deadlines."""


def deployed(live: LiveFleet, name: str, *options: str) -> LiveFleet:
    """A fleet with an example in slot 0 of its devices (all of them, unless `options` say otherwise)."""
    live.results("deploy", OBJECTS / f"{name}.o", *(options or ("-d", "all")))
    return live


class TestExec:
    def test_a_result(self, live: LiveFleet) -> None:
        result = deployed(live.add("otter"), "hello").client("exec")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0] == "result  0  (0x0000000000000000)"
        assert "| Hello from eBPF" in result.stdout

    def test_the_same_in_json(self, live: LiveFleet) -> None:
        (entry,) = deployed(live.add("otter"), "fletcher32").results("exec")
        assert entry["device"] == "otter"
        assert (entry["result"]["r0_signed"], entry["result"]["slot"]) == (829540382, 0)
        assert entry["result"]["time_us"]["run"] > 0

    def test_context_and_regions(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "add_eight")
        (entry,) = live.results("exec", "--context", "08000000", "--region", "00", "--region", "ff:ro")
        assert entry["result"]["context"] == "10000000"
        assert entry["result"]["regions"] == ["00"]

    def test_repeat(self, live: LiveFleet) -> None:
        (entry,) = deployed(live.add("otter"), "counter").results("exec", "--repeat", "3")
        assert (entry["result"]["runs"], entry["result"]["r0_signed"]) == (3, 3)

    def test_a_fault_names_function_line_address_and_what_to_try(self, live: LiveFleet) -> None:
        result = deployed(live.add("otter"), "wild_pointer").client("exec")
        assert result.exit_code == 1
        for shown in ("ILLEGAL_MEM (-2)", "wild_pointer.c:16", "0x00000004", "try ", "| reading the latest"):
            assert shown in result.stdout, shown
        (entry,) = live.results("exec", code=1)
        assert entry["error"]["code"] == "ILLEGAL_MEM"
        assert entry["error"]["fault"]["source"] == "wild_pointer.c:16"
        assert entry["error"]["answer"]["output"] == "reading the latest value\n"

    def test_the_debug_object_comes_from_the_file_server_for_another_operator(
        self, live: LiveFleet, tmp_path: Path
    ) -> None:
        deployed(live.add("otter"), "wild_pointer")
        env = {"XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
        (entry,) = live.results("exec", code=1, env=env)
        assert entry["error"]["fault"]["source"] == "wild_pointer.c:16"

    def test_a_planted_debug_object_is_not_believed(self, live: LiveFleet, tmp_path: Path) -> None:
        deployed(live.add("otter"), "wild_pointer")
        (kept,) = (live.directory / "served").glob("*.debug.o")
        kept.write_bytes((OBJECTS / "hello.o").read_bytes())
        env = {"XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
        (entry,) = live.results("exec", code=1, env=env)
        assert "source" not in entry["error"]["fault"]

    def test_a_budget_and_a_deadline_end_a_run(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "endless_loop")
        (entry,) = live.results("exec", "--budget", "1000", code=1)
        assert entry["error"]["code"] == "OUT_OF_INSTRUCTIONS"
        assert entry["error"]["answer"]["instructions"] == 1000

    def test_helpers_narrow(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "hello")
        (entry,) = live.results("exec", "--helpers", "0x13", code=1)
        assert "denied" in entry["error"]["code"].lower()

    def test_several_devices_each_have_their_own_answer(self, live: LiveFleet) -> None:
        deployed(live.add("one", "two"), "hello", "-d", "one")
        result = live.client("exec", "-d", "all")
        assert result.exit_code == 1
        assert "one\n  result  0" in result.stdout
        assert "two: Conflict" in result.stderr

    def test_nobody_there(self, live: LiveFleet) -> None:
        (entry,) = live.results("exec", "-d", "127.0.0.1:9", "--timeout", "0.1", code=3)
        assert entry["device"] == "127.0.0.1:9"


class TestLooking:
    def test_devices(self, live: LiveFleet) -> None:
        live.add("otter", "heron")
        result = live.client("devices")
        assert result.exit_code == 0
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "heron", "otter"]
        entries = live.results("devices")
        assert [entry["result"]["health"] for entry in entries] == ["up", "up"]
        assert entries[0]["result"]["srv"] == live.server

    def test_a_device_that_does_not_answer_is_listed_as_such(self, live: LiveFleet) -> None:
        live.add("otter", advertise="coap://127.0.0.1:9")
        (entry,) = live.results("devices", "--timeout", "1")
        assert entry["result"]["health"] == "no answer"
        assert entry["result"]["reason"]

    def test_an_empty_directory_is_no_error(self, live: LiveFleet) -> None:
        assert live.results("devices") == []
        result = live.client("devices", "--quiet")
        assert (result.exit_code, result.output) == (0, "")

    def test_no_file_server(self, live: LiveFleet) -> None:
        assert live.client("devices", "--server", "coap://127.0.0.1:9").exit_code == 3

    def test_unchecked(self, live: LiveFleet) -> None:
        (entry,) = live.add("otter").results("devices", "--no-check")
        assert entry["result"]["health"] == "-"

    def test_ps(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "hello").client("exec")
        result = live.client("ps")
        assert "runs 1  faults 0" in result.stdout
        assert "free: 1 2 3 4" in result.stdout
        (entry,) = live.results("ps")
        assert [slot["state"] for slot in entry["result"]["items"]] == ["ready"] + ["free"] * 4

    def test_show(self, live: LiveFleet) -> None:
        live.add("otter", board="nucleo-f439zi")
        assert "nucleo-f439zi" in live.client("show").stdout
        (entry,) = live.results("show")
        assert entry["result"]["class_id"] == "b45f54ed15c6536a9d529915cccfef6f"
        assert "free" in live.client("show", "--slot", "1").stdout

    def test_a_slot_that_is_none(self, live: LiveFleet) -> None:
        (entry,) = live.add("otter").results("show", "--slot", "77", code=1)
        assert entry["error"]["status"] == "4.04"

    def test_bytes_of_a_slot(self, live: LiveFleet) -> None:
        (deploy,) = live.add("otter").results("deploy", OBJECTS / "hello.o")
        image = live.served[deploy["result"]["image"]]
        (entry,) = live.results("show", "--slot", "0", "--hex", "0x10", "40")
        assert entry["result"]["content"] == image[16:56].hex()
        assert (entry["result"]["offset"], entry["result"]["size"]) == (16, len(image))
        lines = live.client("show", "--slot", "0", "--hex", "0", "20").stdout.splitlines()
        assert lines[0] == f"00000000  {image[:16].hex(' ')}  |.ELF............|"
        assert lines[1].startswith(f"00000010  {image[16:20].hex(' ')} ")
        assert lines[2].startswith(f"20 of {len(image)} bytes, tag ")

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--hex", "0", "4"), 2, "say which with --slot"),
            (("--slot", "0", "--hex", "0"), 2, "requires 2 arguments"),
            (("--slot", "0", "--hex", "x", "4"), 2, "'x' is no number"),
            (("--slot", "0", "--hex", "0", "-4"), 2, "-4 is no number of bytes"),
            (("--slot", "0", "--hex", "9999", "4"), 1, "the image has"),
            (("--slot", "1", "--hex", "0", "4"), 1, "slot 1 is empty"),
        ],
        ids=["no slot", "no length", "no number", "negative", "past the end", "empty slot"],
    )
    def test_bytes_that_are_not_there(
        self, live: LiveFleet, options: tuple[str, ...], code: int, said: str
    ) -> None:
        result = deployed(live.add("otter"), "hello").client("show", *options)
        assert result.exit_code == code
        assert said in result.stderr

    def test_undeploy(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "hello")
        assert live.client("undeploy", "--slot", "0").exit_code == 0
        assert live.results("show", "--slot", "0")[0]["result"]["state"] == "free"
        assert live.client("exec").exit_code == 1

    def test_the_global_store(self, live: LiveFleet) -> None:
        live.add("otter", "heron")
        live.results("store", "set", "1=1234", "2=-1", "-d", "all")
        entries = live.results("store", "-d", "all")
        assert [entry["result"]["entries"] for entry in entries] == [{"1": 1234, "2": 4294967295}] * 2
        assert "1234  0x000004d2" in live.client("store", "set", "2=", "-d", "otter").stdout
        assert live.results("store", "-d", "otter")[0]["result"]["entries"] == {"1": 1234}

    def test_a_local_store(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "storage").results("store", "set", "5=1", "--slot", "0")
        assert live.results("store", "--slot", "0")[0]["result"]["entries"] == {"5": 1}
        assert live.results("store")[0]["result"]["entries"] == {}

    def test_a_store_that_is_full_says_so(self, live: LiveFleet) -> None:
        changes = [f"{key}=1" for key in range(17)]
        (entry,) = live.add("otter").results("store", "set", *changes, code=1)
        assert entry["error"]["status"] == "4.13"
        assert live.results("store")[0]["result"]["entries"] == {}

    def test_the_device_of_the_environment(self, live: LiveFleet) -> None:
        live.add("otter", "heron")
        (entry,) = live.results("show", env={"MICROBPF_DEVICE": "heron"})
        assert entry["device"] == "heron"
        both = live.results("show", env={"MICROBPF_DEVICE": "heron otter"})
        assert [entry["device"] for entry in both] == ["heron", "otter"]


class TestLogs:
    def test_once(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "hello").client("exec")
        result = live.client("logs")
        assert result.exit_code == 0
        assert "suit_worker: update successful" in result.stdout
        assert "Hello from eBPF" in result.stdout

    def test_json_is_an_object_a_line(self, live: LiveFleet) -> None:
        live.add("otter")
        lines = [json.loads(line) for line in live.client("logs", "-o", "json").stdout.splitlines()]
        assert lines
        assert all(line["device"] == "otter" and line["ok"] for line in lines)
        last = lines[-1]["result"]["seq"]
        later = live.client("logs", "-o", "json", "--since", str(last)).stdout.splitlines()
        assert [json.loads(line)["result"]["seq"] for line in later] == [last]

    def test_what_a_program_prints_cannot_play_with_the_terminal(
        self, live: LiveFleet, tmp_path: Path
    ) -> None:
        pytest.importorskip("ziglang")
        source = tmp_path / "prog.c"
        source.write_text(
            '#include <bpf/helpers.h>\nint64_t f(void) { bpf_printf("\\x1b[2Jgone\\n"); return 0; }\n'
        )
        live.add("otter").results("deploy", source)
        for arguments in (("exec",), ("logs",)):
            shown = live.client(*arguments).stdout
            assert "\x1b" not in shown
            assert "gone" in shown

    def test_followed_live_until_interrupted(self, live: LiveFleet) -> None:
        live.add("one", "two")
        with started(live, "logs", "-f", "-d", "all", "-o", "json") as process:
            deployed(live, "hello")
            live.client("exec", "-d", "two")
            seen: list[dict[str, Any]] = []
            assert process.stdout is not None
            for line in process.stdout:
                seen.append(json.loads(line))
                greeted = any("Hello from eBPF" in entry["result"]["text"] for entry in seen)
                if greeted and {entry["device"] for entry in seen} == {"one", "two"}:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        numbers = [entry["result"]["seq"] for entry in seen if entry["device"] == "two"]
        assert numbers == sorted(set(numbers))
        assert process.returncode == 130
        assert "Traceback" not in out + err

    def test_a_reader_that_has_seen_enough_ends_it_quietly(self, live: LiveFleet) -> None:
        with started(deployed(live.add("otter"), "hello"), "logs") as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            said = process.stderr.read()
            assert process.wait(10) == 141
        assert said == ""


class TestLocally:
    """The same programs without a device; nothing is listening anywhere."""

    def test_run(self, live: LiveFleet) -> None:
        (entry,) = live.results("run", OBJECTS / "add_eight.o", "--context", "08000000")
        assert entry["device"] is None
        assert (entry["result"]["r0_signed"], entry["result"]["context"]) == (16, "10000000")

    def test_a_fault_has_its_line(self, live: LiveFleet) -> None:
        (entry,) = live.results("run", OBJECTS / "wild_pointer.o", code=1)
        assert entry["error"]["fault"]["source"] == "wild_pointer.c:16"

    def test_repeats_share_data_and_stores(self, live: LiveFleet) -> None:
        (entry,) = live.results("run", OBJECTS / "counter.o", "--repeat", "3")
        assert entry["result"]["r0_signed"] == 3

    def test_what_is_too_large_is_too_large_here_and_there(self, live: LiveFleet) -> None:
        deployed(live.add("otter"), "hello")
        regions = ["--region", "00"] * 17
        (here,) = live.results("run", OBJECTS / "hello.o", *regions, code=1)
        (there,) = live.results("exec", *regions, code=1)
        for field in ("code", "where", "detail"):
            assert here["error"][field] == there["error"][field], field

    def test_a_deadline(self, live: LiveFleet) -> None:
        (entry,) = live.results(
            "run", OBJECTS / "endless_loop.o", "--timeout", "0.05", "--budget", ENDS_IN_MINUTES, code=1
        )
        assert entry["error"]["code"] == "KILLED"

    def test_batch(self, live: LiveFleet, tmp_path: Path) -> None:
        requests = tmp_path / "requests"
        requests.write_text(
            '{"program": "b7000000070000009500000000000000", "memory": "", "engine": "switch"}\nnonsense\n'
        )
        result = live.client("run", "--batch", requests)
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.exit_code == 0
        assert answers[0]["r0"] == "0x0000000000000007"
        assert answers[1]["error"]["stage"] == "request"

    def test_batch_reads_a_pipe(self, live: LiveFleet, tmp_path: Path) -> None:
        pipe = tmp_path / "requests"
        os.mkfifo(pipe)
        line = '{"program": "b7000000070000009500000000000000", "memory": "", "engine": "switch"}\n'
        # Opening a pipe waits for its reader: were there none, nothing may wait for the writer.
        writer = threading.Thread(target=pipe.write_text, args=(line,), daemon=True)
        writer.start()
        result = live.client("run", "--batch", pipe)
        assert (result.exit_code, json.loads(result.stdout)["r0"]) == (0, "0x0000000000000007")
        writer.join(10)
        assert live.client("run", "--batch", "/dev/null").exit_code == 0

    @pytest.mark.parametrize(
        ("name", "reason"), [("nothing", "No such file"), (".", "Is a directory")], ids=["missing", "folder"]
    )
    def test_batch_needs_something_to_read(
        self, live: LiveFleet, tmp_path: Path, name: str, reason: str
    ) -> None:
        result = live.client("run", "--batch", tmp_path / name)
        assert result.exit_code == 2
        assert f"cannot read {tmp_path / name}: {reason}" in result.stderr

    def test_verify(self, live: LiveFleet) -> None:
        (entry,) = live.results("verify", OBJECTS / "hello.o")
        assert entry["result"]["accepted"] is True
        assert "0x01    bpf_printf" in live.client("verify", OBJECTS / "hello.o").stdout
        (denied,) = live.results("verify", OBJECTS / "hello.o", "--helpers", "0x13", code=4)
        assert denied["error"]["findings"][0]["id"] == "helper-denied"

    def test_garbage_is_refused_in_some_lines_and_in_json_whole(
        self, live: LiveFleet, tmp_path: Path
    ) -> None:
        path = tmp_path / "garbage.bin"
        path.write_bytes(bytes([0xFF]) * 4096)
        for verb in ("verify", "run"):
            result = live.client(verb, path)
            assert (result.exit_code, len(result.stderr.splitlines()) < 50) == (1, True), verb
            (entry,) = live.results(verb, path, code=1)
            assert len(entry["error"]["findings"]) >= 512

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_dump(self, live: LiveFleet, layout: str) -> None:
        (entry,) = live.results("dump", OBJECTS / "add.o", "--layout", layout)
        assert entry["result"]["layout"] == layout
        assert entry["result"]["instructions"][-1]["text"] == "exit"
        shown = live.client("dump", OBJECTS / "wild_pointer.o").stdout
        for part in ("wild_pointer.c:16", "call bpf_printf", ".rodata", "exit"):
            assert part in shown

    def test_a_program_that_is_refused_can_still_be_looked_at(self, live: LiveFleet, tmp_path: Path) -> None:
        path = tmp_path / "broken.bin"
        path.write_bytes(bytes.fromhex("b70a0000000000009500000000000000"))
        assert live.client("dump", path).exit_code == 0
        assert live.client("verify", path).exit_code == 1

    @pytest.mark.parametrize("content", [b"", b"x", b"\x7fELF", b"\x7fELF" + bytes(100)])
    def test_what_is_no_program_is_a_readable_refusal(
        self, live: LiveFleet, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "nothing.o"
        path.write_bytes(content)
        assert live.client("dump", path).exit_code in (0, 1)  # it shows what it can
        for verb in ("verify", "run"):
            result = live.client(verb, path)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr.startswith("error: ")

    def test_keygen(self, live: LiveFleet, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "key.pem"
        (entry,) = live.results("keygen", "--to", path)
        assert entry["result"] == {"private": str(path), "public": f"{path}.pub", "type": "ed25519"}
        assert path.stat().st_mode & 0o777 == 0o600
        before = path.read_bytes()
        assert live.client("keygen", "--to", path).exit_code == 2
        assert path.read_bytes() == before

    def test_build(self, live: LiveFleet, tmp_path: Path) -> None:
        source = tmp_path / "seven.s"
        source.write_text("mov r0, 7\nexit\n")
        (entry,) = live.results("build", source)
        assert entry["result"]["object"] == str(tmp_path / "seven.o")
        (run,) = live.results("run", tmp_path / "seven.o")
        assert run["result"]["r0_signed"] == 7
        assert live.client("build", source, "--to", tmp_path / "no" / "such" / "folder").exit_code == 2
        assert live.client("build", source, "--to", source).exit_code == 2
        assert source.read_text() == "mov r0, 7\nexit\n"

    @pytest.mark.parametrize(
        ("name", "content", "code", "said"), NO_SOURCES, ids=[row[0] for row in NO_SOURCES]
    )
    def test_what_is_no_source_is_not_built(
        self, live: LiveFleet, tmp_path: Path, name: str, content: bytes, code: int, said: str
    ) -> None:
        if name == "garbage.c":
            pytest.importorskip("ziglang")
        source, target = tmp_path / name, tmp_path / "out.o"
        source.write_bytes(content)
        target.write_bytes(b"from before")
        result = live.client("build", source, "--to", target)
        assert (result.exit_code, result.stdout) == (code, "")
        assert said in result.stderr
        assert "internal" not in result.stderr
        assert target.read_bytes() == b"from before"
        assert sorted(path.name for path in tmp_path.glob("*.o")) == ["out.o"]
        assert list(tmp_path.glob(".out.o*")) == []


@contextmanager
def started(live: LiveFleet, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The client as a process of its own, which does not outlast the test."""
    environment = {**os.environ, "MICROBPF_SERVER": live.server, "MICROBPF_KEY": str(live.key)}
    environment.pop("MICROBPF_DEVICE", None)
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "client", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
