"""No argument and no format makes a helper do anything but its work, or fault without a trace.

Whatever the registers hold: no byte outside the regions is read or written, a fault changes nothing, and
nothing but GuestFault is raised.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import MicroBpfError
from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import HELPERS
from device.vm.packet import Packet, PacketRequest
from tests.unit.helper_bench import CONSTANT, INPUT, SCRATCH, Bench

ASKED = PacketRequest(True, 0x1234, b"\xaa\xbb", 0x02, ((11, b"path"),), b"payload")
MOST_PRINTED = 1100
"""Bytes that one call prints: 512 of a text, or as many bytes of a packet in hexadecimal."""
PLACES = [CONSTANT, SCRATCH, INPUT, 0, 2**32, 0x20101000, 0x20210000, 0x20220000, 0x40000000, 0x40010000]
NEAR = st.tuples(st.sampled_from(PLACES), st.integers(-80, 80)).map(sum)
SMALL = st.integers(-20, 300)
SIZES = st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
WORD = st.integers(0, 2**64 - 1)
REGISTER = st.one_of(NEAR, SMALL, SIZES, WORD).map(lambda value: value & 0xFFFFFFFF_FFFFFFFF)
REGISTERS = st.lists(REGISTER, min_size=5, max_size=5)
FORMATTED = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.builds(
            "%{}{}{}{}{}".format,
            st.sampled_from(["", "-", "0", "#", "+ ", "-0#"]),
            st.sampled_from(["", "*", "5", "999999999", "9" * 40]),
            st.sampled_from(["", ".", ".*", ".3", ".999999999"]),
            st.sampled_from(["", "h", "hh", "l", "ll", "z", "L"]),
            st.sampled_from([*"diuoxXpcsnfg%q", ""]),
        ).map(str.encode),
    ),
    max_size=12,
).map(b"".join)
CONTENT = st.tuples(FORMATTED, st.sampled_from([b"", b"\0", b"\0abc", b"\0abc\0"])).map(b"".join)


def outcome(bench: Bench, helper: int, registers: list[int]) -> int | None:
    """r0, or None for a fault, which left everything as it was."""
    before = bench.state()
    try:
        return bench.call(helper, *registers)
    except GuestFault as caught:
        fault = caught
    assert (fault.code, fault.helper) == (FaultCode.ILLEGAL_MEM, helper)
    assert fault.argument in range(1, 6)
    assert fault.size is not None
    assert bench.state() == before
    return None


@pytest.mark.parametrize("helper", HELPERS, ids=lambda number: f"0x{number:02x}")
@given(content=CONTENT, registers=REGISTERS, in_packet=st.booleans())
@settings(deadline=2000)  # ms of one call: none of them depends on what a program says
def test_any_arguments(helper: int, content: bytes, registers: list[int], in_packet: bool) -> None:
    bench = Bench(content, packet=Packet(ASKED, 40) if in_packet else None)
    r0 = outcome(bench, helper, registers)
    assert r0 is None or 0 <= r0 < 2**64
    assert bytes(bench.constant) == b"constant\0"
    assert (len(bench.scratch), len(bench.input)) == (64, len(content))
    assert len(bench.console.content) <= MOST_PRINTED


@given(
    calls=st.lists(
        st.tuples(st.sampled_from([0x40, 0x41, 0x42, 0x43]), st.integers(0, 2**32)), min_size=1, max_size=12
    ),
    capacity=st.integers(0, 40),
    scribble=st.binary(max_size=40),
    r0=st.one_of(st.integers(0, 60), WORD),
)
@settings(deadline=None)
def test_any_reply(calls: list[tuple[int, int]], capacity: int, scribble: bytes, r0: int) -> None:
    """Whatever a program does with its packet, what comes of it is a reply or a named error."""
    packet = Packet(ASKED, capacity)
    bench = Bench(packet=packet)
    for helper, argument in calls:
        bench.call(helper, INPUT, argument)
        assert len(packet.buffer) == capacity
        assert 0x20220000 <= packet.payload_address <= 0x20220000 + capacity
    packet.buffer[: len(scribble)] = scribble[:capacity]
    with suppress(MicroBpfError):
        reply = packet.reply(r0)
        assert reply.code >> 5 in (2, 3, 4, 5)
        assert len(reply.payload) <= capacity


@pytest.mark.parametrize("helper", HELPERS, ids=lambda number: f"0x{number:02x}")
@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("base", PLACES, ids=hex)
def test_a_byte_out(helper: int, off: int, base: int) -> None:
    """The edges of every region, for every argument at once and with every length that hurts."""
    for size in (0, 1, 4, 8, 64, 65, 2**32 - 1, 2**64 - 1):
        for other in ((base + off) % 2**64, size):
            outcome(Bench(b"%s%d\0text"), helper, [(base + off) % 2**64, other, size, size, size])


@given(content=CONTENT, registers=REGISTERS)
@settings(deadline=None)
def test_any_format(content: bytes, registers: list[int]) -> None:
    """printf writes to the console only, and says how much."""
    bench = Bench(content)
    memory = bench.state()[:4]
    r0 = outcome(bench, 0x01, [INPUT, *registers[:4]])
    assert bench.state()[:4] == memory
    assert r0 in (None, 2**64 - 22, len(bench.console.content))


@given(registers=REGISTERS, content=st.binary(max_size=200))
@settings(deadline=None)
def test_memcpy_is_the_obvious_copy(registers: list[int], content: bytes) -> None:
    """Against a flat model: the bytes of the regions, and which of them may be written."""
    bench = Bench(content)
    model = {SCRATCH + i: byte for i, byte in enumerate(bench.scratch)}
    model |= {INPUT + i: byte for i, byte in enumerate(bench.input)}
    readable = model | {CONSTANT + i: byte for i, byte in enumerate(bench.constant)}
    readable |= {0x20100E00 + i: 0 for i in range(512)}
    writable = model.keys() | {0x20100E00 + i for i in range(512)}
    dst, src = registers[0] & 0xFFFFFFFF, registers[1] & 0xFFFFFFFF
    n = registers[2] & 0xFFFFFFFF if registers[2] & 0xFFFFFFFF < 600 else 2**32 - 1
    legal = n < 600 and all(dst + i in writable and src + i in readable for i in range(n))
    r0 = outcome(bench, 0x02, [dst, src, n])
    assert r0 == (dst if legal else None)
    if legal:
        copied = {dst + i: readable[src + i] for i in range(n)}
        for base, content_after in ((SCRATCH, bench.scratch), (INPUT, bench.input)):
            for i, byte in enumerate(content_after):
                assert byte == copied.get(base + i, model[base + i])
