"""Bounded resources over real sockets: bodies, slices, Observe, errors, options, and unverified sources."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cbor2
import pytest
from aiocoap import Code, Message
from aiocoap.error import BadRequest
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.util.linkformat import Link

from device import errors
from device.api import JSON, PROBLEM_CBOR, Problem
from device.resource import (
    BoundedResource,
    BoundedSite,
    Limits,
    SourceCheck,
    Transfers,
    WellKnownCore,
    facts_of,
    fits,
    problem_message,
)
from device.transport import LAN, CoapContext, Timing, parse_url, request
from device.transport.exchange import exchange
from tests.peers import ask, served

LONG = bytes(range(256)) * 20


class Store(BoundedResource):
    """Keeps what is PUT; POST raises what it is asked to."""

    max_body = 6000
    observable = True
    rt = "test"
    ct = 42
    sz = 12

    def __init__(self, transfers: Transfers) -> None:
        super().__init__(transfers)
        self.content = LONG
        self.calls = 0

    async def render_get(self, request: Message) -> Message:
        return Message(payload=self.content, content_format=42)

    async def render_put(self, request: Message) -> Message:
        self.content = request.payload
        self.updated_state()
        return Message(code=Code.CHANGED)

    async def render_post(self, request: Message) -> Message:
        self.calls += 1
        return Message(payload=request.payload * 3)

    async def render_delete(self, request: Message) -> Message:
        raise RuntimeError("a secret that no peer should read")


class Small(Store):
    """Answers in a word."""

    short_answers = True

    async def render_post(self, request: Message) -> Message:
        self.calls += 1
        return Message(code=Code.CREATED)


class Bench:
    """A served site with one store at `/s` and one small resource at `/small`."""

    def __init__(self, limits: Limits, check: SourceCheck | None, clock: Any) -> None:
        self.log: list[str] = []
        self.transfers = Transfers(limits, self.log.append, **({"clock": clock} if clock else {}))
        self.site = BoundedSite(self.transfers, check)
        self.store = Store(self.transfers)
        self.small = Small(self.transfers)
        self.site.add_resource(["s"], self.store)
        self.site.add_resource(["small"], self.small)
        links = self.site.get_resources_as_linkheader
        self.site.add_resource([".well-known", "core"], WellKnownCore(self.transfers, links))
        self.context: CoapContext
        self.url = ""


@asynccontextmanager
async def bench(
    limits: Limits | None = None, check: SourceCheck | None = None, clock: Any = None
) -> AsyncIterator[Bench]:
    made = Bench(limits or Limits(), check, clock)
    async with served(made.site) as (context, url):
        made.context, made.url = context, url
        yield made


def block1(
    url: str, body: bytes, number: int, *, szx: int = 2, code: Code = Code.PUT, **more: Any
) -> Message:
    """One block of an upload, 64 bytes by default."""
    size = 1 << szx + 4
    part = body[number * size : (number + 1) * size]
    message = parse_url(url).message(code, part, **more)
    message.opt.block1 = (number, (number + 1) * size < len(body), szx)
    return message


async def send(context: CoapContext, message: Message) -> Message:
    return await exchange(context, message, timeout_s=5, timing=LAN)


# Bodies


async def test_a_body_in_blocks_is_assembled_once() -> None:
    async with bench() as b:
        assert (await ask(b.context, f"{b.url}/s", Code.POST, b"x" * 2000)).payload == b"x" * 6000
        assert b.store.calls == 1


@pytest.mark.parametrize(
    ("size1", "size"),
    [(None, 6001), (6001, 64), (2**31, 64)],
    ids=["it grows", "announced", "announced huge"],
)
async def test_a_body_over_the_limit_is_refused_before_it_is_kept(size1: int | None, size: int) -> None:
    async with bench() as b:
        body = b"x" * size + b"x" * 64
        for number in range(200):
            answer = await send(b.context, block1(f"{b.url}/s", body, number, size1=size1))
            if answer.code != Code.CONTINUE:
                break
        assert (answer.code, answer.opt.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 6000)
        assert number == (0 if size1 else 93)
        assert not b.transfers._uploads
        assert b.store.content == LONG


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([1], Code.REQUEST_ENTITY_INCOMPLETE),
        ([0, 2], Code.REQUEST_ENTITY_INCOMPLETE),
        ([0, 1, 1], Code.REQUEST_ENTITY_INCOMPLETE),
        ([0, 1, 0, 1, 2, 3], Code.CHANGED),
    ],
    ids=["begins in the middle", "skips", "repeats", "begins again"],
)
async def test_blocks_out_of_order(numbers: list[int], code: Code) -> None:
    async with bench() as b:
        for number in numbers:
            answer = await send(b.context, block1(f"{b.url}/s", b"x" * 200, number))
        assert answer.code == code
        assert b.store.content == (b"x" * 200 if code == Code.CHANGED else LONG)


@pytest.mark.parametrize(
    ("payload", "block", "code"),
    [
        (b"x" * 63, (0, True, 2), Code.BAD_REQUEST),
        (b"x" * 65, (0, True, 2), Code.BAD_REQUEST),
        (b"x" * 65, (0, False, 2), Code.BAD_REQUEST),
        (b"x" * 1024, (0, True, 7), Code.BAD_OPTION),
        (b"", (1048575, True, 6), Code.REQUEST_ENTITY_TOO_LARGE),
    ],
    ids=["short", "long", "long last", "reserved size", "farthest number"],
)
async def test_a_block_that_is_not_what_it_says(
    payload: bytes, block: tuple[int, bool, int], code: Code
) -> None:
    async with bench() as b:
        message = parse_url(f"{b.url}/s").message(Code.PUT, payload, block1=block)
        assert (await send(b.context, message)).code == code


async def test_unfinished_uploads_are_bounded_and_make_room() -> None:
    now = [0.0]
    limits = Limits(uploads=4, uploads_per_host=4)
    async with bench(limits, clock=lambda: now[0]) as b:

        async def begin(tag: int) -> Message:
            return await send(b.context, block1(f"{b.url}/s", b"x" * 200, 0, uri_query=[str(tag)]))

        for tag in range(4):
            assert (await begin(tag)).code == Code.CONTINUE
        busy = await begin(4)
        assert (busy.code, busy.opt.max_age) == (Code.SERVICE_UNAVAILABLE, 2)
        now[0] += limits.upload_idle_s + 1
        assert (await begin(5)).code == Code.CONTINUE
        assert len(b.transfers._uploads) == 1


async def test_an_idle_upload_gives_its_place_to_a_newcomer() -> None:
    now = [0.0]
    async with bench(Limits(uploads=2, uploads_per_host=9), clock=lambda: now[0]) as b:
        for tag in range(2):
            await send(b.context, block1(f"{b.url}/s", b"x" * 200, 0, uri_query=[str(tag)]))
        now[0] += 5
        answer = await send(b.context, block1(f"{b.url}/s", b"x" * 200, 0, uri_query=["new"]))
        assert answer.code == Code.CONTINUE
        late = await send(b.context, block1(f"{b.url}/s", b"x" * 200, 1, uri_query=["0"]))
        assert late.code == Code.REQUEST_ENTITY_INCOMPLETE


async def test_a_server_of_small_blocks_says_so() -> None:
    async with bench(Limits(max_block=64)) as b:
        assert (await ask(b.context, f"{b.url}/s", Code.POST, b"x" * 2000)).payload == b"x" * 6000
        first = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET))
        assert (len(first.payload), first.opt.block2) == (64, (0, True, 2))
        scaled = parse_url(f"{b.url}/s").message(Code.GET, block2=(1, False, 6))
        assert (await send(b.context, scaled)).opt.block2 == (16, True, 2)


# Answers


async def test_an_answer_longer_than_a_block_has_etag_and_size() -> None:
    async with bench() as b:
        first = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET))
        assert (first.opt.block2, first.opt.size2, len(first.opt.etag)) == ((0, True, 6), len(LONG), 8)
        again = parse_url(f"{b.url}/s").message(Code.GET)
        again.opt.etags = [b"other", first.opt.etag]
        valid = await send(b.context, again)
        assert (valid.code, valid.payload, valid.opt.etag) == (Code.VALID, b"", first.opt.etag)


async def test_later_blocks_are_of_the_state_of_the_first() -> None:
    async with bench() as b:
        first = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, block2=(0, False, 6)))
        b.store.content = b"y" * 5120
        later = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, block2=(1, False, 6)))
        assert (later.payload, later.opt.etag) == (LONG[1024:2048], first.opt.etag)


async def test_without_the_kept_answer_a_changed_state_shows_in_the_etag() -> None:
    async with bench(Limits(answers=0)) as b:
        first = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, block2=(0, False, 6)))
        b.store.content = b"y" * 5120
        later = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, block2=(1, False, 6)))
        assert later.payload == b"y" * 1024
        assert later.opt.etag != first.opt.etag


async def test_kept_answers_are_bounded_in_bytes() -> None:
    async with bench(Limits(answer_bytes=3 * len(LONG))) as b:
        for tag in range(10):
            await send(b.context, parse_url(f"{b.url}/s?{tag}").message(Code.GET))
        assert len(b.transfers._answers) == 3
        assert b.transfers._answer_bytes == 3 * len(LONG)


async def test_a_block_of_an_answer_never_repeats_the_action() -> None:
    async with bench(Limits(answers=0)) as b:
        message = parse_url(f"{b.url}/s").message(Code.POST, b"x" * 600, block2=(1, False, 6))
        assert (await send(b.context, message)).code == Code.REQUEST_ENTITY_INCOMPLETE
        assert b.store.calls == 0


@pytest.mark.parametrize("number", [5, 1 << 19])
async def test_a_block_behind_the_end_is_refused(number: int) -> None:
    async with bench() as b:
        message = parse_url(f"{b.url}/s").message(Code.GET, block2=(number, False, 6))
        assert (await send(b.context, message)).code == Code.BAD_REQUEST


# Observe


@asynccontextmanager
async def observing(b: Bench, path: str = "s", **options: Any) -> AsyncIterator[tuple[Message, Any]]:
    message = parse_url(f"{b.url}/{path}").message(Code.GET, observe=0, **options)
    running = b.context.request(message)
    try:
        yield await asyncio.wait_for(running.response, 5), running.observation
    finally:
        if running.observation is not None and not running.observation.cancelled:
            running.observation.cancel()


async def test_an_observed_body_longer_than_a_block_arrives_whole() -> None:
    async with bench() as b, observing(b) as (first, observation):
        assert first.payload == LONG
        notifications = aiter(observation)
        for fill in b"abc":
            await ask(b.context, f"{b.url}/s", Code.PUT, bytes([fill]) * 4000)
            notified = await asyncio.wait_for(anext(notifications), 5)
            assert notified.payload == bytes([fill]) * 4000
        assert b.store.observers == 1


async def test_changes_in_quick_succession_end_with_the_last() -> None:
    async with bench() as b, observing(b) as (_, observation):
        notifications = aiter(observation)
        for number in range(100):
            b.store.content = str(number).encode()
            b.store.updated_state()
            await asyncio.sleep(0)
        seen = 0
        while (await asyncio.wait_for(anext(notifications), 5)).payload != b"99":
            seen += 1
        assert seen < 5


async def test_observers_are_bounded_and_the_next_one_gets_a_plain_answer() -> None:
    async with bench(Limits(observers=1)) as b, observing(b) as (first, _):
        assert first.opt.observe is not None
        second = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, observe=0))
        assert (second.code, second.opt.observe) == (Code.CONTENT, None)


async def test_an_observer_that_is_gone_is_dropped() -> None:
    # The first notification that nobody takes shows it: its socket is closed, an ICMP error comes back.
    async with bench(Limits(observer_confirm_s=0.2)) as b:
        async with served(BoundedSite(Transfers())) as (other, _):
            message = parse_url(f"{b.url}/s").message(Code.GET, observe=0)
            await asyncio.wait_for(other.request(message, handle_blockwise=False).response, 5)
            assert b.transfers.observers == 1
        for _ in range(100):
            if not b.transfers.observers:
                break
            await asyncio.sleep(0.05)
        assert (b.transfers.observers, b.store.observers) == (0, 0)


async def test_a_silent_observer_piles_up_nothing_and_is_dropped() -> None:
    limits = Limits(notify_interval_s=0.0, timing=Timing(0.1, 1))
    async with bench(limits) as b:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.connect(("127.0.0.1", int(b.url.rpartition(":")[2])))
            silent.setblocking(False)
            silent.send(bytes.fromhex("41010001aa6051") + b"s")  # CON GET, Observe 0, /s
            await asyncio.sleep(0.05)
            for _ in range(50):
                b.store.updated_state()
                await asyncio.sleep(0.002)
            assert b.transfers.observers == 1
            await asyncio.sleep(0.6)
            assert b.transfers.observers == 0
            sent = set()
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent.add(silent.recv(4096)[2:4])
        assert len(sent) == 2, "the answer, and one notification with its repetition"


async def test_an_idle_observer_is_asked_whether_it_lives() -> None:
    async with bench(Limits(observer_confirm_s=0.2)) as b, observing(b) as (_, observation):
        again = await asyncio.wait_for(anext(aiter(observation)), 5)
        assert again.payload == LONG


async def test_an_error_ends_the_observation() -> None:
    async with bench() as b:
        b.store.render_get = raising(errors.NotFound("gone"))  # type: ignore[method-assign]  # for the test
        answer = await send(b.context, parse_url(f"{b.url}/s").message(Code.GET, observe=0))
        assert (answer.code, answer.opt.observe) == (Code.NOT_FOUND, None)
        assert b.transfers.observers == 0


def raising(error: Exception) -> Any:
    async def render(request: Message) -> Message:
        raise error

    return render


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MalformedRequest("d"), "4.00"),
        (errors.Forbidden("d"), "4.03"),
        (errors.NotFound("d"), "4.04"),
        (errors.MethodNotAllowed("d"), "4.05"),
        (errors.NotAcceptable("d"), "4.06"),
        (errors.Incomplete("d"), "4.08"),
        (errors.Conflict("d"), "4.09"),
        (errors.PreconditionFailed("d"), "4.12"),
        (errors.TooLarge("d", limit=7), "4.13"),
        (errors.UnsupportedFormat("d"), "4.15"),
        (errors.Unprocessable("d"), "4.22"),
        (errors.LoadError("d"), "4.22"),
        (errors.VerifyError("d", findings=[{"code": "x"}]), "4.22"),
        (errors.StorageError("d"), "5.00"),
        (errors.MicroBpfError("d"), "5.00"),
        (errors.TransportError("d"), "5.02"),
        (errors.Unavailable("d", retry_after_s=9), "5.03"),
        (BadRequest("d"), "4.00"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_error_has_its_code_and_says_itself(error: Exception, code: str) -> None:
    for accept in (None, JSON):
        answer = problem_message(error, accept)
        problem = Problem.from_payload(answer.payload, answer.opt.content_format)
        assert answer.code.dotted == code
        assert answer.opt.content_format == (JSON if accept == JSON else PROBLEM_CBOR)
        assert problem is not None
        assert problem.detail == "d"
        assert answer.opt.size1 == getattr(error, "limit", None)
        assert answer.opt.max_age == getattr(error, "retry_after_s", None)


async def test_an_unforeseen_error_is_5_00_without_its_text_and_one_line_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with bench() as b:
        answer = await ask(b.context, f"{b.url}/s", Code.DELETE)
        assert answer.code == Code.INTERNAL_SERVER_ERROR
        assert b"secret" not in answer.payload
        problem = Problem.from_payload(answer.payload, PROBLEM_CBOR)
        assert problem is not None
        reference = problem.detail.split()[-1]
        [line] = b.log
        assert line.startswith(f"{reference}: DELETE /s: RuntimeError at test_resource.py:")
        assert line.endswith(": a secret that no peer should read")
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_long_problem_is_sliced() -> None:
    async with bench() as b:
        findings = [{"code": "x" * 50, "insn": number} for number in range(100)]
        b.store.render_post = raising(errors.VerifyError("d", findings=findings))  # type: ignore[method-assign]  # for the test
        answer = await ask(b.context, f"{b.url}/s", Code.POST, b"x" * 3000)
        problem = Problem.from_payload(answer.payload, answer.opt.content_format)
        assert problem is not None
        assert problem.extra["findings"] == findings


@pytest.mark.parametrize(
    ("path", "code", "answer"),
    [
        ("s", Code.FETCH, "4.05"),
        ("s", Code.iPATCH, "4.05"),
        ("nothing", Code.GET, "4.04"),
        ("", Code.GET, "4.04"),
    ],
)
async def test_what_is_not_offered(path: str, code: Code, answer: str) -> None:
    async with bench() as b:
        refused = await ask(b.context, f"{b.url}/{path}", code)
        assert refused.code.dotted == answer
        assert Problem.from_payload(refused.payload, refused.opt.content_format) is not None


@pytest.mark.parametrize("code", [8, 31])
async def test_a_method_that_nobody_knows(code: int) -> None:
    async with bench() as b:
        assert (await ask(b.context, f"{b.url}/s", Code(code))).code == Code.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([(9, b"")], "4.02"),
        ([(13, b"\x01")], "4.02"),
        ([(65001, b"x")], "4.02"),
        ([(65000, b"x")], "2.05"),
        ([(17, b"\x2a"), (17, b"\x2a")], "4.02"),
        ([(35, b"coap://elsewhere/")], "5.05"),
        ([(39, b"http")], "5.05"),
        ([(3, b"any.name"), (7, b"\x01")], "2.05"),
    ],
    ids=[
        "OSCORE",
        "path abbreviation",
        "unknown critical",
        "unknown elective",
        "repeated",
        "proxy",
        "scheme",
        "host",
    ],
)
async def test_critical_options(options: list[tuple[int, bytes]], code: str) -> None:
    async with bench() as b:
        message = parse_url(f"{b.url}/s").message(Code.GET)
        for number, value in options:
            message.opt.add_option(OptionNumber(number).create_option(decode=value))
        assert (await send(b.context, message)).code.dotted == code


@pytest.mark.parametrize(
    ("option", "value"),
    [("if_match", [b"zzzz"]), ("if_match", [b"one", b"two"]), ("if_match", [b""]), ("if_none_match", True)],
    ids=["If-Match", "several", "anything", "If-None-Match"],
)
@pytest.mark.parametrize("code", [Code.GET, Code.PUT, Code.POST, Code.DELETE])
async def test_a_conditional_request_is_refused_and_not_carried_out(
    code: Code, option: str, value: Any
) -> None:
    async with bench() as b:
        message = parse_url(f"{b.url}/s").message(code, b"changed")
        setattr(message.opt, option, value)
        answer = await send(b.context, message)
        assert answer.code == Code.PRECONDITION_FAILED
        assert (b.store.content, b.store.calls, b.log) == (LONG, 0, [])


async def test_a_condition_is_refused_at_the_first_block() -> None:
    async with bench() as b:
        message = block1(f"{b.url}/s", b"x" * 200, 0, if_none_match=True)
        assert (await send(b.context, message)).code == Code.PRECONDITION_FAILED
        assert not b.transfers._uploads


# /.well-known/core


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("", ["/.well-known/core", "/s", "/small"]),
        ("?rt=test", ["/s", "/small"]),
        ("?rt=te*", ["/s", "/small"]),
        ("?href=/sm*", ["/small"]),
        ("?obs=*&sz=12", ["/s", "/small"]),
        ("?obs=x", []),
        ("?ct=40", ["/.well-known/core"]),
        ("?nothing", ["/.well-known/core", "/s", "/small"]),
    ],
)
async def test_the_listing_can_be_filtered(query: str, paths: list[str]) -> None:
    async with bench() as b:
        answer = await ask(b.context, f"{b.url}/.well-known/core{query}")
        listed = answer.payload.decode().split(",") if answer.payload else []
        assert sorted(link[1 : link.index(">")] for link in listed) == paths
        refused = await ask(b.context, f"{b.url}/.well-known/core", accept=60)
        assert refused.code == Code.NOT_ACCEPTABLE


def test_lists_in_attributes_match_by_their_parts() -> None:
    facts = facts_of(Link("/x", [("rt", "one two"), ("title", "one two"), ("obs", None)]))
    assert fits(facts, ["rt=two", "title=one two", "obs="])
    assert not fits(facts, ["title=two"])


# Unverified sources


async def test_an_unverified_source_gets_short_answers_or_a_question() -> None:
    async with bench(check=SourceCheck()) as b:
        url = parse_url(f"{b.url}/s")

        async def plain(code: Code, path: str) -> Message:
            running = b.context.request(parse_url(f"{b.url}/{path}").message(code), handle_blockwise=False)
            return await asyncio.wait_for(running.response, 5)

        asked = await plain(Code.GET, "s")
        assert (asked.code, len(asked.opt.echo)) == (Code.UNAUTHORIZED, 12)
        assert (await plain(Code.POST, "s")).code == Code.UNAUTHORIZED
        assert b.store.calls == 0
        assert (await plain(Code.POST, "small")).code == Code.CREATED
        answer = await request(b.context, url.message(Code.GET), timeout_s=5)
        assert (answer.code, answer.payload) == (Code.CONTENT, LONG)
        assert (await plain(Code.POST, "s")).code == Code.CHANGED


@pytest.mark.parametrize(
    ("path", "options", "code"),
    [
        ("nope", [], "4.04"),
        ("", [], "4.04"),
        ("s", [(9, b"")], "4.02"),
        ("s", [(39, b"http")], "5.05"),
    ],
    ids=["path", "root", "option", "proxy"],
)
async def test_an_unverified_source_gets_no_long_refusal_either(
    path: str, options: list[tuple[int, bytes]], code: str
) -> None:
    async with bench(check=SourceCheck()) as b:

        async def plain(**more: Any) -> tuple[Message, Message]:
            message = parse_url(f"{b.url}/{path}").message(Code.GET, **more)
            for number, value in options:
                message.opt.add_option(OptionNumber(number).create_option(decode=value))
            running = b.context.request(message, handle_blockwise=False)
            return message, await asyncio.wait_for(running.response, 5)

        asking, challenge = await plain()
        assert (challenge.code, len(challenge.opt.echo)) == (Code.UNAUTHORIZED, 12)
        assert len(challenge.payload) <= 3 * len(asking.encode())
        _, answer = await plain(echo=challenge.opt.echo)
        assert answer.code.dotted == code
        assert (await plain())[1].code.dotted == code, "the address is known now"


async def test_a_refusal_that_is_short_for_its_request_needs_no_proof() -> None:
    async with bench(check=SourceCheck()) as b:
        message = parse_url(f"{b.url}/nope").message(Code.PUT, b"x" * 200)
        answer = await asyncio.wait_for(b.context.request(message, handle_blockwise=False).response, 5)
        assert answer.code == Code.NOT_FOUND


@pytest.mark.parametrize("echo", [b"x", b"\x00" * 12, b"y" * 40], ids=["short", "zeros", "long"])
async def test_a_made_up_echo_proves_nothing(echo: bytes) -> None:
    async with bench(check=SourceCheck()) as b:
        answer = await ask(b.context, f"{b.url}/s", echo=echo)
        assert answer.code == Code.UNAUTHORIZED


async def test_an_echo_is_good_for_its_address_and_a_minute() -> None:
    now = [1000.0]
    check = SourceCheck(clock=lambda: now[0], key=b"k")

    class Remote:
        hostinfo = "192.0.2.1:7"

    asking = Message(code=Code.GET)
    asking.remote = Remote()
    asking.opt.echo = check.challenge(asking).opt.echo
    other = Message(code=Code.GET, echo=asking.opt.echo)
    other.remote = type("Other", (), {"hostinfo": "192.0.2.1:8"})()
    assert not check.verified(other)
    now[0] += 61
    assert not check.verified(asking)
    now[0] -= 30
    assert check.verified(asking)
    asking.opt.echo = None
    assert check.verified(asking)
    now[0] += 301
    assert not check.verified(asking)


def test_problem_details_are_rfc_9290() -> None:
    answer = problem_message(errors.NotFound("no such slot", where="slot", hint="there are 5"))
    assert cbor2.loads(answer.payload) == {
        -1: "Not found",
        -2: "no such slot",
        "tag:micro-bpf.example,2026:error": {"code": "not-found", "where": "slot", "hint": "there are 5"},
    }
