"""What a program answers a CoAP request, and what the device says instead of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.connection import Connection
from client.debuginfo import DebugFiles
from client.directory import Target
from client.exchange import Call, Reply
from client.faults import ProgramFault
from client.packets import PacketAnswer, PacketCall, call, packet_lines
from client.remote import RemoteDevice
from device.api import PROBLEM_CBOR, Problem
from device.errors import RemoteError
from tests.unit.client_fakes import FakeNetwork, problem

FAULT: dict[str, Any] = {
    "code": "ILLEGAL_MEM",
    "number": -2,
    "source": "app.c:7",
    "detail": "ILLEGAL_MEM: load of 1 byte",
}


async def asked(what: PacketCall, reply: Reply, tmp_path: Path) -> tuple[PacketAnswer, Call]:
    """The answer to a call, and the request that went out."""
    network = FakeNetwork({"dev": lambda _call: reply})
    async with Connection(network) as connection:
        device = RemoteDevice(connection, Target("otter", "coap://dev"))
        answer = await call(device, what, DebugFiles(tmp_path, connection, "coap://files"), 1.0)
    return answer, network.calls[0]


ANSWERS: list[tuple[str, Reply, list[str]]] = [
    (
        "text that ends as C does",
        Reply("2.05", b'{"temperature": 23.4}\0', 50),
        ["answer   2.05", "format   JSON", "payload  22 bytes", '| {"temperature": 23.4}'],
    ),
    ("a refusal of the program's own", Reply("4.04", b"no", 0), ["answer   4.04", "format   text"]),
    ("nothing", Reply("2.04"), ["answer   2.04", "payload  none"]),
    ("bytes", Reply("2.05", b"\x00\xff", 42), ["format   bytes", "00000000  00 ff"]),
    ("an unknown format", Reply("2.05", b"x", 11542), ["format   11542", "| x"]),
    ("what plays with the terminal", Reply("2.05", b"\x1b[2J"), ["00000000  1b 5b 32 4a"]),
]


@pytest.mark.parametrize(("reply", "shown"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
async def test_an_answer_is_shown(reply: Reply, shown: list[str], tmp_path: Path) -> None:
    answer, _ = await asked(PacketCall(0), reply, tmp_path)
    text = "\n".join(packet_lines(answer))
    assert [line for line in shown if line not in text] == []
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("what", "method", "url", "payload"),
    [
        (PacketCall(3), "GET", "coap://dev/slots/3/packet", b""),
        (PacketCall(3, "POST", b"on", 0), "POST", "coap://dev/slots/3/packet", b"on"),
        (PacketCall(3, path="/app/temperature"), "GET", "coap://dev/app/temperature", b""),
        (PacketCall(3, path="app/temperature"), "GET", "coap://dev/app/temperature", b""),
    ],
    ids=["slot", "payload", "path", "path without slash"],
)
async def test_what_is_asked(what: PacketCall, method: str, url: str, payload: bytes, tmp_path: Path) -> None:
    _, request = await asked(what, Reply("2.05"), tmp_path)
    assert (request.method, request.url, request.payload) == (method, url, payload)


async def test_a_fault_is_the_programs(tmp_path: Path) -> None:
    body = Problem("Program faulted", FAULT["detail"], "ILLEGAL_MEM", extra={"fault": FAULT}).to_cbor()
    with pytest.raises(ProgramFault) as caught:
        await asked(PacketCall(1), Reply("5.00", body, PROBLEM_CBOR), tmp_path)
    found: dict[str, Any] = caught.value.extra
    assert (caught.value.code, found["fault"]["source"]) == ("ILLEGAL_MEM", "app.c:7")
    assert found["answer"]["status"] == "5.00"


async def test_a_refusal_of_the_device_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        await asked(PacketCall(1), problem("4.09", "conflict", "slot 1 is empty"), tmp_path)
    assert (caught.value.status, caught.value.detail) == ("4.09", "slot 1 is empty")
