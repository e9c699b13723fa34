"""Block-wise transfers against peers that truncate, repeat, skip, enlarge, replace and fall silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from aiocoap import Code, Message

from device.api import Problem
from device.errors import MicroBpfError, RemoteError, TooLarge, TransportError
from device.transport import LAN, Timing, allowance_s, download, expect_success, request, upload
from device.transport.address import parse_url
from tests.peers import scripted

BODY = bytes(range(256))
SIZE = 64
QUICK = Timing(0.05, 3)


def block(request: Message, body: bytes = BODY, **changes: Any) -> Message:
    """The right answer to a request for a block, except for what `changes` says."""
    asked = request.opt.block2
    start = asked.block_number * asked.size
    fields: dict[str, Any] = {
        "code": Code.CONTENT,
        "payload": body[start : start + asked.size],
        "block2": (asked.block_number, start + asked.size < len(body), asked.size_exponent),
        "etag": b"one",
    }
    if start == 0:
        fields["size2"] = len(body)
    return Message(**{**fields, **changes})


def on(number: int, change: Callable[[Message], Message]) -> Callable[[Message, int], Iterable[Message]]:
    """A peer that answers rightly but for the n-th request."""

    def answer(request: Message, count: int) -> Iterable[Message]:
        return [change(request) if count == number else block(request)]

    return answer


NO_FILE = Problem("Not found", "there is no file of this name", "not-found", "/nothing.bin", "see /")
PROBLEM = NO_FILE.to_cbor()
REFUSALS: dict[str, tuple[Callable[[Message, int], Iterable[Message]], str]] = {
    "in blocks": (lambda r, _: [refusal(r)], "there is no file of this name"),
    "in one": (
        lambda _r, _: [Message(code=Code.NOT_FOUND, payload=PROBLEM, content_format=257)],
        "there is no file of this name",
    ),
    "cut off": (lambda r, n: [refusal(r)] if n == 0 else [Message(code=Code.NOT_FOUND)], "Not Found"),
    "another code": (lambda r, n: [refusal(r)] if n == 0 else [block(r)], "Not Found"),
    "without end": (lambda r, _: [refusal(r, more=True)], "Not Found"),
    "then silence": (lambda r, n: [refusal(r)] if n == 0 else [], "Not Found"),
}


def refusal(request: Message, *, more: bool = False) -> Message:
    """A block of problem details as the answer to a request for a block."""
    number, size, exponent = request.opt.block2.block_number, request.opt.block2.size, 2
    body = PROBLEM * 40 if more else PROBLEM
    rest = (number + 1) * size < len(body)
    part = body[number * size : (number + 1) * size]
    return Message(
        code=Code.NOT_FOUND, payload=part, content_format=257, etag=b"p", block2=(number, rest, exponent)
    )


@pytest.mark.parametrize(("answer", "detail"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_says_why_also_in_small_blocks(
    answer: Callable[[Message, int], Iterable[Message]], detail: str
) -> None:
    async with scripted(answer) as (context, url, _):
        with pytest.raises(RemoteError) as caught:
            await download(context, f"{url}/nothing.bin", limit=256, block_size=SIZE, timing=QUICK)
    assert (caught.value.status, caught.value.detail) == ("4.04", detail)


WRONG = {
    "another ETag": (1, lambda r: block(r, etag=b"two"), TransportError, "changed"),
    "no ETag": (1, lambda r: block(r, etag=None), TransportError, "changed"),
    "an ETag from the second block on": (0, lambda r: block(r, etag=None), TransportError, "changed"),
    "the block before": (2, lambda r: block(r, block2=(1, True, 2)), TransportError, "protocol"),
    "the block after": (1, lambda r: block(r, block2=(2, True, 2)), TransportError, "protocol"),
    "not the first block": (0, lambda r: block(r, block2=(1, True, 2)), TransportError, "protocol"),
    "a larger first block": (
        0, lambda r: block(r, payload=BODY[:128], block2=(0, True, 3)), TransportError, "protocol",
    ),
    "a larger later block": (
        2, lambda r: block(r, payload=BODY[128:256], block2=(1, False, 3)), TransportError, "protocol",
    ),
    "a reserved block size": (0, lambda r: block(r, block2=(0, True, 7)), TransportError, "protocol"),
    "no block number": (1, lambda r: block(r, block2=None), TransportError, "protocol"),
    "a short block": (1, lambda r: block(r, payload=b"x" * 63), TransportError, "protocol"),
    "a long block": (1, lambda r: block(r, payload=b"x" * 65), TransportError, "protocol"),
    "an empty block": (1, lambda r: block(r, payload=b""), TransportError, "protocol"),
    "an empty last block": (
        3, lambda r: block(r, payload=b"", block2=(3, False, 2)), TransportError, "protocol",
    ),
    "the end too early": (1, lambda r: block(r, block2=(1, False, 2)), TransportError, "protocol"),
    "more after the end": (3, lambda r: block(r, block2=(3, True, 2)), TransportError, "protocol"),
    "another announced size": (1, lambda r: block(r, size2=512), TransportError, "protocol"),
    "less than announced": (0, lambda r: block(r, size2=257), TransportError, "protocol"),
    "more than announced": (0, lambda r: block(r, size2=100), TransportError, "protocol"),
    "an error in the middle": (2, lambda r: Message(code=Code.NOT_FOUND), RemoteError, "remote"),
    "a server error": (0, lambda r: Message(code=Code.INTERNAL_SERVER_ERROR), RemoteError, "remote"),
    "2.03 without asking": (0, lambda r: Message(code=Code.VALID), TransportError, "protocol"),
    "2.04 to a GET": (1, lambda r: block(r, code=Code.CHANGED), TransportError, "protocol"),
    "a huge announcement": (0, lambda r: block(r, size2=0xFFFFFFFF), TooLarge, "too-large"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_block_ends_the_transfer(case: str) -> None:
    number, change, kind, code = WRONG[case]
    async with scripted(on(number, change)) as (context, url, _):
        with pytest.raises(MicroBpfError) as caught:
            # The limit leaves room: what is refused here is refused for being wrong, not for being long.
            await download(context, f"{url}/x", limit=1000, block_size=SIZE, timeout_s=5)
        assert type(caught.value) is kind
        assert caught.value.code == code


ELSEWHERE: dict[str, Any] = {"location_path": ("elsewhere",), "location_query": ("x=1",)}


@pytest.mark.parametrize("code", [Code.CONTENT, Code.NOT_FOUND, Code.CREATED], ids=str)
async def test_nothing_that_an_answer_says_leads_elsewhere(code: Code) -> None:
    """CoAP has no redirects; options that other protocols would follow are not followed."""

    def answer(request: Message, _count: int) -> Iterable[Message]:
        assert request.opt.uri_path == ("x",)
        return [block(request, code=code, **ELSEWHERE)]

    async with scripted(answer) as (context, url, peer):
        if code is Code.CONTENT:
            assert await download(context, f"{url}/x", limit=256, block_size=SIZE, timeout_s=5) == BODY
        else:
            with pytest.raises(MicroBpfError):
                await download(context, f"{url}/x", limit=256, block_size=SIZE, timeout_s=5)
        assert {request.opt.uri_path for request in peer.requests} == {("x",)}


GONE = {
    "another ETag": lambda r: block(r, etag=b"two"),
    "an error": lambda _r: Message(code=Code.BAD_REQUEST),
}


@pytest.mark.parametrize("gone", GONE)
async def test_a_get_whose_answer_changes_in_between_begins_anew(gone: str) -> None:
    async with scripted(on(2, GONE[gone])) as (context, url, peer):
        message = parse_url(f"{url}/x").message(Code.GET, block2=(0, False, 2))
        answer = await request(context, message, timeout_s=5)
        assert answer.payload == BODY
        assert [asked.opt.block2.block_number for asked in peer.requests] == [0, 1, 2, 0, 1, 2, 3]
        assert [asked.opt.request_tag for asked in peer.requests] == [()] * 3 + [(b"\0\1",)] * 4


@pytest.mark.parametrize(("method", "requests"), [(Code.GET, 18), (Code.POST, 2)])
async def test_what_always_changes_is_given_up(method: Code, requests: int) -> None:
    def restless(asked: Message, count: int) -> Iterable[Message]:
        return [block(asked, etag=b"%d" % count)]

    async with scripted(restless) as (context, url, peer):
        message = parse_url(f"{url}/x").message(method, block2=(0, False, 2))
        with pytest.raises(TransportError) as caught:
            await request(context, message, timeout_s=5)
        assert caught.value.code == "changed"
        assert len(peer.requests) == requests


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 256])
@pytest.mark.parametrize("block_size", [16, 64, 100, 1024, 4096])
async def test_a_right_transfer_of_any_length_arrives(size: int, block_size: int) -> None:
    seen: list[tuple[int, int | None]] = []

    def answer(request: Message, _: int) -> Iterable[Message]:
        return [block(request, BODY[:size])]

    async with scripted(answer) as (context, url, peer):
        data = await download(
            context, f"{url}/x", limit=size, block_size=block_size, progress=lambda *now: seen.append(now)
        )
        assert data == BODY[:size]
        assert seen[-1] == (size, size)
        assert len(seen) == len(peer.requests)
        assert {message.opt.block2.size for message in peer.requests} == {
            min(1 << block_size.bit_length() - 1, 1024)
        }


async def test_a_peer_without_block_wise_transfer_is_served_too() -> None:
    async with scripted(lambda r, _: [Message(code=Code.CONTENT, payload=BODY)]) as (context, url, _):
        assert await download(context, f"{url}/x", limit=256) == BODY
        with pytest.raises(TooLarge):
            await download(context, f"{url}/x", limit=255)


async def test_a_peer_may_choose_smaller_blocks() -> None:
    def answer(request: Message, _: int) -> Iterable[Message]:
        start = request.opt.block2.start
        return [block(request, payload=BODY[start : start + 16], block2=(start // 16, start + 16 < 256, 0))]

    async with scripted(answer) as (context, url, peer):
        assert await download(context, f"{url}/x", limit=256, block_size=SIZE) == BODY
        assert [message.opt.block2.size for message in peer.requests] == [64] + [16] * 15


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_no_byte_is_asked_for_beyond_the_limit(announced: bool) -> None:
    def endless(request: Message, _: int) -> Iterable[Message]:
        asked = request.opt.block2
        size2 = 1 << 31 if announced and asked.block_number == 0 else None
        return [block(request, payload=b"x" * 64, block2=(asked.block_number, True, 2), size2=size2)]

    async with scripted(endless) as (context, url, peer):
        with pytest.raises(TooLarge) as caught:
            await download(context, f"{url}/x", limit=640, block_size=SIZE)
        assert caught.value.limit == 640
        assert len(peer.requests) == (1 if announced else 10)


async def test_repeated_and_late_answers_do_no_harm() -> None:
    previous: list[bytes] = []

    def twice(request: Message, _: int) -> Iterable[Message | bytes]:
        answer = block(request)
        again, previous[:] = list(previous), []
        answer.token, answer.mid = request.token, request.mid
        answer.mtype = 2  # an acknowledgement
        previous.append(answer.encode())
        return [*again, answer, previous[0], b"\x00garbage", *again]

    async with scripted(twice) as (context, url, _):
        assert await download(context, f"{url}/x", limit=256, block_size=SIZE) == BODY


async def test_a_peer_that_falls_silent_ends_the_transfer_in_bounded_time() -> None:
    def two_blocks(request: Message, count: int) -> Iterable[Message]:
        return [block(request)] if count < 2 else []

    async with scripted(two_blocks) as (context, url, _):
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await download(context, f"{url}/x", limit=1 << 20, block_size=SIZE, timing=QUICK)
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < QUICK.stall_s + 1


async def test_a_peer_that_drips_is_ended_by_the_deadline() -> None:
    def answer(request: Message, _: int) -> Iterable[Message]:
        return [block(request, b"x" * 100_000)]

    async with scripted(answer) as (context, url, _):
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await download(context, f"{url}/x", limit=100_000, block_size=16, timeout_s=0.2)
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < 1


async def test_a_download_can_be_cancelled() -> None:
    async with scripted(lambda r, n: [block(r)] if n < 2 else []) as (context, url, _):
        task = asyncio.create_task(download(context, f"{url}/x", limit=256))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_the_allowance_grows_with_the_size() -> None:
    assert allowance_s(0, 64, LAN) < allowance_s(640, 64, LAN) < allowance_s(4096, 64, LAN) < 100
    assert allowance_s(4096, 1024, LAN) < allowance_s(4096, 64, LAN)


def receiver(store: bytearray, agreed: int = 6) -> Callable[[Message, int], Iterable[Message]]:
    """A peer that takes a body in blocks, of a size it chooses."""

    def answer(request: Message, _: int) -> Iterable[Message]:
        part = request.opt.block1
        store.extend(request.payload)
        if part is None:
            return [Message(code=Code.CREATED)]
        echoed = (part.block_number, part.more, min(part.size_exponent, agreed))
        return [Message(code=Code.CONTINUE if part.more else Code.CREATED, block1=echoed)]

    return answer


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 5000])
@pytest.mark.parametrize("agreed", [6, 2])
async def test_an_upload_of_any_length_arrives(size: int, agreed: int) -> None:
    store = bytearray()
    body = bytes(index % 251 for index in range(size))
    async with scripted(receiver(store, agreed)) as (context, url, peer):
        answer = await upload(context, f"{url}/x", body, if_none_match=True, content_format=42)
        assert (answer.code, bytes(store)) == (Code.CREATED, body)
        assert all(message.opt.if_none_match for message in peer.requests)
        assert {int(message.opt.content_format) for message in peer.requests} == {42}
        assert peer.requests[0].opt.size1 == (size if size > 1024 else None)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Message(code=Code.CONTINUE, block1=(7, True, 6)), "protocol"),
        (Message(code=Code.CONTINUE), "protocol"),
    ],
    ids=["another block acknowledged", "no block acknowledged"],
)
async def test_a_wrong_acknowledgement_ends_the_upload(answer: Message, code: str) -> None:
    async with scripted(lambda r, _: [answer.copy()]) as (context, url, _):
        with pytest.raises(TransportError) as caught:
            await upload(context, f"{url}/x", b"x" * 3000)
        assert caught.value.code == code


async def test_continue_after_the_last_block_ends_the_upload() -> None:
    async with scripted(lambda r, _: [Message(code=Code.CONTINUE, block1=r.opt.block1)]) as (context, url, _):
        with pytest.raises(TransportError, match="after the last"):
            await upload(context, f"{url}/x", b"x" * 3000)


async def test_an_upload_ends_at_the_first_refusal() -> None:
    async with scripted(lambda r, _: [Message(code=Code.REQUEST_ENTITY_TOO_LARGE)]) as (context, url, peer):
        answer = await upload(context, f"{url}/x", b"x" * 30_000)
        assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE
        assert len(peer.requests) == 1
        with pytest.raises(RemoteError):
            expect_success(answer)


async def test_a_long_error_is_collected_and_bounded() -> None:
    def answer(request: Message, _: int) -> Iterable[Message]:
        number = request.opt.block2.block_number if request.opt.block2 else 0
        return [Message(code=Code.FORBIDDEN, payload=b"x" * 1024, block2=(number, number < 2, 6))]

    async with scripted(answer) as (context, url, _):
        message = parse_url(f"{url}/x").message(Code.POST)
        assert len((await request(context, message, timeout_s=5)).payload) == 3072
        with pytest.raises(TooLarge):
            await request(context, message, timeout_s=5, limit=2048)
