"""bpf_printf against the C library of this machine, as far as the two are to agree (helpers.md section 6)."""

from __future__ import annotations

import ctypes

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.helper_bench import INPUT, Bench

C = ctypes.CDLL(None)
FLAGS = st.lists(st.sampled_from("-+ 0#"), max_size=5).map("".join)
WIDTH = st.one_of(st.just(""), st.integers(1, 40).map(str))
PRECISION = st.one_of(st.just(""), st.just("."), st.integers(0, 30).map(".{}".format))
VALUE = st.one_of(
    st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1])
)


def native(template: bytes, *arguments: int | bytes) -> bytes:
    buffer = ctypes.create_string_buffer(1024)
    passed = [ctypes.c_uint32(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    C.snprintf(buffer, len(buffer), ctypes.c_char_p(template), *passed)
    return buffer.value


def ours(template: bytes, *arguments: int) -> bytes:
    bench = Bench(template + b"\0")
    assert bench.call(0x01, INPUT, *arguments) == len(bench.console.content)
    return bytes(bench.console.content)


@given(
    flags=FLAGS,
    width=WIDTH,
    precision=PRECISION,
    length=st.sampled_from(["", "h", "hh"]),
    letter=st.sampled_from("diuoxX"),
    value=VALUE,
)
@settings(max_examples=2000, deadline=None)
def test_integers(flags: str, width: str, precision: str, length: str, letter: str, value: int) -> None:
    template = f"<%{flags}{width}{precision}{length}{letter}>".encode()
    assert ours(template, value) == native(template, value)


@given(
    left=st.sampled_from(["", "-"]),
    zero=st.sampled_from(["", "0"]),
    letter=st.sampled_from("dux"),
    star=st.integers(-40, 40),
    dot=st.integers(-5, 30),
    value=VALUE,
)
@settings(max_examples=500, deadline=None)
def test_stars(left: str, zero: str, letter: str, star: int, dot: int, value: int) -> None:
    template = f"<%{left}{zero}*.*{letter}>".encode()
    arguments = (star % 2**32, dot % 2**32, value)
    assert ours(template, *arguments) == native(template, *arguments)


@given(left=st.sampled_from(["", "-"]), width=WIDTH, precision=PRECISION, text=st.binary(max_size=30))
@settings(max_examples=500, deadline=None)
def test_strings(left: str, width: str, precision: str, text: bytes) -> None:
    text = text.split(b"\0")[0]
    template = f"<%{left}{width}{precision}s>".encode()
    bench = Bench(template + b"\0" + text + b"\0")
    bench.call(0x01, INPUT, INPUT + len(template) + 1)
    assert bytes(bench.console.content) == native(template, text)


@given(left=st.sampled_from(["", "-"]), width=WIDTH, value=st.integers(1, 2**32 - 1))
def test_characters(left: str, width: str, value: int) -> None:
    template = f"<%{left}{width}c>".encode()
    if value & 0xFF:
        assert ours(template, value) == native(template, value)
