"""Every resource of a device and every error that it can answer with, over UDP (api.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from aiocoap import Code, Message
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.util.linkformat import LinkFormat, parse

from device import __version__
from device.api import (
    CBOR,
    JSON,
    MAX_BODY,
    PROBLEM_CBOR,
    DeviceInfo,
    ExecAnswer,
    LogPage,
    SlotContent,
    SlotInfo,
    SlotList,
    StoreListing,
    UpdateStatus,
)
from device.errors import MalformedRequest
from device.node import NodeLimits
from device.server.bodies import decode
from device.suit.identity import VENDOR_ID, class_id
from device.transport import parse_url, request
from device.vm.program import Engine, Outcome, Program, Run
from device.vm.switch import SwitchEngine
from tests.device_bench import SEVEN, SUM, WILD, ZERO_CALL, Bench, device, example

GET, POST, PUT, DELETE, FETCH = Code.GET, Code.POST, Code.PUT, Code.DELETE, Code.FETCH


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A device with SUM in slot 0, ZERO_CALL in slot 1, WILD in slot 2; 3 and 4 are free."""
    async with device(server="coap://127.0.0.1:9") as made:
        for slot, image in enumerate((SUM, ZERO_CALL, WILD)):
            await made.install(slot, image, f"prog{slot}.o")
        yield made


@pytest.fixture(params=[CBOR, JSON], ids=["cbor", "json"])
def form(request: pytest.FixtureRequest) -> int:
    """Each of the two formats."""
    return int(request.param)


# What is there


async def test_device(bench: Bench, form: int) -> None:
    reply = await bench.get("/device", accept=form)
    info = DeviceInfo.from_map(reply.value)
    assert (reply.code, reply.message.opt.content_format) == ("2.05", form)
    assert (info.name, info.board, info.version) == ("bench", "native", __version__)
    assert (info.vendor_id, info.class_id) == (VENDOR_ID, class_id("native"))
    assert (info.slots, info.slot_size, info.workers, info.sequence_number) == (5, 4096, 4, 3)
    assert (info.engines, info.profiles) == (("switch", "interpreter", "jit"), ("ubpf",))
    if form == JSON:
        assert reply.value["vendor_id"] == "547d0d746d3a5a9296624881afd9407b"


async def test_uptime_advances(bench: Bench) -> None:
    first = (await bench.get("/device")).value["uptime_ms"]
    await asyncio.sleep(0.02)
    assert first + 15 <= (await bench.get("/device")).value["uptime_ms"] < first + 5000


async def test_slots(bench: Bench, form: int) -> None:
    reply = await bench.get("/slots", accept=form)
    listing = SlotList.from_map(reply.value)
    assert [item.state for item in listing.items] == ["ready", "ready", "ready", "free", "free"]
    one = await bench.get("/slots/1", accept=form)
    info = SlotInfo.from_map(one.value)
    assert info == listing.items[1]
    assert (info.name, info.layout, info.profile, info.bytecode) == ("prog1.o", "text", "ubpf", "present")
    assert (info.size, info.sequence_number, info.helpers) == (len(ZERO_CALL), 2, (0x10,))
    assert info.digest is not None
    assert info.digest.hex().startswith(info.tag or "-")
    assert (info.runs, info.faults, info.jit, info.capabilities) == (0, 0, None, None)
    assert (await bench.get("/slots/4", accept=form)).value["state"] == "free"


@pytest.mark.parametrize(
    ("query", "offset", "length"),
    [("", 0, None), ("?offset=3", 3, None), ("?length=5", 0, 5), ("?offset=8&length=8", 8, 8)],
    ids=["all", "from", "first", "some"],
)
async def test_bytes_of_an_image(
    bench: Bench, form: int, query: str, offset: int, length: int | None
) -> None:
    reply = await bench.get(f"/slots/0/image{query}", accept=form)
    found = SlotContent.from_map(reply.value)
    assert (reply.code, found.slot, found.size, found.offset) == ("2.05", 0, len(SUM), offset)
    assert found.content == SUM[offset:][:length]
    assert found.digest == sha256(SUM).digest()


async def test_past_its_end_an_image_has_no_bytes(bench: Bench) -> None:
    end = len(SUM)
    assert (await bench.get(f"/slots/0/image?offset={end - 1}&length=99")).value["content"] == SUM[-1:]
    assert (await bench.get(f"/slots/0/image?offset={end}")).value["content"] == b""


async def test_run_in_both_formats(bench: Bench, form: int) -> None:
    context: Any = b"\x01\x02" if form == CBOR else "0102"
    reply = await bench.execute(0, {"context": context, "repeat": 2}, content_format=form)
    answer = ExecAnswer.from_map(reply.value)
    assert (reply.code, reply.message.opt.content_format) == ("2.04", form)
    assert (answer.r0, answer.r0_signed, answer.runs) == ("0x0000000000000003", 3, 2)
    assert answer.context == b"\x02\x01"
    assert "fault" not in reply.value


async def test_accept_has_the_last_word_on_the_answer(bench: Bench) -> None:
    crossed = await bench.execute(0, {"context": b"\x01\x02"}, accept=JSON)
    assert crossed.value["context"] == "0201"
    crossed = await bench.execute(0, {"context": "0102"}, content_format=JSON, accept=CBOR)
    assert crossed.value["context"] == b"\x02\x01"


async def test_a_run_request_may_be_empty(bench: Bench) -> None:
    await bench.install(0, SEVEN)
    reply = await bench.ask(POST, "/slots/0/exec")
    assert (reply.code, reply.value["r0_signed"]) == ("2.04", 7)


async def test_what_a_run_does_not_want_may_be_said(bench: Bench, form: int) -> None:
    asked = {"recompile": False, "shadow": False, "cycles": False}
    reply = await bench.execute(1, asked, content_format=form)
    assert (reply.code, reply.value["r0_signed"], reply.value["cycles"]) == ("2.04", 0, None)


def test_nesting_to_the_last_level_is_refused_as_malformed() -> None:
    for depth in range(1, 1100):
        payload = b'{"a":' * depth + b"1" + b"}" * depth
        try:
            assert decode(payload, JSON)
        except MalformedRequest:
            assert depth > 500
    with pytest.raises(MalformedRequest):
        decode(payload, JSON)


@pytest.mark.parametrize("field", ["recompile", "shadow", "cycles"])
async def test_what_an_engine_cannot_do_is_refused_by_name(bench: Bench, field: str) -> None:
    reply = await bench.execute(0, {field: True, "engine": "interpreter"})
    assert (reply.code, reply.problem.where) == ("4.00", field)


@pytest.mark.parametrize(
    ("payload", "form", "key"),
    [
        (b"\xa2\x66budget\x01\x66budget\x18\x64", CBOR, "budget"),
        (b"\xbf\x66budget\x01\x66budget\x18\x64\xff", None, "budget"),
        (b"\xa1\x67regions\x81\xa2\x65bytes\x40\x65bytes\x40", CBOR, "bytes"),
        (b"\xa2\x01\x01\x01\x02", CBOR, "1"),
        (b"\xa2\x78\x3c" + b"x" * 60 + b"\x01\x78\x3c" + b"x" * 60 + b"\x02", CBOR, "x" * 40),
        (b'{"budget": 1, "budget": 100}', JSON, "budget"),
        (b'{"regions": [{"bytes": "", "bytes": ""}]}', JSON, "bytes"),
        (b'{"\\u0062udget": 1, "budget": 1}', JSON, "budget"),
        (b'{"\\ud800": 1, "\\ud800": 1}', JSON, "\\ud800"),
    ],
    ids=["CBOR", "indefinite", "in a region", "integer", "long", "JSON", "in JSON", "escaped", "surrogate"],
)
async def test_a_key_that_is_there_twice_is_named(
    bench: Bench, payload: bytes, form: int | None, key: str
) -> None:
    reply = await bench.ask(POST, "/slots/0/exec", payload=payload, content_format=form)
    assert (reply.code, reply.problem.where) == ("4.00", key)
    assert "twice" in reply.problem.detail
    assert (await bench.get("/slots/0")).value["runs"] == 0


async def test_a_fault_is_an_answer(bench: Bench, form: int) -> None:
    reply = await bench.execute(2, accept=form)
    assert reply.code == "2.04"
    assert "r0" not in reply.value
    fault = reply.value["fault"]
    assert (fault["code"], fault["number"], fault["insn"], fault["address"]) == ("ILLEGAL_MEM", -2, 2, 0x1000)
    assert (await bench.get("/slots/2", accept=form)).value["last_fault"] == fault


async def test_undeploy(bench: Bench) -> None:
    assert (await bench.ask(DELETE, "/slots/1")).code == "2.02"
    assert (await bench.get("/slots/1")).value["state"] == "free"
    assert (await bench.ask(DELETE, "/slots/1")).code == "2.02"
    assert (await bench.execute(1)).code == "4.09"


@pytest.mark.parametrize("path", ["/store/global", "/store/slots/0"])
async def test_stores(bench: Bench, path: str, form: int) -> None:
    async def entries() -> dict[str, int]:
        return StoreListing.from_map((await bench.get(path, accept=form)).value).entries

    assert await entries() == {}
    changes = {"10": 1, "9": 2, "4294967295": 4294967295, "77": None}
    assert (await bench.ask(PUT, path, changes, content_format=form)).code == "2.04"
    assert list((await entries()).items()) == [("9", 2), ("10", 1), ("4294967295", 4294967295)]
    assert (await bench.ask(PUT, path, {"9": None, "0": 0}, content_format=form)).code == "2.04"
    assert await entries() == {"0": 0, "10": 1, "4294967295": 4294967295}
    too_many = {str(key): 1 for key in range(100, 114)}
    assert (await bench.ask(PUT, path, too_many, content_format=form)).code == "4.13"
    assert await entries() == {"0": 0, "10": 1, "4294967295": 4294967295}
    assert (await bench.get(path)).value["capacity"] == 16


async def test_a_program_writes_to_the_store_of_its_slot(bench: Bench) -> None:
    await bench.execute(1)
    assert (await bench.get("/store/slots/1")).value["entries"] == {"1": 2}
    assert (await bench.get("/store/slots/0")).value["entries"] == {}
    await bench.install(1, ZERO_CALL)
    assert (await bench.get("/store/slots/1")).value["entries"] == {}


async def test_log(bench: Bench, form: int) -> None:
    await bench.install(0, example("hello"))
    await bench.execute(0)
    page = LogPage.from_map((await bench.get("/log", accept=form)).value)
    assert [line.seq for line in page.lines] == list(range(1, page.next))
    assert (page.lines[-1].source, page.lines[-1].text) == ("slot0", "Hello from eBPF")
    later = LogPage.from_map((await bench.get(f"/log?since={page.next - 1}")).value)
    assert later.lines == page.lines[-1:]
    assert (await bench.get(f"/log?since={page.next}")).value["lines"] == []


async def test_a_gap_in_the_log_is_said() -> None:
    async with device(limits=NodeLimits(log_lines=16)) as bench:
        for number in range(30):
            bench.node.log.add("info", "test", f"line {number}")
        page = LogPage.from_map((await bench.get("/log")).value)
        assert len(page.lines) == 16
        assert page.missed == page.lines[0].seq - 1 > 0


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/riot/board", "native"),
        ("/suit/version", "3"),
        ("/suit/slot/active", "0"),
        ("/suit/slot/inactive", "1"),
    ],
)
async def test_texts(bench: Bench, path: str, text: str) -> None:
    for accept in (None, 0):
        reply = await bench.get(path, accept=accept)
        assert (reply.code, reply.value, reply.message.opt.content_format) == ("2.05", text, 0)


async def test_version_is_none_before_the_first_update() -> None:
    async with device(board="nucleo-f446re") as bench:
        assert (await bench.get("/suit/version")).value == "NONE"
        assert (await bench.get("/riot/board")).value == "nucleo-f446re"
        assert (await bench.get("/device")).value["class_id"] == class_id("nucleo-f446re")


async def test_status_before_the_first_update(bench: Bench, form: int) -> None:
    status = UpdateStatus.from_map((await bench.get("/suit/status", accept=form)).value)
    assert (status.state, status.result, status.installed) == ("idle", None, ())


async def test_links(bench: Bench) -> None:
    reply = await bench.get("/.well-known/core")
    assert reply.message.opt.content_format == 40
    found: LinkFormat = parse(reply.value)
    links = {link.href: dict(link.attr_pairs) for link in found.links}
    paths = ["/device", "/slots", "/jobs", "/store/global", "/log", "/riot/board", "/.well-known/core"]
    paths += [f"/suit/{name}" for name in ("trigger", "manifest", "pull", "version", "status")]
    paths += ["/suit/slot/active", "/suit/slot/inactive"]
    paths += ["/board", "/saul", *(f"/saul/{index}" for index in range(8)), "/hooks"]
    paths += ["/running_vm", "/short-execution", "/with_coap_pkt", "/long-running", "/native/exec"]
    paths += ["/benchmark/short-execution", "/benchmark/with_coap_pkt", "/console/write"]
    for slot in range(5):
        paths += [f"/slots/{slot}{below}" for below in ("", "/exec", "/image", "/jit", "/packet")]
        paths += [f"/store/slots/{slot}", f"/bpf/exec/{slot}"]
    assert sorted(links) == sorted(paths)
    observable = {"/slots", "/jobs", "/store/global", "/log", "/suit/status", "/board", "/saul", "/hooks"}
    observable |= {f"/saul/{index}" for index in range(8)}
    observable |= {f"/slots/{slot}" for slot in range(5)} | {f"/store/slots/{slot}" for slot in range(5)}
    assert {href for href, facts in links.items() if "obs" in facts} == observable
    assert (links["/device"]["ct"], links["/riot/board"]["ct"], links["/riot/board"]["sz"]) == (
        "60 50",
        "0",
        "6",
    )
    assert all("rt" in facts for href, facts in links.items() if href != "/.well-known/core")
    filtered = parse((await bench.get("/.well-known/core?rt=micro-bpf.exec")).value)
    assert len(filtered.links) == 5
    # What is listed is there, and its methods are answered.
    for href in links:
        free = href.startswith(("/slots/3/", "/slots/4/")) and href.endswith(("/image", "/packet"))
        answers = ("5.00",) if href.endswith("/packet") else ("2.05", "2.03", "4.05")
        assert (await bench.get(href)).code in (("4.09",) if free else answers)


async def test_etags(bench: Bench) -> None:
    first = await bench.get("/slots", block2=(0, False, 2))
    etag = first.message.opt.etag
    assert etag is not None
    again = await bench.get("/slots", etags=[etag])
    assert (again.code, again.message.payload) == ("2.03", b"")
    await bench.execute(0)
    assert (await bench.get("/slots", etags=[etag])).code == "2.05"


async def test_large_bodies_both_ways(bench: Bench) -> None:
    """A context of 64 KiB goes there and comes back, in blocks."""
    reply = await bench.execute(0, {"context": bytes(range(256)) * 256})
    assert reply.value["context"] == b"\x01\x00" + (bytes(range(256)) * 256)[2:]
    assert reply.value["r0_signed"] == 1


async def test_small_blocks_are_honoured(bench: Bench) -> None:
    message = parse_url(f"{bench.url}/device").message(GET, block2=(0, False, 2))
    answer = await bench.client.request(message, handle_blockwise=False).response
    assert len(answer.payload) == 64
    assert answer.opt.block2.more


async def test_the_largest_block_can_be_set() -> None:
    async with device(limits=NodeLimits(max_block=64)) as bench:
        message = parse_url(f"{bench.url}/device").message(GET)
        answer = await bench.client.request(message, handle_blockwise=False).response
        assert len(answer.payload) == 64
        assert (await bench.get("/device")).value["name"] == "bench"


# What is refused


@dataclass(frozen=True)
class Wrong:
    """A request that is refused: how it is asked, and with which code."""

    code: Code
    path: str
    status: str
    problem: str
    body: Any = None
    payload: bytes | None = None
    options: dict[str, Any] = field(default_factory=dict)


def exec_(status: str, problem: str, body: Any, slot: int = 0, **options: Any) -> Wrong:
    return Wrong(POST, f"/slots/{slot}/exec", status, problem, body, options=options)


def put(status: str, problem: str, body: Any, path: str = "/store/global", **options: Any) -> Wrong:
    return Wrong(PUT, path, status, problem, body, options=options)


def trigger(status: str, problem: str, payload: bytes) -> Wrong:
    return Wrong(POST, "/suit/trigger", status, problem, payload=payload)


def raw(status: str, payload: bytes, content_format: int | None = None, path: str = "/slots/0/exec") -> Wrong:
    code = POST if path.endswith("exec") else PUT
    return Wrong(code, path, status, "malformed", payload=payload, options={"content_format": content_format})


WRONG = {
    "path": Wrong(GET, "/nothing", "4.04", "not-found"),
    "root": Wrong(GET, "/", "4.04", "not-found"),
    "slot": Wrong(GET, "/slots/5", "4.04", "not-found"),
    "slot for a run": exec_("4.04", "not-found", {}, slot=5),
    "slot with leading zero": Wrong(GET, "/slots/01", "4.04", "not-found"),
    "negative slot": Wrong(DELETE, "/slots/-1", "4.04", "not-found"),
    "store of no slot": Wrong(GET, "/store/slots/5", "4.04", "not-found"),
    "a trailing slash": Wrong(GET, "/device/", "4.04", "not-found"),
    "below a resource": Wrong(GET, "/device/name", "4.04", "not-found"),
    "POST to a fact": Wrong(POST, "/device", "4.05", "method-not-allowed"),
    "GET of a run": Wrong(GET, "/slots/0/exec", "4.05", "method-not-allowed"),
    "PUT of a slot": put("4.05", "method-not-allowed", {}, "/slots/0"),
    "DELETE of a store": Wrong(DELETE, "/store/global", "4.05", "method-not-allowed"),
    "GET of the trigger": Wrong(GET, "/suit/trigger", "4.05", "method-not-allowed"),
    "FETCH": Wrong(FETCH, "/log", "4.05", "method-not-allowed"),
    "unknown field": exec_("4.00", "malformed", {"colour": "red"}),
    "recompile": exec_("4.00", "malformed", {"recompile": True, "engine": "switch"}),
    "shadow": exec_("4.00", "malformed", {"shadow": True, "engine": "interpreter"}),
    "cycles": exec_("4.00", "malformed", {"cycles": True, "engine": "interpreter"}),
    "cycles of a comparison": exec_("4.00", "malformed", {"cycles": True, "shadow": True}),
    "bytecode of an empty slot": Wrong(
        POST, "/slots/3/jit", "4.09", "slot-empty", {"action": "discard-bytecode"}
    ),
    "code of an empty slot": Wrong(POST, "/slots/3/jit", "4.09", "slot-empty", {"action": "compile"}),
    "unknown action": Wrong(POST, "/slots/0/jit", "4.00", "malformed", {"action": "polish"}),
    "no boolean": exec_("4.00", "malformed", {"cycles": 0}),
    "wrong type": exec_("4.00", "malformed", {"budget": "many"}),
    "boolean for a number": exec_("4.00", "malformed", {"repeat": True}),
    "unknown engine": exec_("4.00", "malformed", {"engine": "steam"}),
    "engine that there is none of": exec_("4.00", "malformed", {"engine": "native"}),
    "timeout of zero": exec_("4.00", "malformed", {"timeout_ms": 0}),
    "timeout too long": exec_("4.00", "malformed", {"timeout_ms": 60_001}),
    "repeat too often": exec_("4.00", "malformed", {"repeat": 10_001}),
    "no budget": exec_("4.00", "malformed", {"budget": 0}),
    "helper id": exec_("4.00", "malformed", {"helpers": [2**32]}),
    "field in a region": exec_("4.00", "malformed", {"regions": [{"bytes": b"", "size": 1}]}),
    "no hex": exec_("4.00", "malformed", {"context": "xyz"}, content_format=JSON),
    "list": exec_("4.00", "malformed", [1, 2]),
    "no CBOR": raw("4.00", b"\xff\xff"),
    "half CBOR": raw("4.00", cbor2.dumps({"repeat": 1})[:-1], CBOR),
    "CBOR and more": raw("4.00", cbor2.dumps({}) + b"\0", CBOR),
    "CBOR as JSON": raw("4.00", cbor2.dumps({"repeat": 1}), JSON),
    "no JSON": raw("4.00", b"{", JSON),
    "JSON that is not UTF-8": raw("4.00", b'{"\xff": 1}', JSON),
    "key twice in CBOR": raw("4.00", b"\xa2\x66budget\x01\x66budget\x18\x64", CBOR),
    "key twice in JSON": raw("4.00", b'{"1": 1, "1": 2}', JSON, "/store/global"),
    "NaN": raw("4.00", b'{"budget": NaN}', JSON),
    "half a surrogate pair": raw("4.00", b'{"\\ud800": 1}', JSON, "/store/global"),
    "deep": raw("4.00", b"[" * 1000, JSON),
    "deep CBOR": raw("4.00", b"\x81" * 1000, CBOR),
    "store: key": put("4.00", "malformed", {"x": 1}),
    "store: leading zero": put("4.00", "malformed", {"01": 1}),
    "store: large key": put("4.00", "malformed", {"4294967296": 1}),
    "store: integer key": put("4.00", "malformed", {1: 1}),
    "store: value": put("4.00", "malformed", {"1": -1}),
    "store: text": put("4.00", "malformed", {"1": "2"}),
    "store: list": put("4.00", "malformed", [1]),
    "store: nothing": raw("4.00", b"", CBOR, "/store/global"),
    "query of the log": Wrong(GET, "/log?since=x", "4.00", "malformed"),
    "another query of the log": Wrong(GET, "/log?until=1", "4.00", "malformed"),
    "bytes of an empty slot": Wrong(GET, "/slots/3/image", "4.09", "slot-empty"),
    "bytes of no slot": Wrong(GET, "/slots/5/image", "4.04", "not-found"),
    "bytes past the end": Wrong(GET, "/slots/0/image?offset=4097", "4.00", "malformed"),
    "negative offset": Wrong(GET, "/slots/0/image?offset=-1", "4.00", "malformed"),
    "query of an image": Wrong(GET, "/slots/0/image?since=1", "4.00", "malformed"),
    "PUT of an image": put("4.05", "method-not-allowed", {}, "/slots/0/image"),
    "content-format": Wrong(
        POST, "/slots/0/exec", "4.15", "unsupported-format", payload=b"{}", options={"content_format": 40}
    ),
    "content-format of nothing": exec_("4.15", "unsupported-format", None, content_format=40),
    "content-format of a store": Wrong(
        PUT, "/store/global", "4.15", "unsupported-format", payload=b"1=2", options={"content_format": 0}
    ),
    "accept": Wrong(GET, "/device", "4.06", "not-acceptable", options={"accept": 40}),
    "accept of a run": exec_("4.06", "not-acceptable", {}, accept=0),
    "accept of a text": Wrong(GET, "/riot/board", "4.06", "not-acceptable", options={"accept": CBOR}),
    "accept of the links": Wrong(
        GET, "/.well-known/core", "4.06", "not-acceptable", options={"accept": CBOR}
    ),
    "empty slot": exec_("4.09", "slot-empty", {}, slot=3),
    "helper": exec_("4.22", "helper-denied", {"helpers": [1]}, slot=1),
    "context": exec_("4.13", "too-large", {"context": bytes(65_537)}),
    "regions": exec_("4.13", "too-large", {"regions": [{"bytes": b""}] * 17}),
    "body": Wrong(POST, "/slots/0/exec", "4.13", "too-large", payload=bytes(MAX_BODY + 1)),
    "body of a store": put("4.13", "too-large", {"1": "x" * 5000}),
    "store over capacity": put("4.13", "too-large", {str(key): 1 for key in range(17)}),
    "trigger: empty": trigger("4.08", "empty", b""),
    "trigger: a NUL": trigger("4.08", "empty", b"\0"),
    "trigger: 128 bytes": trigger("4.13", "too-large", b"coap://127.0.0.1/" + b"x" * 111),
    "trigger: longer": trigger("4.13", "too-large", b"x" * 2000),
    "trigger: not UTF-8": trigger("4.00", "malformed", b"coap://\xff"),
    "trigger: no URL": trigger("4.00", "uri", b"hello"),
    "trigger: another scheme": trigger("4.00", "uri", b"http://127.0.0.1/m"),
    "trigger: a query": trigger("4.00", "uri", b"coap://127.0.0.1/m?x"),
    "trigger: a NUL inside": trigger("4.00", "uri", b"coap://127.0.0.1/\0\0"),
    "trigger: two dots": trigger("4.00", "uri", b"coap://127.0.0.1/../m"),
    "trigger: host": trigger("4.03", "URI_FORBIDDEN", b"coap://192.0.2.1/m"),
    "trigger: name": trigger("4.03", "URI_FORBIDDEN", b"coap://localhost/m"),
}


@pytest.mark.parametrize("accept", [None, CBOR, JSON], ids=["accept-none", "accept-cbor", "accept-json"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_errors_are_problem_details(bench: Bench, wrong: Wrong, accept: int | None) -> None:
    options = {"accept": accept, **wrong.options}
    before = await _state(bench)
    reply = await bench.ask(wrong.code, wrong.path, wrong.body, payload=wrong.payload, **options)
    assert reply.code == wrong.status, reply.value
    assert reply.message.opt.content_format == (JSON if options["accept"] == JSON else PROBLEM_CBOR)
    problem = reply.problem
    assert problem.code == wrong.problem
    assert problem.title
    assert problem.detail
    if options["accept"] == JSON:
        assert {"title", "detail", "code", "where", "hint"} <= set(reply.value)
    else:
        assert (reply.value[-1], reply.value[-2]) == (problem.title, problem.detail)
    assert await _state(bench) == before


async def _state(bench: Bench) -> Any:
    return (await bench.get("/slots")).value, (await bench.get("/store/global")).value


@pytest.mark.parametrize(
    ("slot", "text"), [("/slots/9", "slots are 0 to 4"), ("/store/slots/9", "slots are 0 to 4")]
)
async def test_a_wrong_slot_says_which_there_are(bench: Bench, slot: str, text: str) -> None:
    assert (await bench.get(slot)).problem.hint == text


async def test_an_unknown_critical_option_is_bad(bench: Bench) -> None:
    message = parse_url(f"{bench.url}/device").message(GET)
    message.opt.add_option(OptionNumber(2049).create_option(decode=b"x"))
    answer = await request(bench.client, message, timeout_s=5)
    assert answer.code.dotted == "4.02"
    assert answer.opt.content_format == PROBLEM_CBOR


async def test_an_unknown_elective_option_is_not(bench: Bench) -> None:
    message = parse_url(f"{bench.url}/device").message(GET)
    message.opt.add_option(OptionNumber(2050).create_option(decode=b"x"))
    assert (await request(bench.client, message, timeout_s=5)).code.dotted == "2.05"


async def test_it_is_no_proxy(bench: Bench) -> None:
    message: Message = parse_url(f"{bench.url}/device").message(GET)
    message.opt.proxy_scheme = "coap"
    answer = await request(bench.client, message, timeout_s=5)
    assert answer.code.dotted == "5.05"


def broken(_engine: Engine, _program: Program, _run: Run) -> Outcome:
    raise KeyError("the inside of the device")


async def test_a_bug_is_5_00_with_a_reference_and_no_more(
    bench: Bench, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SwitchEngine, "run", broken)
    reply = await bench.execute(0, {"engine": "switch"})
    assert (reply.code, reply.problem.code) == ("5.00", "internal")
    reference = reply.problem.detail.split()[-1]
    assert b"inside" not in reply.message.payload
    [line] = [line for line in bench.lines if reference in line]
    assert line.startswith("error coap ")
    assert "KeyError at test_device_api.py:" in line
    assert "Traceback" not in "".join(capfd.readouterr()) + "".join(bench.lines)
    assert (await bench.get("/slots/0")).value["state"] == "ready"
