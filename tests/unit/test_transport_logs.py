"""No peer prints a traceback: what aiocoap and asyncio report is one line each."""

from __future__ import annotations

import asyncio
import logging
import resource

import pytest
from aiocoap import Code, Message

from device.resource import BoundedSite, Transfers
from device.transport import coap_logger, free_port, parse_url, raise_descriptor_limit, report_loop_errors
from device.transport.logs import CoapLog
from device.transport.messages import BoundedMessages
from tests.peers import ask, exchange_raw, served

BOTH = pytest.mark.parametrize("fallback", [False, True], ids=["udp6", "simple6"])


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@BOTH
@pytest.mark.parametrize(
    ("datagram", "answer"),
    [
        (b"\x40\x01\x12\x34\xb2\xff\xfe", b"\x70\x00\x12\x34"),
        (b"\x4f\x01\x12\x34", b"\x70\x00\x12\x34"),
        (b"\x50\x01\x12\x34\xb2\xff\xfe", None),
        (b"\x40\x00\x12\x34", b"\x70\x00\x12\x34"),
        (b"", None),
        (b"x" * 5000, None),
    ],
    ids=["confirmable", "token length", "non-confirmable", "ping", "empty", "too long to be received whole"],
)
async def test_malformed_datagrams_are_reset_or_ignored(
    fallback: bool, datagram: bytes, answer: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    async with served(BoundedSite(Transfers()), fallback=fallback) as (context, url):
        assert await asyncio.to_thread(exchange_raw, port_of(url), datagram) == answer
        assert (await ask(context, f"{url}/x")).code == Code.NOT_FOUND
    assert "".join(capfd.readouterr()) == ""


@BOTH
async def test_an_error_inside_aiocoap_is_one_line_and_the_server_goes_on(
    fallback: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dispatch = BoundedMessages.dispatch_message

    def failing(self: BoundedMessages, message: Message) -> None:
        if message.opt.uri_path == ("bad",):
            raise KeyError("backlog")
        dispatch(self, message)

    monkeypatch.setattr(BoundedMessages, "dispatch_message", failing)
    async with served(BoundedSite(Transfers()), fallback=fallback) as (context, url):
        await asyncio.to_thread(exchange_raw, port_of(url), b"\x50\x01\x12\x34\xb3bad")
        assert (await ask(context, f"{url}/x")).code == Code.NOT_FOUND
    assert caplog.records
    assert all("KeyError" in record.getMessage() for record in caplog.records)
    assert all(record.exc_info is None for record in caplog.records)


def test_a_traceback_becomes_the_name_of_its_error(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("what happened")
    except ValueError as error:
        coap_logger().error("rendering %s", "/x", exc_info=error)
    assert caplog.messages == ["rendering /x (ValueError: what happened)"]
    assert "Traceback" not in caplog.text


def test_the_logger_is_quiet_unless_it_was_told_otherwise() -> None:
    assert not coap_logger().isEnabledFor(logging.WARNING)
    assert len(coap_logger().filters) == 1


def test_what_fails_after_its_sender_gave_up_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    log = CoapLog(coap_logger(), {})
    log.error("Discarded exception in %r", "event", exception=ValueError("late"))
    log.getChild("part").error("of a part")
    assert caplog.messages == ["of a part"]


async def test_errors_of_callbacks_and_lost_tasks_are_one_line() -> None:
    lines: list[str] = []
    loop = asyncio.get_running_loop()
    report_loop_errors(loop, lines.append)

    def failing() -> None:
        raise RuntimeError("in a callback")

    loop.call_soon(failing)
    await asyncio.sleep(0.01)
    loop.call_exception_handler({"message": "a task was lost"})
    assert len(lines) == 2
    assert "RuntimeError: in a callback" in lines[0]
    assert lines[1] == "a task was lost"


async def test_an_icmp_error_without_a_waiting_request_is_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async with served(BoundedSite(Transfers())) as (context, url):
        message = parse_url(f"coap://127.0.0.1:{free_port()}/x").message(Code.GET)
        running = context.request(message, handle_blockwise=False)
        await asyncio.sleep(0)
        running.response.cancel()
        await asyncio.sleep(0.1)
        assert (await ask(context, f"{url}/x")).code == Code.NOT_FOUND
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
