"""No argument and no format makes a helper do anything but its work, or fault without a trace.

Whatever the registers hold: no byte outside the regions is read or written, a fault changes nothing, and
nothing but GuestFault is raised.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import HELPERS
from tests.unit.helper_bench import CONSTANT, INPUT, SCRATCH, Bench

NEAR = st.tuples(st.sampled_from([CONSTANT, SCRATCH, INPUT, 0, 2**32]), st.integers(-80, 80)).map(sum)
SMALL = st.integers(-20, 300)
WORD = st.integers(0, 2**64 - 1)
REGISTER = st.one_of(NEAR, SMALL, WORD).map(lambda value: value & 0xFFFFFFFF_FFFFFFFF)
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
@given(content=CONTENT, registers=REGISTERS)
@settings(deadline=None)
def test_any_arguments(helper: int, content: bytes, registers: list[int]) -> None:
    bench = Bench(content)
    r0 = outcome(bench, helper, registers)
    assert r0 is None or 0 <= r0 < 2**64
    assert bytes(bench.constant) == b"constant\0"
    assert (len(bench.scratch), len(bench.input)) == (64, len(content))
    assert len(bench.console.content) <= 512


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
