"""Contexts and requests over real sockets, with AF_INET6 and as if there were none."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import pytest
from aiocoap import Code, Message
from aiocoap.numbers.types import Type
from aiocoap.pipe import Pipe

from device import transport
from device.errors import ConfigError, RemoteError, TransportError
from device.resource import BoundedResource, BoundedSite, Transfers
from device.transport import (
    LAN,
    RFC7252,
    Timing,
    client_context,
    expect_success,
    free_port,
    parse_url,
    peer_host,
    request,
    server_context,
)
from device.transport import stack as stack_module
from tests.device_bench import device
from tests.peers import ask, scripted, served

QUICK = Timing(0.05, 3)
BOTH = pytest.mark.parametrize("fallback", [False, True], ids=["udp6", "simple6"])


class Mirror(BoundedResource):
    """Answers with what it was sent, and from where."""

    max_body = 4096

    async def render_get(self, request: Message) -> Message:
        return Message(payload=peer_host(request).encode())

    async def render_post(self, request: Message) -> Message:
        return Message(payload=request.payload)


def mirror() -> BoundedSite:
    transfers = Transfers()
    site = BoundedSite(transfers)
    site.add_resource(["mirror"], Mirror(transfers))
    return site


@BOTH
async def test_a_request_gets_its_answer(fallback: bool) -> None:
    async with served(mirror(), fallback=fallback) as (context, url):
        answer = await ask(context, f"{url}/mirror")
        assert (answer.code, answer.payload) == (Code.CONTENT, b"127.0.0.1")
        body = bytes(range(256)) * 9
        assert (await ask(context, f"{url}/mirror", Code.POST, body)).payload == body


@pytest.mark.parametrize(
    ("bind", "reached_at"),
    [
        (None, ["127.0.0.1", "[::1]"]),
        ("::", ["127.0.0.1", "[::1]"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::1", ["[::1]"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["localhost"]),
    ],
)
async def test_a_server_binds_what_it_is_told(bind: str | None, reached_at: list[str]) -> None:
    server = await server_context(mirror(), bind, 0)
    client = await client_context()
    try:
        for host in reached_at:
            assert (await ask(client, f"coap://{host}:{server.port}/mirror")).code == Code.CONTENT
    finally:
        await client.shutdown()
        await server.shutdown()


async def test_without_ipv6_sockets_all_addresses_are_served_one_by_one() -> None:
    server = await server_context(mirror(), None, 0, fallback=True)
    client = await client_context(fallback=True)
    try:
        for host in transport.local_addresses():
            assert (await ask(client, f"coap://{host}:{server.port}/mirror")).code == Code.CONTENT
    finally:
        await client.shutdown()
        await server.shutdown()


async def test_where_no_ipv6_address_can_be_bound_ipv4_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    bind6 = transport.sockets._bind6

    def without_ipv6(address: tuple[str, int, int, int]) -> socket.socket:
        if address[0] == "::":
            raise OSError(99, "Cannot assign requested address")
        return bind6(address)

    monkeypatch.setattr(transport.sockets, "_bind6", without_ipv6)
    async with served(mirror()) as (context, _):
        server = await server_context(mirror(), None, 0)
        try:
            assert (await ask(context, f"coap://127.0.0.1:{server.port}/mirror")).code == Code.CONTENT
        finally:
            await server.shutdown()


@BOTH
@pytest.mark.parametrize("second", [None, "127.0.0.1"])
async def test_a_taken_port_is_noticed(fallback: bool, second: str | None) -> None:
    first = await server_context(mirror(), None, 0, fallback=fallback)
    try:
        with pytest.raises(ConfigError) as caught:
            await server_context(mirror(), second, first.port, fallback=fallback)
        assert caught.value.code == "port-taken"
        assert "--port" in caught.value.hint
    finally:
        await first.shutdown()
    again = await server_context(mirror(), second, first.port, fallback=fallback)
    await again.shutdown()


async def test_a_port_that_others_would_share_is_noticed() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("::", 0))
        with pytest.raises(ConfigError, match="taken"):
            await server_context(mirror(), None, other.getsockname()[1])


@BOTH
@pytest.mark.parametrize("bind", ["192.0.2.99", "no-such-host.invalid", "not an address"])
async def test_an_address_that_is_not_ours_is_refused(fallback: bool, bind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await server_context(mirror(), bind, 0, fallback=fallback)
    assert caught.value.code == "bad-address"


@BOTH
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("coap://127.0.0.1:{closed}/x", "unreachable"),
        ("coap://no-such-host.invalid/x", "unreachable"),
        ("coap://192.0.2.254:{closed}/x", "timeout unreachable"),
    ],
)
async def test_who_is_not_there_is_a_transport_error(fallback: bool, url: str, code: str) -> None:
    client = await client_context(fallback=fallback)
    started = time.monotonic()
    try:
        message = parse_url(url.format(closed=free_port())).message(Code.GET)
        with pytest.raises(TransportError) as caught:
            await request(client, message, timeout_s=1, timing=QUICK)
        assert caught.value.code in code.split()
        assert time.monotonic() - started < 3
    finally:
        await client.shutdown()


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1"])
async def test_a_name_with_two_addresses_is_tried_at_both(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(host: str, port: int, *args: object, **more: object) -> list[object]:
        if host != "twice.example":
            return resolve(host, port, *args, **more)  # type: ignore[arg-type, return-value]  # passed on
        v6, v4 = (socket.AF_INET6, "::1", port, 0, 0), (socket.AF_INET, "127.0.0.1", port)
        return [(family, socket.SOCK_DGRAM, 17, "", tuple(at)) for family, *at in (v6, v4)]

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    server = await server_context(mirror(), bind, 0)
    client = await client_context()
    try:
        for _ in range(2):
            answer = await ask(client, f"coap://twice.example:{server.port}/mirror")
            assert answer.payload == bind.encode()
        body = b"x" * 3000
        assert (
            await ask(client, f"coap://twice.example:{server.port}/mirror", Code.POST, body)
        ).payload == body
    finally:
        await server.shutdown()
    with pytest.raises(TransportError, match="refused"):
        await ask(client, f"coap://twice.example:{server.port}/mirror")
    await client.shutdown()


def silent(_: Message, __: int) -> Iterable[Message]:
    return ()


def acknowledging(request: Message, _: int) -> Iterable[Message]:
    empty = Message(code=Code.EMPTY)
    return [empty]


def resetting(request: Message, _: int) -> Iterable[Message]:
    reset = Message(code=Code.EMPTY)
    reset.mtype = Type.RST
    return [reset]


@pytest.mark.parametrize(
    ("peer", "code"),
    [(silent, "timeout"), (acknowledging, "timeout"), (resetting, "protocol")],
    ids=["silent", "acknowledges and says no more", "resets"],
)
async def test_no_peer_is_waited_for_longer_than_asked(peer: object, code: str) -> None:
    async with scripted(peer) as (context, url, _):  # type: ignore[arg-type]  # one of the three above
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await request(context, parse_url(url).message(Code.GET), timeout_s=0.5)
        assert caught.value.code == code
        assert time.monotonic() - started < 1


async def test_a_peer_that_never_acknowledges_is_given_up_before_the_deadline() -> None:
    async with scripted(silent) as (context, url, _):
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await request(context, parse_url(url).message(Code.GET), timeout_s=30, timing=Timing(0.02, 2))
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_request_that_was_given_up_does_not_hold_back_the_next(how: str) -> None:
    def second_only(request: Message, _: int) -> Iterable[Message]:
        return [Message(code=Code.CONTENT)] if request.opt.uri_path == ("second",) else []

    async with scripted(second_only) as (context, url, peer):
        first = parse_url(f"{url}/first").message(Code.GET)
        if how == "cancelled":
            task = asyncio.create_task(request(context, first, timeout_s=30))
            await asyncio.sleep(0.1)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(TransportError):
                await request(context, first, timeout_s=0.1)
        answer = await request(context, parse_url(f"{url}/second").message(Code.GET), timeout_s=0.2)
        assert answer.code == Code.CONTENT
        before = len(peer.requests)
        await asyncio.sleep(0.6)
        assert len(peer.requests) == before, "the first request is still being repeated"


async def test_a_peer_that_is_gone_does_not_make_requests_to_others_fail() -> None:
    async with served(mirror()) as (context, url):
        gone = f"coap://127.0.0.1:{free_port()}"
        for _ in range(20):
            answers = await asyncio.gather(
                *(ask(context, f"{to}/mirror") for to in (gone, url, url, gone, url)), return_exceptions=True
            )
            lost, first, second, lost_too, third = answers
            assert isinstance(lost, TransportError)
            assert isinstance(lost_too, TransportError)
            for answer in (first, second, third):
                assert isinstance(answer, Message), answer


async def test_a_request_whose_peer_is_gone_before_it_begins_leaves_no_trace(
    recwarn: pytest.WarningsRecorder,
) -> None:
    server = await server_context(mirror(), "127.0.0.1", 0)
    pipe = Pipe(Message(code=Code.GET, uri_path=("mirror",)), server.log)
    lose_interest = pipe.on_event(lambda _event: True)
    server.render_to_pipe(pipe)
    lose_interest()
    await asyncio.sleep(0)
    await server.shutdown()
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


async def test_many_requests_at_once_are_bounded_and_all_answered() -> None:
    async with served(mirror()) as (context, url):
        answers = await asyncio.gather(*(ask(context, f"{url}/mirror") for _ in range(200)))
        assert {answer.code for answer in answers} == {Code.CONTENT}
        assert context.gate._value == stack_module.IN_FLIGHT


async def test_a_client_changes_its_port_before_message_ids_come_round() -> None:
    async with served(mirror()) as (context, url):
        first = context.request_interfaces[0]
        context.requests_left = 3
        answers = [await ask(context, f"{url}/mirror") for _ in range(6)]
        assert {answer.code for answer in answers} == {Code.CONTENT}
        assert context.request_interfaces[0] is not first
        assert context.requests_left > 3
        await asyncio.sleep(1)
        assert first.outgoing_requests is None, "the old socket is still open"


async def test_requests_that_come_while_the_port_is_changed_are_answered() -> None:
    async with served(mirror()) as (context, url):
        for _ in range(3):
            context.requests_left = 5
            answers = await asyncio.gather(*(ask(context, f"{url}/mirror") for _ in range(30)))
            assert {answer.code for answer in answers} == {Code.CONTENT}
            assert len(context.request_interfaces) == 1


async def test_an_observation_outlives_the_port_that_it_began_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "_RETIRE_LOOK_S", 0.05)
    async with device() as bench:
        message = parse_url(f"{bench.url}/log?since=1").message(Code.GET, observe=0)
        observed = bench.client.request(message, handle_blockwise=False)
        await observed.response
        old = bench.client.request_interfaces[0]
        bench.client.requests_left = 1
        await bench.get("/device")
        assert bench.client.request_interfaces[0] is not old
        await asyncio.sleep(0.3)
        bench.node.log.add("info", "test", "still there?")
        async with asyncio.timeout(5):
            heard = await anext(aiter(observed.observation))
        assert b"still there?" in heard.payload
        observed.observation.cancel()
        bench.node.log.add("info", "test", "nobody listens")  # aiocoap lets go of it with the next answer
        await asyncio.sleep(0.5)
        assert old.outgoing_requests is None, "the old socket is still open"


async def test_an_error_answer_becomes_a_remote_error() -> None:
    async with served(mirror()) as (context, url):
        answer = await ask(context, f"{url}/nothing")
        with pytest.raises(RemoteError) as caught:
            expect_success(answer)
        assert (caught.value.status, caught.value.code, caught.value.where) == (
            "4.04",
            "not-found",
            "/nothing",
        )
        assert caught.value.remote_title == "Not found"


@pytest.mark.parametrize(
    ("payload", "content_format", "detail"),
    [
        (b"", None, "Forbidden"),
        (b"no entry", 0, "no entry"),
        (b"\xff\x00", 257, "Forbidden"),
        (b"\xff\xfe", 0, "\ufffd\ufffd"),
        (b'{"title":"T","detail":"D","code":"c"}', 50, "D"),
    ],
    ids=["empty", "text", "damaged problem", "damaged text", "JSON problem"],
)
async def test_a_foreign_error_answer_says_what_it_can(
    payload: bytes, content_format: int | None, detail: str
) -> None:
    def refusing(request: Message, _: int) -> Iterable[Message]:
        return [Message(code=Code.FORBIDDEN, payload=payload, content_format=content_format)]

    async with scripted(refusing) as (context, url, _):
        with pytest.raises(RemoteError) as caught:
            expect_success(await ask(context, url))
        assert (caught.value.status, caught.value.detail) == ("4.03", detail)


def test_timing_follows_rfc_7252() -> None:
    assert RFC7252.stall_s == 93
    assert LAN.stall_s < 15
    made = transport.tuning(RFC7252, reliable=True)
    assert (made.MAX_TRANSMIT_WAIT, made.reliability) == (93, True)
    assert transport.tuning(LAN).EXCHANGE_LIFETIME == 45


def test_attached_networks_are_loopback_and_private() -> None:
    networks = transport.attached_networks()
    assert [str(network) for network in networks[:2]] == ["127.0.0.0/8", "::1/128"]
    assert all(network.is_private or network.is_link_local for network in networks)
