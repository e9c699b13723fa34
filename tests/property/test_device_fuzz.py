"""Whatever a device is sent, it goes on answering, keeps its slots, and says no traceback anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pytest
from aiocoap import Code, Message
from aiocoap.numbers.types import Type

from device.api import CBOR, JSON, encode_body
from device.vm.asm import assemble
from device.vm.faults import FaultCode
from tests.device_bench import SEVEN, SPIN, SUM, example
from tests.device_process import Process, device_process, prepare_state
from tests.peers import exchange_raw
from tests.property.bodies import Bodies
from tests.property.datagrams import Hostile
from tests.property.fuzzing import SEED
from tests.property.hostile_cbor import mutate_bytes

GET, POST, PUT, DELETE = range(1, 5)
CANARY = 5
FIVE = assemble("mov r0, 5\nexit")
CANARY_TAG = sha256(FIVE).hexdigest()[:8].encode()
PATHS = {
    ("device",): (GET,),
    ("slots",): (GET,),
    ("slots", "0"): (GET, GET, GET, DELETE),
    ("slots", "2"): (GET,),
    ("slots", "0", "exec"): (POST,),
    ("slots", "2", "exec"): (POST, POST, POST, GET),
    ("store", "global"): (GET, PUT, PUT),
    ("store", "slots", "2"): (GET, PUT, PUT),
    ("log",): (GET,),
    ("suit", "trigger"): (POST, PUT),
    ("suit", "version"): (GET,),
    ("suit", "slot", "active"): (GET,),
    ("suit", "manifest"): (POST,),
    ("suit", "pull"): (POST,),
    ("jobs",): (GET, POST, POST),
    ("jobs", "1"): (GET, DELETE),
    ("suit", "status"): (GET,),
    ("saul",): (GET,),
    ("saul", "1"): (GET, PUT, PUT),
    ("board",): (GET, PUT, PUT),
    ("hooks",): (GET, POST, POST),
    ("hooks", "1"): (GET, DELETE),
    ("app", "x"): (GET, POST, PUT),
    ("slots", "4", "packet"): (GET, POST, PUT, DELETE),
    ("short-execution",): (POST,),
    ("with_coap_pkt",): (POST,),
    ("long-running",): (POST,),
    ("benchmark", "short-execution"): (POST,),
    ("native", "exec"): (POST,),
    ("console", "write"): (POST,),
    ("bpf", "exec", "5"): (POST,),
    ("running_vm",): (GET,),
    ("riot", "board"): (GET,),
    (".well-known", "core"): (GET,),
}
PAYLOADS = (
    encode_body({"engine": "switch", "context": b"ab", "repeat": 2, "timeout_ms": 50}, 60),
    encode_body({"regions": [{"bytes": b"r" * 30, "writable": True}], "helpers": [1, 16], "budget": 9}, 60),
    encode_body({"context": "00ff", "timeout_ms": 20, "budget": 100}, 50),
    encode_body({"1": 2, "3": None, "4294967295": 7}, 60),
    encode_body({"1": 2}, 50),
    b"coap://127.0.0.1:9/manifest",
    b"coap://127.0.0.1:9/manifest\0",
    encode_body({"slot": 2, "budget": 500, "timeout_ms": 50, "context": b"ab"}, 60),
    b"127.0.0.1:9|manifest|6|1c0||1",
    b"018a0110",
    encode_body({"slot": 4, "trigger": "path", "path": "x"}, 60),
    encode_body({"slot": 5, "trigger": "interval", "period_ms": 50}, 60),
    encode_body({"slot": 5, "trigger": "packet", "policy": "single"}, 60),
    encode_body({"slot": 5, "trigger": "saul", "index": 1}, 60),
    encode_body({"values": [3]}, 60),
    encode_body({"signal": {"kind": "sine", "mean": 1, "amplitude": 5, "period_s": 2}}, 60),
    encode_body({"pins": {"C13": 1}, "adc": {"2": 100}, "test_packet": "00ff"}, 50),
    b"\xbf" * 60,
    b"[" * 900,
    b'{"\\ud800": 1}',
    b"\xa1\x61a\xc2\x5a\x00\x01\x00\x00",
    b"\xd8\x1d\x00",
    b"\xa1\xf9\x7e\x00\x01",
)
BODIES = (
    ("POST", "slots", "0", "exec"),
    ("POST", "slots", "2", "exec"),
    ("POST", "slots", "9", "exec"),
    ("PUT", "store", "global"),
    ("PUT", "store", "slots", "2"),
    ("POST", "suit", "trigger"),
    ("PUT", "suit", "trigger"),
    ("POST", "suit", "manifest"),
    ("POST", "suit", "pull"),
    ("POST", "jobs"),
    ("GET", "jobs"),
    ("DELETE", "jobs", "1"),
    ("DELETE", "slots", "1"),
    ("POST", "hooks"),
    ("DELETE", "hooks", "1"),
    ("PUT", "saul", "1"),
    ("PUT", "board"),
    ("POST", "slots", "4", "packet"),
    ("POST", "short-execution"),
    ("POST", "long-running"),
    ("POST", "native", "exec"),
    ("POST", "console", "write"),
    ("GET", "device"),
    ("GET", "log"),
)
QUERIES = ("since=0", "since=99999999", "since=-1", "since=x", "rt=*", "x", "since=1&since=2")


class Datagrams(Protocol):
    """A supply of what is sent to a device."""

    def datagram(self) -> bytes:
        """The next one."""


class BodyRequests:
    """Well-formed requests with a body of any kind, to resources that read one and some that do not."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._bodies = Bodies(seed)

    def datagram(self) -> bytes:
        """The next one."""
        payload, content_format = self._bodies.next()
        method, *path = self._random.choice(BODIES)
        if path == ["suit", "trigger"] and self._random.random() < 0.5:
            payload = mutate_bytes(self._random, b"coap://127.0.0.1:9/manifest\0")
        made = Message(code=Code[method], payload=payload[: self._random.choice((1100, 5000, 20_000))])
        made.opt.uri_path = tuple(path)
        made.opt.content_format = content_format
        made.opt.accept = self._random.choice((None, None, CBOR, JSON))
        made.mtype = self._random.choice((Type.CON, Type.CON, Type.NON))
        made.mid = self._random.randrange(1 << 16)
        made.token = self._random.randbytes(self._random.choice((0, 1, 8)))
        return bytes(made.encode())


def answers(process: Process) -> bool:
    """Whether the canary slot is as it was; asked again like any client, as full buffers drop requests."""
    request = b"\x40\x01" + os.urandom(2) + b"\xb5slots\x01" + str(CANARY).encode()
    for _ in range(10):
        answer = exchange_raw(process.port, request, wait_s=1)
        if answer is not None:
            return answer[1] == 0x45 and CANARY_TAG in answer
    return False


def bombard(process: Process, hostile: Datagrams, count: int) -> None:
    """Send `count` datagrams from a few ports, and see now and then that the device is well."""
    sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    try:
        for source in sources:
            source.connect(("127.0.0.1", process.port))
            source.setblocking(False)
        for number in range(count):
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                sources[number % 4].send(hostile.datagram())
            if number % 50 == 49:
                # Also waits until the device has taken all of it: nothing is lost in a socket's buffer.
                assert answers(process), f"no answer after {number + 1} datagrams of seed {SEED}"
                for source in sources:
                    check_answers(source)
    finally:
        for source in sources:
            source.close()


def check_answers(source: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
        while True:
            answer = source.recv(4096)
            assert b"Traceback" not in answer
            # A program's fault is 5.00 where the reply is the program's: packets, paths, µBPF's endpoints.
            faulted = any(code.name.encode() + b": " in answer for code in FaultCode)
            assert faulted or not (len(answer) > 1 and answer[1] == 0xA0), f"5.00 {answer!r}"


def check(tmp_path: Path, hostile: Datagrams, count: int) -> None:
    asyncio.run(prepare_state(tmp_path, {0: SEVEN, 2: SUM, 3: SPIN, 4: example("gcoap_hello"), CANARY: FIVE}))
    options = ["--state", str(tmp_path), "--slots", "6", "--server", "coap://127.0.0.1:9"]
    options += ["--limit", "budget_default=20000", "--limit", "exchange_lifetime=5"]
    with device_process(*options) as process:
        bombard(process, hostile, count)
        assert process.popen.poll() is None
        assert (exchange_raw(process.port, b"\x40\x01ok\xb6device", wait_s=10) or b"")[1:2] == b"\x45"
        assert process.resident_kb() < 300_000
    lines = [json.loads(line) for line in process.log]
    errors = [line["text"] for line in lines if line["level"] == "error"]
    assert errors == []


SUPPLIES: dict[str, Callable[[], Datagrams]] = {
    "datagrams": lambda: Hostile(SEED, PATHS, PAYLOADS, QUERIES),
    "bodies": lambda: BodyRequests(SEED),
}


@pytest.mark.parametrize("supply", SUPPLIES)
def test_a_device_survives_hostile_datagrams(tmp_path: Path, supply: str) -> None:
    check(tmp_path, SUPPLIES[supply](), 2000)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("supply", SUPPLIES)
def test_a_device_survives_a_night_of_hostile_datagrams(tmp_path: Path, supply: str) -> None:
    check(tmp_path, SUPPLIES[supply](), 100_000)
