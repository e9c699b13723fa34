"""Programs that answer requests themselves, over UDP (helpers.md section 5, api.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiocoap import Code
from aiocoap.numbers.optionnumbers import OptionNumber

from device.vm.asm import assemble
from tests.device_bench import NAMES, SEVEN, SPIN, WILD, Bench, device, example

# Answers 2.05 "ok".
OK = assemble(
    """
    mov r6, r1
    mov r2, 69
    call bpf_gcoap_resp_init
    mov r1, r6
    mov r2, 1
    call bpf_coap_opt_finish
    mov r7, r0
    mov r1, r6
    call bpf_coap_get_pdu
    stb [r0], 0x6f
    stb [r0+1], 0x6b
    mov r0, r7
    add r0, 2
    exit
    """,
    helpers=NAMES,
)
# 2.04 with the request's code byte and the length of its payload as two bytes.
FACTS = assemble(
    """
    mov r6, r1
    ldxdw r3, [r1]
    ldxdw r4, [r1+8]
    ldxb r8, [r4+1]
    ldxh r9, [r3+12]
    mov r2, 68
    call bpf_gcoap_resp_init
    mov r1, r6
    mov r2, 1
    call bpf_coap_opt_finish
    mov r7, r0
    mov r1, r6
    call bpf_coap_get_pdu
    stxb [r0], r8
    stxb [r0+1], r9
    mov r0, r7
    add r0, 2
    exit
    """,
    helpers=NAMES,
)


def replying(code: int, options: bytes, payload: bytes, length: int | None = None) -> bytes:
    """A program that begins a reply and writes these bytes behind the header itself."""
    stored = "".join(f"stb [r8+{at}], {byte}\n" for at, byte in enumerate(options + payload))
    return assemble(
        f"""
        mov r6, r1
        mov r2, {code}
        call bpf_gcoap_resp_init
        mov r1, r6
        call bpf_coap_get_pdu
        mov r8, r0
        ldxdw r9, [r6+8]
        {stored}
        mov r0, r8
        sub r0, r9
        add r0, {len(options + payload)}
        {"" if length is None else f"mov r0, {length}"}
        exit
        """,
        helpers=NAMES,
    )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with device(slots=2) as bench:
        yield bench


METHODS = [Code.GET, Code.POST, Code.PUT, Code.DELETE, Code.FETCH, Code.PATCH, Code.iPATCH]


@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_any_method_and_payload(bench: Bench, method: Code) -> None:
    await bench.install(0, FACTS)
    reply = await bench.ask(method, "/slots/0/packet", payload=b"\xffabc")
    assert (reply.code, reply.message.payload) == ("2.04", bytes([int(method), 4]))


async def test_long_payloads_are_cut_at_the_buffer(bench: Bench) -> None:
    await bench.install(0, FACTS)
    reply = await bench.ask(Code.POST, "/slots/0/packet", payload=b"x" * 1000)
    assert reply.code == "2.04"
    assert 80 < reply.message.payload[1] < 128
    assert (await bench.ask(Code.POST, "/slots/0/packet", payload=b"x" * 1025)).code == "4.13"


async def test_a_published_program(bench: Bench) -> None:
    await bench.install(0, example("gcoap_response_format"))
    reply = await bench.get("/slots/0/packet")
    assert (reply.code, reply.message.payload) == ("2.05", b'{"temperature": -12.3}\0')
    assert reply.message.opt.content_format == 0


async def test_engines(bench: Bench) -> None:
    await bench.install(0, OK)
    for _ in range(20):
        assert (await bench.get("/slots/0/packet")).value == "ok"
    info = (await bench.get("/slots/0")).value
    assert (info["runs"], info["faults"]) == (20, 0)


REPLIES = [
    pytest.param(replying(65, b"", b""), "2.01", b"", id="empty"),
    pytest.param(replying(69, b"\xc0\xff", b"text"), "2.05", b"text", id="format"),
    pytest.param(replying(69, b"\xff", b""), "2.05", b"", id="marker-alone"),
    pytest.param(replying(132, b"\xff", b"gone"), "4.04", b"gone", id="error"),
    pytest.param(replying(68, b"\x61\x01\xd1\x04\x0e\xff", b"x"), "2.04", b"x", id="observe-and-block"),
]


@pytest.mark.parametrize(("program", "code", "payload"), REPLIES)
async def test_replies(bench: Bench, program: bytes, code: str, payload: bytes) -> None:
    await bench.install(0, program)
    reply = await bench.get("/slots/0/packet")
    assert (reply.code, reply.message.payload) == (code, payload)
    for number in (OptionNumber.OBSERVE, OptionNumber.BLOCK1, OptionNumber.BLOCK2):
        assert not reply.message.opt.get_option(number)


REFUSED = [
    pytest.param(SEVEN, "bad-reply", id="too-short"),
    pytest.param(replying(69, b"\xff", b"x", 0), "bad-reply", id="zero"),
    pytest.param(replying(69, b"\xff", b"x", -1), "bad-reply", id="negative"),
    pytest.param(replying(69, b"\xff", b"x", 129), "bad-reply", id="too-long"),
    pytest.param(replying(2, b"\xff", b"x"), "bad-reply", id="request-code"),
    pytest.param(replying(69, b"\xf0", b""), "bad-reply", id="option"),
    pytest.param(replying(69, b"\x81\xff", b""), "bad-reply", id="option-text"),
    pytest.param(WILD, "ILLEGAL_MEM", id="fault"),
    pytest.param(SPIN, "OUT_OF_INSTRUCTIONS", id="budget"),
]


@pytest.mark.parametrize(("program", "code"), REFUSED)
async def test_no_reply(bench: Bench, program: bytes, code: str) -> None:
    await bench.install(0, program)
    reply = await bench.get("/slots/0/packet")
    assert (reply.code, reply.problem.code) == ("5.00", code)
    if code != "bad-reply":
        assert reply.problem.extra["fault"]["code"] == code
    assert (await bench.get("/device")).code == "2.05"


async def test_empty_and_missing_slots(bench: Bench) -> None:
    assert (await bench.get("/slots/0/packet")).code == "4.09"
    assert (await bench.get("/slots/7/packet")).code == "4.04"


async def test_a_program_that_sleeps_has_a_second() -> None:
    sleeper = assemble(
        "call bpf_ztimer_now\nstxw [r10-8], r0\nmov r1, r10\nsub r1, 8\nlddw r2, 5000000\n"
        "call bpf_ztimer_periodic_wakeup\nmov r0, 0\nexit",
        helpers=NAMES,
    )
    async with device(slots=1) as bench:
        await bench.install(0, sleeper)
        reply = await bench.get("/slots/0/packet")
        assert (reply.code, reply.problem.code) == ("5.00", "KILLED")
        assert reply.problem.extra["fault"]["detail"].startswith("KILLED: deadline")
