"""Guest memory: byte-exact regions, strings, and what a fault says (programs.md sections 3 and 6)."""

from __future__ import annotations

import tracemalloc

import pytest

from device.vm.faults import FaultCode, GuestFault
from device.vm.memory import (
    CONTEXT_BASE,
    DATA_BASE,
    MAX_REGION_BYTES,
    RODATA_BASE,
    STACK_TOP,
    GuestMemory,
    Region,
    Stack,
)


def memory(context: bytes = b"\x11\x22\x33\x44\x55\x66\x77\x88", *, writable: bool = True) -> GuestMemory:
    return GuestMemory(
        [
            Region(".rodata", RODATA_BASE, bytearray(b"const\0tail"), writable=False),
            Region(".data", DATA_BASE, bytearray(4), writable=True),
            Region("the neighbour", DATA_BASE + 4, bytearray(4), writable=True),
            Region("the context", CONTEXT_BASE, bytearray(context), writable=writable),
            Region("nothing", 0x20300000, bytearray(), writable=True),
        ]
    )


@pytest.mark.parametrize(
    ("address", "size", "value"),
    [
        pytest.param(CONTEXT_BASE, 1, 0x11, id="byte"),
        pytest.param(CONTEXT_BASE + 1, 2, 0x3322, id="half at an odd address"),
        pytest.param(CONTEXT_BASE + 3, 4, 0x77665544, id="word unaligned"),
        pytest.param(CONTEXT_BASE, 8, 0x8877665544332211, id="the whole region"),
        pytest.param(CONTEXT_BASE + 7, 1, 0x88, id="the last byte"),
        pytest.param(STACK_TOP - 512, 8, 0, id="the lowest bytes of the frame"),
    ],
)
def test_load(address: int, size: int, value: int) -> None:
    assert memory().load(address, size) == value


@pytest.mark.parametrize(
    ("access", "address", "size", "message", "region", "distance"),
    [
        pytest.param(
            "store", 0x20100DF8, 8, "(8 below the stack frame)", "the stack frame", -8, id="below the frame"
        ),
        pytest.param(
            "load",
            STACK_TOP,
            1,
            "(just past the end of the stack frame)",
            "the stack frame",
            0,
            id="at r10 itself",
        ),
        pytest.param(
            "load",
            STACK_TOP - 4,
            8,
            "(4 beyond the end of the stack frame)",
            "the stack frame",
            None,
            id="over the top",
        ),
        pytest.param(
            "load",
            CONTEXT_BASE + 8,
            1,
            "(just past the end of the context)",
            "the context",
            0,
            id="past the context",
        ),
        pytest.param(
            "load",
            CONTEXT_BASE + 7,
            2,
            "(1 beyond the end of the context)",
            "the context",
            None,
            id="over the end",
        ),
        pytest.param(
            "load", CONTEXT_BASE - 1, 2, "(1 below the context)", "the context", -1, id="across the start"
        ),
        pytest.param("store", RODATA_BASE, 1, "(.rodata is read-only)", ".rodata", None, id="constant"),
        pytest.param(
            "load", DATA_BASE + 2, 4, "(2 beyond the end of .data)", ".data", None, id="across two that touch"
        ),
        pytest.param(
            "load",
            0x20300000,
            1,
            "(1048568 above the context)",
            "the context",
            1048568,
            id="a region of length 0",
        ),
        pytest.param("load", 0, 8, "(268435456 below .rodata)", ".rodata", -268435456, id="null"),
        pytest.param(
            "store",
            0xFFFFFFFC,
            8,
            "(3755999220 above the context)",
            "the context",
            3755999220,
            id="across 2^32",
        ),
    ],
)
def test_refused(
    access: str, address: int, size: int, message: str, region: str, distance: int | None
) -> None:
    guest = memory()
    with pytest.raises(GuestFault) as caught:
        guest.load(address, size) if access == "load" else guest.store(address, size, 0)
    fault = caught.value
    plural = "" if size == 1 else "s"
    assert fault.code is FaultCode.ILLEGAL_MEM
    assert fault.detail == f"{access} of {size} byte{plural} at 0x{address:x} {message}"
    assert (fault.address, fault.size, fault.access) == (address, size, access)
    assert (fault.region, fault.distance) == (region, distance)


def test_the_message_of_the_specification() -> None:
    with pytest.raises(GuestFault) as caught:
        memory().store(0x20100DF8, 8, 0)
    text = "ILLEGAL_MEM: store of 8 bytes at 0x20100df8 (8 below the stack frame) at insn #3 (offset 0x18)"
    assert str(caught.value.record(3)) == text


def test_store_writes_its_bytes_and_no_others() -> None:
    guest = memory(bytes(8))
    guest.store(CONTEXT_BASE + 3, 2, 0xAABBCCDD)
    assert guest.read(CONTEXT_BASE, 8) == bytes.fromhex("000000ddcc000000")


def test_a_read_only_context_refuses_stores() -> None:
    with pytest.raises(GuestFault, match="the context is read-only"):
        memory(writable=False).store(CONTEXT_BASE, 1, 0)


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_a_frame_is_reachable_once_it_is_active(frames: int) -> None:
    stack = Stack()
    guest = GuestMemory([], stack)
    stack.activate(frames)
    guest.store(STACK_TOP - 512 * frames, 8, 7)
    with pytest.raises(GuestFault, match="1 below the stack frame"):
        guest.load(STACK_TOP - 512 * frames - 1, 1)


def test_reset_makes_the_stack_new() -> None:
    stack = Stack(frame_size=32)
    guest = GuestMemory([], stack)
    stack.activate(8)
    guest.store(STACK_TOP - 8, 8, -1)
    guest.store(STACK_TOP - 256, 8, -1)
    stack.reset()
    assert stack.base == STACK_TOP - 32
    assert bytes(stack.data) == bytes(256)


@pytest.mark.parametrize("size", [2**16, 2**31, 2**32 - 1])
def test_hostile_sizes_are_refused_before_anything_is_allocated(size: int) -> None:
    guest = memory()
    tracemalloc.start()
    try:
        for attempt in (guest.read, guest.check_readable, guest.check_writable):
            with pytest.raises(GuestFault):
                attempt(CONTEXT_BASE, size)
        with pytest.raises(GuestFault):
            guest.read_prefix(CONTEXT_BASE, size)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_nothing_is_always_legal() -> None:
    guest = memory()
    assert guest.read(0, 0) == b""
    assert guest.read_prefix(0, 0) == b""
    guest.write(0, b"")
    guest.check_readable(0xFFFFFFFF, 0)
    guest.check_writable(RODATA_BASE, 0)


@pytest.mark.parametrize(
    ("content", "limit", "expected"),
    [
        pytest.param(b"abc\0def", None, b"abc", id="up to the NUL"),
        pytest.param(b"abc\0", 4, b"abc", id="the NUL is the last byte of the limit"),
        pytest.param(b"\0", 1, b"", id="empty"),
        pytest.param(b"a" * 5000 + b"\0b", None, b"a" * 5000, id="longer than a page"),
        pytest.param(b"a" * 4096 + b"\0", 4097, b"a" * 4096, id="just over a page"),
    ],
)
def test_read_string(content: bytes, limit: int | None, expected: bytes) -> None:
    guest = memory(content)
    assert guest.read_string(CONTEXT_BASE, limit) == expected
    assert guest.string_length(CONTEXT_BASE, limit) == len(expected)


@pytest.mark.parametrize(
    ("content", "limit", "message"),
    [
        pytest.param(
            b"abcd\0", 4, "read of 4 bytes at 0x20200000 (no NUL in these bytes of the context)", id="limit"
        ),
        pytest.param(
            b"abc",
            None,
            "read of 4 bytes at 0x20200000 (no NUL up to the end of the context)",
            id="end of the region",
        ),
        pytest.param(
            b"abc",
            3,
            "read of 4 bytes at 0x20200000 (no NUL up to the end of the context)",
            id="limit is the end of the region",
        ),
    ],
)
def test_read_string_refused(content: bytes, limit: int | None, message: str) -> None:
    with pytest.raises(GuestFault) as caught:
        memory(content).read_string(CONTEXT_BASE, limit)
    assert caught.value.detail == message


def test_a_string_does_not_go_on_in_the_next_region() -> None:
    guest = memory()
    guest.write(DATA_BASE, b"\x01\x01\x01\x01")
    with pytest.raises(GuestFault, match=r"no NUL up to the end of \.data"):
        guest.read_string(DATA_BASE)


@pytest.mark.parametrize(
    ("size", "expected"), [(2, b"ab"), (3, b"abc"), (4, b"abc"), (0xFFFFFFFF, b"abc")], ids=str
)
def test_read_prefix_ends_at_the_nul_or_the_size(size: int, expected: bytes) -> None:
    assert memory(b"abc\0").read_prefix(CONTEXT_BASE, size) == expected


def test_read_prefix_needs_its_bytes() -> None:
    assert memory(b"abc").read_prefix(CONTEXT_BASE, 3) == b"abc"
    with pytest.raises(GuestFault, match="1 beyond the end of the context"):
        memory(b"abc").read_prefix(CONTEXT_BASE, 4)


def test_a_short_string_in_a_large_region_copies_little() -> None:
    guest = memory(b"a\0" + bytes(MAX_REGION_BYTES - 2))
    tracemalloc.start()
    try:
        assert guest.read_string(CONTEXT_BASE) == b"a"
        assert tracemalloc.get_traced_memory()[1] < 16_384
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        pytest.param(0x30000, "first", id="where two share 64 KiB"),
        pytest.param(0x38000, "second", id="the other one"),
        pytest.param(0x47FFC, "second", id="across a border"),
        pytest.param(0x48000 - 4, "second", id="its end"),
        pytest.param(0x37FFD, None, id="two that touch"),
        pytest.param(0x48000, None, id="behind it"),
        pytest.param(0xFFFFFFFC, None, id="the last bytes of all"),
    ],
)
def test_regions_wherever_they_lie(address: int, name: str | None) -> None:
    """Not only at the places of the map, which are 64 KiB apart."""
    first = Region("first", 0x30000, bytearray(0x8000), writable=True)
    memory = GuestMemory([first, Region("second", 0x38000, bytearray(0x10000), writable=True)])
    if name is None:
        with pytest.raises(GuestFault):
            memory.find(address, 4, write=True)
    else:
        assert memory.find(address, 4, write=True)[0].name == name
