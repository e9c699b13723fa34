"""Packets as context: what a program finds, how it builds a reply, what becomes of its result."""

from __future__ import annotations

import pytest

from device.errors import MicroBpfError
from device.vm.faults import FaultCode, GuestFault
from device.vm.packet import Packet, PacketReply, PacketRequest, encode_option
from tests.unit.helper_bench import Bench

CONTEXT, VIEW, BUFFER = 0x20200000, 0x20210000, 0x20220000
EINVAL, ENOSPC, MINUS_1 = (2**64 - number for number in (22, 28, 1))
ASKED = PacketRequest(True, 0x1234, b"\xaa\xbb", 0x02, ((11, b"a"), (11, b"bc"), (12, b"")), b"payload")


def view(packet: Packet) -> tuple[int, ...]:
    content = bytes(packet.regions[0].data)
    sizes = ((0, 4), (4, 4), (8, 4), (12, 2), (14, 2))
    return tuple(int.from_bytes(content[at : at + size], "little") for at, size in sizes)


class TestRequest:
    def test_the_message_is_encoded_anew(self) -> None:
        packet = Packet(ASKED)
        message = bytes.fromhex("42 02 1234 aabb b161 026263 10 ff") + b"payload"
        assert bytes(packet.buffer) == message.ljust(128, b"\0")
        assert view(packet) == (BUFFER, BUFFER + 13, BUFFER + 4, 7, 3)
        assert bytes(packet.context) == b"".join(value.to_bytes(8, "little") for value in (VIEW, BUFFER, 128))

    def test_order_of_profiles_with_the_token_first(self) -> None:
        assert view(Packet(ASKED, token_first=True)) == (BUFFER, BUFFER + 4, BUFFER + 13, 7, 3)

    def test_nothing_but_a_header(self) -> None:
        packet = Packet(PacketRequest(False, 7, b"", 0x01))
        assert bytes(packet.buffer[:5]) == bytes.fromhex("50 01 0007 00")
        assert view(packet) == (BUFFER, BUFFER + 4, 0, 0, 0)

    def test_block_options_are_left_out(self) -> None:
        packet = Packet(PacketRequest(True, 7, b"", 0x02, ((23, b"\x08"), (27, b"\x0a"), (60, b"\x01"))))
        assert bytes(packet.buffer[4:8]) == bytes.fromhex("d12f 01 00")

    @pytest.mark.parametrize(("capacity", "free"), [(20, 7), (16, 3), (13, 0), (12, 0), (6, 0)])
    def test_it_is_cut_at_the_buffer(self, capacity: int, free: int) -> None:
        packet = Packet(ASKED, capacity)
        assert len(packet.buffer) == capacity
        assert view(packet)[1] == BUFFER + min(13, capacity)
        assert view(packet)[3] == free

    def test_view_and_context_are_read_only_and_the_buffer_is_not(self) -> None:
        assert [region.writable for region in Packet(ASKED).regions] == [False, True]


@pytest.mark.parametrize(
    ("delta", "size", "head"),
    [
        (12, 0, "c0"),
        (12, 12, "cc"),
        (13, 0, "d000"),
        (268, 13, "ddff00"),
        (269, 0, "e00000"),
        (300, 300, "ee001f001f"),
    ],
)
def test_options(delta: int, size: int, head: str) -> None:
    assert encode_option(delta, bytes(size)) == bytes.fromhex(head) + bytes(size)


class TestReply:
    def test_the_example_of_the_specification(self) -> None:
        packet = Packet(PacketRequest(True, 0x1234, b"tt", 0x01))
        bench = Bench(packet=packet)
        assert bench.call(0x40, CONTEXT, 69) == 0
        assert view(packet) == (BUFFER, BUFFER + 6, BUFFER + 4, 122, 0)
        assert bench.call(0x42, CONTEXT, 0) == 1
        assert bench.call(0x41, CONTEXT, 1) == 8
        assert bench.call(0x43, CONTEXT) == BUFFER + 8
        assert view(packet) == (BUFFER, BUFFER + 8, BUFFER + 4, 120, 1)
        assert bytes(packet.buffer[:8]) == bytes.fromhex("62 45 1234 7474 c0 ff")
        bench.memory.write(BUFFER + 8, b"hello")
        assert packet.reply(13) == PacketReply(69, ((12, b""),), b"hello")

    def test_a_non_confirmable_request_gets_such_a_reply(self) -> None:
        packet = Packet(PacketRequest(False, 1, b"", 0x01))
        assert packet.begin(69) == 0
        assert packet.buffer[0] == 0x50

    @pytest.mark.parametrize(
        ("format_", "option"),
        [(0, "c0"), (50, "c132"), (255, "c1ff"), (256, "c20100"), (65535, "c2ffff")],
    )
    def test_formats_in_their_shortest_form(self, format_: int, option: str) -> None:
        packet = Packet(PacketRequest(True, 1, b"", 0x01))
        bench = Bench(packet=packet)
        bench.call(0x40, CONTEXT, 69)
        assert bench.call(0x42, CONTEXT, format_) == len(option) // 2
        assert bytes(packet.buffer[4 : 4 + len(option) // 2]) == bytes.fromhex(option)
        assert bench.call(0x42, CONTEXT, 65536) == EINVAL

    def test_without_payload(self) -> None:
        packet = Packet(PacketRequest(True, 1, b"", 0x01))
        bench = Bench(packet=packet)
        bench.call(0x40, CONTEXT, 0x84)
        assert bench.call(0x41, CONTEXT, 2) == 4
        assert view(packet)[3] == 0
        assert packet.reply(4) == PacketReply(0x84, (), b"")

    def test_a_marker_without_payload_is_dropped_and_a_nul_is_sent(self) -> None:
        packet = Packet(PacketRequest(True, 1, b"", 0x01))
        packet.begin(69)
        packet.finish(1)
        assert packet.reply(5).payload == b""
        assert packet.reply(6).payload == b"\0"

    def test_order(self) -> None:
        bench = Bench(packet=Packet(PacketRequest(True, 1, b"", 0x01)))
        assert [bench.call(0x42, CONTEXT, 0), bench.call(0x41, CONTEXT, 1)] == [EINVAL, EINVAL]
        bench.call(0x40, CONTEXT, 69)
        bench.call(0x41, CONTEXT, 1)
        assert [bench.call(0x42, CONTEXT, 0), bench.call(0x41, CONTEXT, 1)] == [EINVAL, EINVAL]
        assert bench.call(0x40, CONTEXT, 69) == 0
        assert bench.call(0x42, CONTEXT, 0) == 1

    @pytest.mark.parametrize(
        ("capacity", "results"),
        [(3, [MINUS_1, EINVAL, EINVAL]), (4, [0, ENOSPC, ENOSPC]), (5, [0, 1, ENOSPC]), (6, [0, 1, 6])],
    )
    def test_a_buffer_that_is_too_small(self, capacity: int, results: list[int]) -> None:
        bench = Bench(packet=Packet(PacketRequest(True, 1, b"", 0x01), capacity))
        assert [
            bench.call(0x40, CONTEXT, 69),
            bench.call(0x42, CONTEXT, 0),
            bench.call(0x41, CONTEXT, 1),
        ] == results

    @pytest.mark.parametrize("code", [256, 2**32 - 1])
    def test_codes_that_are_none(self, code: int) -> None:
        assert Bench(packet=Packet(ASKED)).call(0x40, CONTEXT, code) == MINUS_1

    @pytest.mark.parametrize("helper", [0x40, 0x41, 0x42, 0x43])
    def test_another_context_is_a_fault(self, helper: int) -> None:
        packet = Packet(ASKED)
        before = bytes(packet.buffer)
        for address in (0, CONTEXT + 1, CONTEXT - 1, VIEW, BUFFER):
            with pytest.raises(GuestFault) as caught:
                Bench(packet=packet).call(helper, address, 69)
            fault = caught.value
            assert (fault.code, fault.argument, fault.address) == (FaultCode.ILLEGAL_MEM, 1, address)
        assert bytes(packet.buffer) == before

    def test_without_packet(self) -> None:
        bench = Bench()
        assert [bench.call(helper, 5, 69) for helper in (0x40, 0x41, 0x42, 0x43)] == [EINVAL] * 3 + [0]


@pytest.mark.parametrize(
    ("message", "r0", "problem"),
    [
        ("6045 0000", 0, "4 to 128"),
        ("6045 0000", 3, "4 to 128"),
        ("6045 0000", 129, "4 to 128"),
        ("6045 0000", 2**64 - 28, "-28"),
        ("6145 0000 00", 5, "begins with 0x61"),
        ("2045 0000", 4, "begins with 0x20"),
        ("6001 0000", 4, "0x01 is no response code"),
        ("6045 0000 c2", 5, "beyond the end"),
        ("6045 0000 f0", 5, "not encoded"),
        ("6045 0000 e000", 6, "not encoded"),
        ("6045 0000 d1", 5, "not encoded"),
        ("6045 0000 e0ffff e0ffff", 10, "beyond the end"),
    ],
)
def test_results_that_make_no_reply(message: str, r0: int, problem: str) -> None:
    packet = Packet(PacketRequest(True, 0, b"", 0x01))
    content = bytes.fromhex(message)
    packet.buffer[: len(content)] = content
    with pytest.raises(MicroBpfError) as caught:
        packet.reply(r0)
    assert caught.value.code == "bad-reply"
    assert problem in caught.value.detail
