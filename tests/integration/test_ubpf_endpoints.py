"""µBPF's and TinyPART's endpoints to the byte, for all that their tools can say and much that they cannot."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from itertools import product

import pytest
from aiocoap import Code

from device.vm.asm import assemble
from device.vm.layouts.convert import Wish, convert
from device.vm.profiles import UBPF
from device.vm.program import Layout
from tests.device_bench import NAMES, OBJECTS, SEVEN, SPIN, WILD, Bench, Reply, device, eventually, example

LAYOUTS = (Layout.TEXT, Layout.FEMTO, Layout.EXTENDED, Layout.ELF)
ALL = "".join(f"{helper:02x}" for helper in sorted(UBPF.helpers))
RESULT, HELLO = 5, b"hello"
PHASES = re.compile(
    r'\{"total": (\d+), "load": (\d+), "verif": (\d+), "exec": (\d+),"prog": (\d+), "result": (-?\d+)\}'
)
TARGETS = {"rbpf": 0, "fc": 1, "jit": 1 << 10, "jit-over-fc": 1 << 10 | 1, "recompiled": 3 << 10}

SLEEPER = assemble(
    "call bpf_ztimer_now\nstxw [r10-8], r0\nmov r1, r10\nsub r1, 8\nlddw r2, 60000000\n"
    "call bpf_ztimer_periodic_wakeup\nmov r0, 0\nexit",
    helpers=NAMES,
)


def word(slot: int = 0, layout: Layout = Layout.ELF, target: int = 0, point: int = 3, source: int = 0) -> str:
    """A configuration word as the original tool writes it."""
    return f"{target | slot << 1 | LAYOUTS.index(layout) << 5 | point << 7 | source << 9:04x}"


async def post(bench: Bench, path: str, text: str | bytes = b"") -> Reply:
    payload = text.encode() if isinstance(text, str) else text
    return await bench.ask(Code.POST, path, payload=payload)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device(slots=5) as bench:
        yield bench


@pytest.fixture
async def full() -> AsyncIterator[Bench]:
    """Slots 0 to 3 have one program in the four layouts, 4 to 7 one that answers packets."""
    async with device(slots=8) as bench:
        for at, name in ((0, "bpf_fmt_s16_dfp"), (4, "gcoap_hello")):
            source = (OBJECTS / f"{name}.o").read_bytes()
            for slot, layout in enumerate(LAYOUTS, at):
                await bench.install(slot, convert(source, Wish(layout)).image)
        yield bench


def refused(layout: Layout, target: str, source: int) -> str | None:
    """What is wrong with a combination; None for one that runs."""
    if source and layout is not Layout.EXTENDED:
        return "malformed: helper list in the image needs layout ExtendedHeader"
    if target == "fc" and layout is not Layout.FEMTO:
        return "malformed: the Femto-Container VM needs its own layout"
    return None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.value)
async def test_every_combination(full: Bench, layout: Layout, target: str) -> None:
    slot = LAYOUTS.index(layout)
    for point, source in product(range(4), range(2)):
        short = word(slot, layout, TARGETS[target], point, source) + ALL
        packet = word(slot + 4, layout, TARGETS[target], point, source) + ALL
        wrong = refused(layout, target, source)
        for path, text in (
            ("/short-execution", short),
            ("/benchmark/short-execution", short),
            ("/with_coap_pkt", packet),
            ("/benchmark/with_coap_pkt", packet),
            ("/long-running", short),
        ):
            reply = await post(full, path, text)
            if wrong is not None:
                assert (reply.code, reply.value) == ("4.00", wrong), (path, text)
            elif path == "/long-running":
                assert (reply.code, reply.value) == ("2.04", "VM Execution request sent successfully!")
            elif path == "/short-execution":
                assert (reply.code, reply.value) == ("2.04", f'{{"result": {RESULT}}}')
            elif path == "/benchmark/short-execution":
                found = PHASES.fullmatch(reply.value)
                assert reply.code == "2.04"
                assert found is not None, reply.value
                assert int(found[6]) == RESULT
            else:
                assert (reply.code, reply.message.payload) == ("2.05", HELLO), (path, text)
        await idle(full)


async def idle(bench: Bench) -> None:
    while "true" in (await bench.get("/running_vm")).value:  # noqa: ASYNC110  # whoever polls it does as much
        await asyncio.sleep(0.01)


async def test_phases_are_measured(full: Bench) -> None:
    reply = await post(full, "/benchmark/short-execution", word(3) + ALL)
    found = PHASES.fullmatch(reply.value)
    assert found is not None
    total, load, verify, run, size, _ = map(int, found.groups())
    assert min(load, verify) > 0
    assert total >= load + verify + run
    assert size == (await full.get("/slots/3")).value["size"]
    json.loads(reply.value)
    await post(full, "/benchmark/with_coap_pkt", word(7) + ALL)
    assert PHASES.search(full.lines[-1])


async def test_a_long_run_takes_longer(bench: Bench) -> None:
    await bench.install(0, assemble("mov r0, 0\nloop: add r0, 1\njlt r0, 300000, loop\nexit"))
    await bench.install(1, SEVEN)
    times = []
    for slot in (0, 1):
        text = (await post(bench, "/benchmark/short-execution", word(slot, Layout.TEXT))).value
        times.append(json.loads(text)["exec"])
    assert times[0] > 10 * times[1]


async def test_the_femto_container_engine_has_its_own_rules(bench: Bench) -> None:
    division = "mov r0, 8\nmov r1, 0\ndiv r0, r1\nexit"
    await bench.install(0, convert(assemble(division), Wish(Layout.FEMTO)).image)
    await bench.install(
        1, convert(assemble("call bpf_now_ms\nexit", helpers=NAMES), Wish(Layout.FEMTO)).image
    )
    here = word(0, Layout.FEMTO) + ALL
    assert (await post(bench, "/short-execution", here)).value == '{"result": 0}'
    there = await post(bench, "/short-execution", word(0, Layout.FEMTO, 1) + ALL)
    assert there.code == "5.00"
    assert there.value.startswith("ILLEGAL_DIV: ")
    denied = await post(bench, "/short-execution", word(1, Layout.FEMTO, 1, 2) + ALL)
    assert (denied.code, denied.value) == (
        "4.22",
        "helper 0x20 bpf_now_ms not allowed at insn #0 (offset 0x0)",
    )
    # What nobody asks for stays as it was.
    assert (await post(bench, "/short-execution", here)).value == '{"result": 0}'


@pytest.mark.parametrize(
    ("point", "code", "said"),
    [
        (0, "5.00", "HELPER_DENIED: "),
        (1, "5.00", "HELPER_DENIED: "),
        (2, "4.22", "helper 0x01 bpf_printf not allowed at insn #"),
        (3, "5.00", "HELPER_DENIED: "),
    ],
)
async def test_an_empty_list_allows_nothing(full: Bench, point: int, code: str, said: str) -> None:
    reply = await post(full, "/short-execution", word(3, point=point) + "50")
    assert reply.code == code
    assert reply.value.startswith(said)
    assert len(reply.message.payload) <= 96


STORE = word(0) + "011113"
STATES = [
    pytest.param("/short-execution", STORE, "2.04", '{"result": 1234}', id="runs"),
    pytest.param("/short-execution", STORE + "ff", "2.04", '{"result": 1234}', id="unknown-helper"),
    pytest.param("/short-execution", word(4), "4.09", "slot-empty: slot 4 is empty", id="empty"),
    pytest.param("/short-execution", word(15), "4.04", "not-found: there is no slot 15", id="no-slot"),
    pytest.param(
        "/short-execution",
        word(0, Layout.TEXT),
        "4.22",
        "layout-differs: the slot has layout elf, not text",
        id="layout",
    ),
    pytest.param("/short-execution", word(1) + ALL, "5.00", "ILLEGAL_MEM: ", id="fault"),
    pytest.param("/with_coap_pkt", word(1) + ALL, "5.00", "ILLEGAL_MEM: ", id="packet-fault"),
    pytest.param("/with_coap_pkt", STORE, "5.00", "bad-reply: ", id="no-reply"),
    pytest.param("/long-running", word(4), "4.09", "slot-empty: slot 4 is empty", id="job-empty"),
    pytest.param("/benchmark/short-execution", word(4), "4.09", "slot-empty: ", id="benchmark-empty"),
    pytest.param("/benchmark/short-execution", word(15), "4.04", "not-found: ", id="benchmark-no-slot"),
    pytest.param("/bpf/exec/4", "", "4.09", "slot-empty: slot 4 is empty", id="tinypart-empty"),
    pytest.param("/bpf/exec/1", "", "5.00", "ILLEGAL_MEM: ", id="tinypart-fault"),
    pytest.param("/bpf/exec/5", "", "4.04", "not-found: there is no slot 5", id="tinypart-no-slot"),
]


@pytest.mark.parametrize(("path", "text", "code", "said"), STATES)
async def test_states(bench: Bench, path: str, text: str, code: str, said: str) -> None:
    await bench.install(0, example("bpf_store"))
    await bench.install(1, example("wild_pointer"))
    reply = await post(bench, path, text)
    assert (reply.code, reply.value[: len(said)]) == (code, said)
    assert reply.message.opt.content_format == 0
    assert len(reply.message.payload) <= 96


@pytest.mark.parametrize(
    ("r0", "text"),
    [(2716, "27.16"), (-5, "-0.05"), (0, "0.00"), (0x80000000, "-21474836.48"), (7 << 32 | 100, "1.00")],
)
async def test_tinypart(bench: Bench, r0: int, text: str) -> None:
    await bench.install(2, assemble(f"lddw r0, {r0 & (1 << 64) - 1}\nexit"))
    reply = await post(bench, "/bpf/exec/2")
    assert (reply.code, reply.value) == ("2.04", text)


async def test_running_vm(bench: Bench) -> None:
    await bench.install(0, SLEEPER)
    reply = await bench.get("/running_vm")
    assert (reply.message.code, reply.value) == (Code.VALID, "[false, false, false, false]")
    for _ in range(2):
        assert (await bench.ask(Code.POST, "/jobs", {"slot": 0})).code == "2.01"
    assert (await bench.get("/running_vm")).value == "[false, false, true, true]"


async def test_no_worker() -> None:
    async with device(slots=1, workers=1) as bench:
        await bench.install(0, SLEEPER)
        assert (await post(bench, "/long-running", word(0, Layout.TEXT) + ALL)).code == "2.04"
        reply = await post(bench, "/long-running", word(0, Layout.TEXT) + ALL)
        assert (reply.code, reply.value) == ("5.03", "no-worker: all 1 workers are busy")
        assert reply.message.opt.max_age == 1


@pytest.mark.parametrize(
    ("count", "result"), [(1, 44620), (2, 1171), (3, 32742), (4, 40362), (5, 58709), (6, 30378)]
)
async def test_native_code(bench: Bench, count: int, result: int) -> None:
    reply = await post(bench, "/native/exec", word() + "01" * count)
    found = re.fullmatch(r'\{"execution_time": (\d+), "result": (\d+)\}', reply.value)
    assert reply.code == "2.04"
    assert found is not None, reply.value
    assert int(found[2]) == result


async def test_benchmarks_run_one_at_a_time(bench: Bench) -> None:
    await bench.install(0, SLEEPER)
    text = word(0, Layout.TEXT) + ALL
    paths = ("/benchmark/short-execution", "/benchmark/with_coap_pkt", "/native/exec")
    replies = await asyncio.gather(
        *(post(bench, path, text[: 6 if path.startswith("/native") else None]) for path in paths)
    )
    assert sorted(reply.code for reply in replies) == ["5.00", "5.03", "5.03"]
    assert all(reply.message.opt.max_age for reply in replies if reply.code == "5.03")


async def test_console(bench: Bench) -> None:
    reply = await post(bench, "/console/write", "hello\nthere\0")
    assert (reply.code, reply.value) == ("2.04", "Success")
    lines = (await bench.get("/log")).value["lines"]
    assert [line["text"] for line in lines if line["source"] == "console"] == ["hello", "there"]
    assert (await post(bench, "/console/write", b"\xff")).code == "4.00"
    assert (await post(bench, "/console/write", b"x" * 513)).code == "4.13"


def exchange(port: int, datagram: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.sendto(datagram, ("127.0.0.1", port))
        return peer.recv(2048)


def request(code: int, path: str, payload: bytes, token: bytes = b"") -> bytes:
    """A confirmable request, byte by byte, as libcoap sends it."""
    message = bytes([0x40 | len(token), code, 0x12, 0x34]) + token
    delta = 11
    for part in path.strip("/").split("/"):
        size = len(part)
        message += bytes([delta << 4 | min(size, 13)]) + (bytes([size - 13]) if size >= 13 else b"")
        message += part.encode()
        delta = 0
    return message + (b"\xff" + payload if payload else b"")


async def test_bytes_of_both_directions(full: Bench) -> None:
    port = full.node.port
    cases = [
        (request(2, "/short-execution", (word(3) + ALL).encode()), b'\x60\x44\x12\x34\xc0\xff{"result": 5}'),
        (request(2, "/short-execution", b"zzzz", b"t"), b"\x61\x80\x12\x34t\xc0\xff"),
        (request(1, "/running_vm", b""), b"\x60\x43\x12\x34\xc0\xff[false, false, false, false]"),
        (request(2, "/bpf/exec/3", b""), b"\x60\x44\x12\x34\xc0\xff0.05"),
        (request(2, "/console/write", b"hi"), b"\x60\x44\x12\x34\xc0\xffSuccess"),
        (
            request(2, "/with_coap_pkt", (word(7) + ALL).encode(), b"tok"),
            b"\x63\x45\x12\x34tok\xff" + HELLO,
        ),
    ]
    for number, (sent, expected) in enumerate(cases):
        mid = bytes([0x50, number])
        answer = await asyncio.to_thread(exchange, port, sent[:2] + mid + sent[4:])
        assert answer.startswith(expected[:2] + mid + expected[4:])


SPOILED = (b"\0", b"g", b"-", b" ", b"\xff", b"|")


@pytest.mark.parametrize(
    "path",
    [
        "/short-execution",
        "/with_coap_pkt",
        "/long-running",
        "/benchmark/short-execution",
        "/benchmark/with_coap_pkt",
        "/native/exec",
    ],
)
async def test_malformed_at_every_position(full: Bench, path: str) -> None:
    good = (word(3) + "01" * 3 + "50").encode()
    before = (await full.get("/slots")).value["items"]
    for at, spoiled in product(range(len(good)), SPOILED):
        for text in (good[:at] + spoiled + good[at + 1 :], good[:at] + spoiled + good[at:]):
            reply = await post(full, path, text)
            assert reply.code == "4.00", text
            assert 0 < len(reply.message.payload) <= 96
    for end in range(len(good)):
        complete = end >= 4 and end % 2 == 0
        reply = await post(full, path, good[:end])
        assert complete or reply.code == "4.00", good[:end]
    for bit in range(12, 16):
        reply = await post(full, path, f"{int(word(3), 16) | 1 << bit:04x}0150")
        assert reply.value.endswith("bits 12 to 15 must be 0")
    assert (await post(full, path, b"0" * 518)).code == "4.13"
    after = (await full.get("/slots")).value["items"]
    same = ("slot", "digest", "layout", "sequence_number")
    assert [{key: item[key] for key in same} for item in after] == [
        {key: item[key] for key in same} for item in before
    ]
    await idle(full)


async def test_endless_and_wild_programs_leave_the_device(bench: Bench) -> None:
    await bench.install(0, SPIN)
    await bench.install(1, WILD)
    for path in ("/short-execution", "/with_coap_pkt", "/benchmark/short-execution"):
        for slot in (0, 1):
            reply = await post(bench, path, word(slot, Layout.TEXT))
            assert reply.code == "5.00", reply.value
    await eventually(lambda: bench.node.executor.slot_info(0).state != "running")
    assert (await bench.get("/device")).code == "2.05"


async def test_pull_malformed_at_every_position(full: Bench) -> None:
    good = b"fe80cc9a73fffe4a47f6|suit_manifest0.signed|6|01e0|0150|1"
    before = (await full.get("/slots")).value
    for at, spoiled in product(range(len(good) + 1), SPOILED):
        for text in (good[:at] + spoiled + good[at + 1 :], good[:at] + spoiled + good[at:], good[:at]):
            reply = await post(full, "/suit/pull", text)
            assert reply.code in ("4.00", "4.03", "4.04", "4.09", "5.03"), (text, reply.value)
            assert 0 < len(reply.message.payload) <= 96
    assert (await full.get("/slots")).value == before


async def test_datagrams_spoiled_at_every_byte(full: Bench) -> None:
    before = (await full.get("/slots")).value["items"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        peer.connect(("127.0.0.1", full.node.port))
        number = 0
        for path in ("/short-execution", "/with_coap_pkt", "/bpf/exec/3"):
            good = request(2, path, (word(3) + "0150").encode(), b"tk")
            for at, bits in product(range(len(good)), (0x01, 0x10, 0x80, 0xFF)):
                for text in (good[:at] + bytes([good[at] ^ bits]) + good[at + 1 :], good[:at]):
                    number += 1
                    mid = number.to_bytes(2, "big") if len(text) > 3 and at not in (2, 3) else text[2:4]
                    peer.send(text[:2] + mid + text[4:])
                await asyncio.sleep(0)
            assert (await full.get("/device")).code == "2.05"
    after = (await full.get("/slots")).value["items"]
    assert [item["digest"] for item in after] == [item["digest"] for item in before]
    assert not [line for line in full.lines if line.startswith("error")]
