"""Whatever a file server is sent, it goes on serving, says no traceback, and keeps to its root and limits."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers import exchange_raw
from tests.property.datagrams import Hostile
from tests.property.fuzzing import SEED

GET, POST, PUT, DELETE = range(1, 5)
PATHS = {
    (): (GET,),
    ("",): (GET, PUT),
    ("f.bin",): (GET, GET, GET, PUT, PUT, DELETE),
    ("sub", "g.bin"): (GET, GET, GET, PUT, PUT, DELETE),
    ("sub", ""): (GET,),
    (".well-known", "core"): (GET,),
    ("resourcedirectory", ""): (POST,),
    ("resourcedirectory", "1"): (GET, POST, DELETE),
    ("endpoint-lookup", ""): (GET,),
    ("resource-lookup", ""): (GET,),
    ("new",): (PUT, PUT, GET, DELETE),
    ("new", "deep", "file"): (PUT, PUT, GET, DELETE),
}
PAYLOADS = (b"x" * 1024, b"</a>;rt=x,</b>", b"-----BEGIN PRIVATE KEY-----", bytes(range(256)))
QUERIES = (
    "ep=a&lt=60",
    "ep=b&base=coap://host&et=micro-bpf",
    "ep=c&lt=1",
    "et=micro-bpf",
    "page=0&count=1",
    "rt=*&href=/*",
    "ep=",
    "lt=x",
    "=&=",
)
CONTENT = bytes(range(256)) * 2


@dataclass(slots=True)
class Served:
    """A file server's process."""

    port: int
    process: subprocess.Popen[str]
    errors: list[str] = field(default_factory=list)

    def answers(self) -> bool:
        """Whether it serves a file rightly at this moment."""
        request = b"\x40\x01" + os.urandom(2) + b"\xb6canary"
        answer = exchange_raw(self.port, request, wait_s=5)
        return answer is not None and answer[1] == 0x45 and answer.endswith(b"\xff" + CONTENT)

    def resident_kb(self) -> int:
        """Its memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@contextmanager
def file_server(root: Path) -> Iterator[Served]:
    (root / "sub").mkdir(parents=True)
    (root / "f.bin").write_bytes(b"z" * 3000)
    (root / "canary").write_bytes(CONTENT)
    (root / "sub" / "g.bin").write_bytes(b"y" * 5000)
    command = "from fileserver.cli import main; main()"
    options = ["--root", str(root), "--bind", "127.0.0.1", "--port", "0", "--log-format", "json"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    served = Served(json.loads(process.stdout.readline())["port"], process)
    reader = threading.Thread(target=lambda: served.errors.extend(process.stderr or ()))
    reader.start()
    try:
        yield served
    finally:
        process.terminate()
        process.wait(timeout=10)
        reader.join()
        process.stdout.close()
        process.stderr.close()


def bombard(served: Served, hostile: Hostile, count: int) -> None:
    """Send `count` datagrams from a few ports, and see now and then that the server is well."""
    sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    try:
        for source in sources:
            source.connect(("127.0.0.1", served.port))
            source.setblocking(False)
        for number in range(count):
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                sources[number % 4].send(hostile.datagram())
            if number % 50 == 49:
                # Also waits until the server has taken all of it: nothing is lost in a socket's buffer.
                assert served.answers(), f"no answer after {number + 1} datagrams of seed {SEED}"
                for source in sources:
                    drain(source)
    finally:
        for source in sources:
            source.close()


def drain(source: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
        while True:
            source.recv(4096)


def check(tmp_path: Path, count: int) -> None:
    root = tmp_path / "root"
    with file_server(root) as served:
        bombard(served, Hostile(SEED, PATHS, PAYLOADS, QUERIES), count)
        assert served.process.poll() is None
        assert served.resident_kb() < 300_000
    assert served.process.returncode == 0
    events = [json.loads(line) for line in served.errors]
    assert [event for event in events if event["event"] != "log"] == []
    assert not any("Error" in event["text"] for event in events), events
    assert sorted(item.name for item in tmp_path.iterdir()) == ["root"], "something was written outside"
    assert (root / "canary").read_bytes() == CONTENT


def test_a_file_server_survives_hostile_datagrams(tmp_path: Path) -> None:
    check(tmp_path, 3000)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_file_server_survives_a_night_of_hostile_datagrams(tmp_path: Path) -> None:
    check(tmp_path, 100_000)
