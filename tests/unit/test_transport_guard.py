"""The guard in front of aiocoap's parser: everything RFC 7252 calls malformed, nothing that it does not."""

from __future__ import annotations

import pytest
from aiocoap import Code, Message
from aiocoap.numbers.types import Type
from hypothesis import given
from hypothesis import strategies as st

from device.transport.guard import fault_of, reset_for

GET = bytes.fromhex("40010001")


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"\x40\x00\x00\x01", id="ping"),
        pytest.param(b"\x60\x00\x00\x01", id="empty acknowledgement"),
        pytest.param(GET, id="GET /"),
        pytest.param(GET + b"\xb4test", id="GET /test"),
        pytest.param(b"\x48\x01\x00\x01" + b"T" * 8 + b"\xb1a\x01b", id="longest token"),
        pytest.param(GET + b"\xff\x00", id="payload"),
        pytest.param(GET + b"\xd1\xf0\x01", id="option 253"),
        pytest.param(GET + b"\xe0\xfe\xf2", id="option 65535"),
        pytest.param(GET + b"\x60", id="Observe without bytes"),
        pytest.param(GET + b"\xbd\x00" + b"a" * 13, id="extended length"),
    ],
)
def test_what_is_coap_passes(datagram: bytes) -> None:
    assert fault_of(datagram) is None


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x40\x01\x00", id="three bytes"),
        pytest.param(b"\x80\x01\x00\x01", id="version 2"),
        pytest.param(b"\x49\x01\x00\x01" + b"T" * 9, id="token of nine"),
        pytest.param(b"\x4f\x01\x00\x01" + b"T" * 15, id="token of fifteen"),
        pytest.param(b"\x44\x01\x00\x01TT", id="token cut off"),
        pytest.param(b"\x41\x00\x00\x01T", id="empty with token"),
        pytest.param(b"\x40\x00\x00\x01\xffx", id="empty with payload"),
        pytest.param(b"\x40\x20\x00\x01", id="code class 1"),
        pytest.param(b"\x40\x60\x00\x01", id="code class 3"),
        pytest.param(b"\x40\xe1\x00\x01", id="signalling"),
        pytest.param(GET + b"\xff", id="marker without payload"),
        pytest.param(GET + b"\xf0", id="reserved delta"),
        pytest.param(GET + b"\xbf", id="reserved length"),
        pytest.param(GET + b"\xb4tes", id="option cut off"),
        pytest.param(GET + b"\xd0", id="delta cut off"),
        pytest.param(GET + b"\xe0\x00", id="long delta cut off"),
        pytest.param(GET + b"\xe0\xfe\xf3", id="option 65536"),
        pytest.param(GET + b"\xb2\xff\xfe", id="path that is not UTF-8"),
        pytest.param(GET + b"\xb3\xed\xa0\x80", id="path with a surrogate"),
        pytest.param(GET + b"\x30", id="empty Uri-Host"),
        pytest.param(GET + b"\xc3\x00\x00\x00", id="content-format of three bytes"),
        pytest.param(GET + b"\xd4\x0a\x00\x00\x00\x00", id="Block2 of four bytes"),
        pytest.param(GET + b"\xbe\x00\x00" + b"a" * 269, id="path segment of 269 bytes"),
        pytest.param(GET + b"\xbd\xf3" + b"a" * 256, id="path segment of 256 bytes"),
    ],
)
def test_what_is_not_coap_is_stopped(datagram: bytes) -> None:
    assert fault_of(datagram) is not None


@pytest.mark.parametrize(
    ("datagram", "reset"),
    [
        (b"\x4f\x01\x12\x34", b"\x70\x00\x12\x34"),
        (b"\x5f\x01\x12\x34", None),
        (b"\x6f\x45\x12\x34", None),
        (b"\x8f\x01\x12\x34", None),
        (b"\x40\x01", None),
    ],
    ids=["confirmable", "non-confirmable", "acknowledgement", "another version", "short"],
)
def test_only_a_confirmable_message_is_reset(datagram: bytes, reset: bytes | None) -> None:
    assert reset_for(datagram) == reset


@given(st.binary(max_size=64))
def test_no_datagram_raises_and_what_passes_can_be_parsed(datagram: bytes) -> None:
    if fault_of(datagram) is None:
        Message.decode(datagram)


@given(
    st.lists(st.text(max_size=20), max_size=4),
    st.binary(max_size=20),
    st.binary(max_size=8),
    st.integers(0, 65535),
)
def test_what_aiocoap_sends_passes(path: list[str], payload: bytes, token: bytes, number: int) -> None:
    message = Message(code=Code.PUT, payload=payload, uri_path=path, content_format=60, block1=(3, True, 2))
    message.mtype, message.mid, message.token = Type.CON, number, token
    assert fault_of(message.encode()) is None
