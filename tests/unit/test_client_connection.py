"""Replies become values, and refusals become errors that say what the peer said."""

from __future__ import annotations

import pytest

from client.connection import Connection
from client.directory import Target
from client.exchange import GET, PUT, Call, Reply
from client.remote import RemoteDevice
from client.results import error_map
from device.api import ExecRequest, LogPage
from device.errors import ConfigError, RemoteError, TransportError
from tests.unit.client_fakes import FakeNetwork, content, path_of, problem

URL = "coap://dev/device"

INFO = {
    "name": "otter",
    "board": "native",
    "vendor_id": bytes(16),
    "class_id": bytes(16),
    "slots": 5,
    "slot_size": 4096,
    "profiles": ["ubpf"],
    "engines": ["switch"],
    "workers": 4,
    "uptime_ms": 1,
    "sequence_number": 7,
    "version": "0.1.0",
}


def answering(reply: Reply) -> FakeNetwork:
    return FakeNetwork({"dev": lambda _call: reply})


async def ask(reply: Reply) -> object:
    async with Connection(answering(reply)) as connection:
        return await connection.ask(GET, URL)


async def test_a_map() -> None:
    assert await ask(content({"a": 1})) == {"a": 1}


async def test_json_is_read_too() -> None:
    assert await ask(Reply("2.05", b'{"a":1}', 50)) == {"a": 1}


async def test_nothing_is_none() -> None:
    assert await ask(Reply("2.04")) is None


async def test_problem_details_become_an_error_of_the_tree() -> None:
    with pytest.raises(RemoteError) as refused:
        await ask(problem("5.03", "busy", "no place free", "come back", max_age=2))
    error = refused.value
    assert (error.status, error.code, error.detail, error.hint) == (
        "5.03",
        "busy",
        "no place free",
        "come back",
    )
    assert error.extra == {"status": "5.03", "retry_after_s": 2}
    assert error_map(error)["title"] == "Refused"


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Reply("4.04", b"not here", 0), "coap://dev/device answered 4.04: not here"),
        (Reply("5.00"), "coap://dev/device answered 5.00"),
        (Reply("4.00", b"\xff\xfe", 257), "coap://dev/device answered 4.00: \ufffd\ufffd"),
        (Reply("4.00", b"\x01", 60), "coap://dev/device answered 4.00: \x01"),
    ],
    ids=["text", "nothing", "no CBOR", "no map"],
)
async def test_a_refusal_in_another_form(reply: Reply, detail: str) -> None:
    with pytest.raises(RemoteError) as refused:
        await ask(reply)
    assert refused.value.detail == detail
    assert refused.value.status == reply.status


@pytest.mark.parametrize(
    "reply", [Reply("2.05", b"\xff", 60), Reply("2.05", b"{", 50), Reply("2.05", b"text", 0)]
)
async def test_an_answer_that_cannot_be_read_is_the_transports_fault(reply: Reply) -> None:
    with pytest.raises(TransportError) as error:
        await ask(reply)
    assert error.value.code == "protocol"


async def test_a_closed_connection_says_so() -> None:
    with pytest.raises(ConfigError):
        await Connection().ask(GET, URL)


async def test_the_network_is_given_back() -> None:
    network = answering(content({}))
    async with Connection(network):
        pass
    assert network.closed


async def test_a_deadline_grows_with_what_is_sent() -> None:
    connection = Connection(answering(content({})), timeout_s=5)
    assert connection.allowance_s(0) == 5
    assert connection.allowance_s(64 * 1024) > 30


async def test_a_device_is_read_leniently_and_its_absence_is_named() -> None:
    async with Connection(answering(content({**INFO, "later": 1}))) as connection:
        info = await RemoteDevice(connection, Target("otter", "coap://dev")).info()
    assert info.sequence_number == 7
    async with Connection(answering(content({"name": "x"}))) as connection:
        with pytest.raises(TransportError) as error:
            await RemoteDevice(connection, Target("otter", "coap://dev")).info()
    assert error.value.code == "protocol"
    assert "version" in error.value.hint


async def test_requests_have_the_shape_of_the_api() -> None:
    calls: list[Call] = []

    def server(call: Call) -> Reply:
        calls.append(call)
        if "exec" in call.url:
            return content({"engine": "switch", "instructions": 2, "runs": 1, "r0": "0x01", "r0_signed": 1})
        if "log" in call.url:
            return content({"next": 3, "lines": []})
        if call.method == PUT or "trigger" in call.url:
            return Reply("2.04")
        return content({"capacity": 16, "entries": {"1": 2}})

    async with Connection(FakeNetwork({"dev": server})) as connection:
        device = RemoteDevice(connection, Target("otter", "coap://dev"))
        answer = await device.execute(2, ExecRequest(context=b"\x08"))
        await device.set_store({"1": None}, 3)
        await device.store()
        assert await device.log(5) == LogPage(3, ())
        await device.trigger("coap://files/m")
    assert answer.r0_signed == 1
    assert [(call.method, path_of(call)) for call in calls] == [
        ("POST", "slots/2/exec"),
        ("PUT", "store/slots/3"),
        ("GET", "store/global"),
        ("GET", "log?since=5"),
        ("POST", "suit/trigger"),
    ]
    assert calls[-1].payload == b"coap://files/m"
