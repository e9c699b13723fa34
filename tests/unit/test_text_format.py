"""The conversions of bpf_printf, against a table and against the C library (helpers.md section 6)."""

from __future__ import annotations

import ctypes
import tracemalloc
from ctypes.util import find_library
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device.vm.helpers.format import MAX_OUTPUT, parse, render

NAMES = {100: b"name", 200: b"", 300: b"\xff\x80"}


def read_string(_argument: int, address: int, precision: int | None) -> bytes:
    text = NAMES[address]
    return text if precision is None else text[:precision]


def text(template: bytes, *values: int) -> bytes:
    pieces = parse(template)
    assert pieces is not None
    return render(pieces, (*values, *[0] * (4 - len(values))), read_string).content


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        pytest.param(b"plain", (), b"plain", id="no conversion"),
        pytest.param(b"", (), b"", id="nothing"),
        pytest.param(b"%d %i", (5, 0xFFFFFFFF), b"5 -1", id="d i"),
        pytest.param(b"%u", (0xFFFFFFFF,), b"4294967295", id="u"),
        pytest.param(b"%o %x %X", (8, 0xBEEF, 0xBEEF), b"10 beef BEEF", id="o x X"),
        pytest.param(b"%c%c", (0x141, 0xFF), b"A\xff", id="c takes the low byte"),
        pytest.param(b"%s|%s|%s", (100, 200, 300), b"name||\xff\x80", id="s"),
        pytest.param(b"%s %.3s %.0s.", (0, 0, 0), b"(null) (nu .", id="s of a null pointer"),
        pytest.param(b"%p %p", (0x20000000, 0), b"0x20000000 0x0", id="p"),
        pytest.param(b"%%%d%%", (1,), b"%1%", id="percent"),
        pytest.param(b"%5%|", (), b"%|", id="percent with a width"),
        pytest.param(b"[%5d][%-5d][%05d]", (42, 42, 42), b"[   42][42   ][00042]", id="width"),
        pytest.param(b"%+d % d %+d", (1, 1, 0xFFFFFFFF), b"+1  1 -1", id="signs"),
        pytest.param(b"%#x %#X %#o %#x", (255, 255, 8, 0), b"0xff 0XFF 010 0", id="alternative form"),
        pytest.param(b"%.3d|%8.3d|%-5.3d|%08.3d", (7, 7, 7, 7), b"007|     007|007  |     007", id="digits"),
        pytest.param(b"[%.0d][%.d][%#.0o]", (0, 0, 0), b"[][][0]", id="zero with precision zero"),
        pytest.param(b"%*d|%-*d|", (4, 1, 4, 2), b"   1|2   |", id="star width"),
        pytest.param(b"%*d|%.*d", (0xFFFFFFFC, 1, 0xFFFFFFFF, 5), b"1   |5", id="negative stars"),
        pytest.param(b"%hhd %hhu %hd %hu", (511, 511, 98304, 98304), b"-1 255 -32768 32768", id="hh h"),
        pytest.param(b"%ld %lld %zu %ju", (0xFFFFFFFF, 5, 6, 7), b"-1 5 6 7", id="l ll z j"),
        pytest.param(b"%td", (0xFFFFFFFF,), b"-1", id="t"),
        pytest.param(b"%n%d", (5,), b"%n5", id="n as it stands"),
        pytest.param(b"%5.2f %e %d", (5,), b"%5.2f %e 5", id="floating point as it stands"),
        pytest.param(b"%Lf %q %\xc3\xa4 %d", (5,), b"%Lf %q %\xc3\xa4 5", id="unknown as it stands"),
        pytest.param(b"%-+05k|", (), b"%-+05k|", id="unknown with flags as it stands"),
        pytest.param(b"%d%d%d%d%d", (1, 2, 3, 4), b"1234(missing)", id="fifth"),
        pytest.param(b"%*d%*d%d%%", (2, 1, 2, 1), b" 1 1(missing)%", id="stars take arguments"),
        pytest.param(b"%d%d%d%*d.", (1, 2, 3, 4), b"123(missing).", id="a star took the last"),
        pytest.param(b"%d%d%d%d%*.*d.", (1, 2, 3, 4), b"1234(missing).", id="stars without arguments"),
        pytest.param(b"%-6s|%6s|%6.2s|", (100, 100, 100), b"name  |  name|    na|", id="width of s"),
        pytest.param(b"%3c|%-3c|", (65, 66), b"  A|B  |", id="width of c"),
        pytest.param(b"%10p|", (0xAB,), b"      0xab|", id="width of p"),
        pytest.param(b"a\nb\xff", (), b"a\nb\xff", id="bytes as they are"),
    ],
)  # fmt: skip
def test_text(template: bytes, values: tuple[int, ...], expected: bytes) -> None:
    assert text(template, *values) == expected


@pytest.mark.parametrize(
    "template", [b"%", b"%%%", b"%-+ 0#", b"%12", b"%*", b"%.", b"%.5", b"%hh", b"%l", b"x%z"]
)
def test_unterminated(template: bytes) -> None:
    assert parse(template) is None


@pytest.mark.parametrize(
    ("template", "values", "begins"),
    [
        pytest.param(b"%999999999d", (7,), b" " * 512, id="width"),
        pytest.param(b"%-999999999d!", (7,), b"7" + b" " * 511, id="left"),
        pytest.param(b"%.999999999d", (7,), b"0" * 512, id="precision"),
        pytest.param(b"%0999999999d", (0xFFFFFFFF,), b"-" + b"0" * 511, id="zeros"),
        pytest.param(b"%*.*d", (0x7FFFFFFF, 0x7FFFFFFF, 7), b"0" * 512, id="both by arguments"),
        pytest.param(b"%*d", (0x80000000, 7), b"7" + b" " * 511, id="the least int as width"),
        pytest.param(b"%" + b"9" * 250 + b"x", (7,), b" " * 512, id="a width of 250 digits"),
        pytest.param(b"%2147483647s", (100,), b" " * 512, id="string"),
        pytest.param(b"%500d%.600d", (1, 2), b" " * 499 + b"1" + b"0" * 12, id="cut in the second"),
    ],
)
def test_huge_widths_cost_nothing(template: bytes, values: tuple[int, ...], begins: bytes) -> None:
    tracemalloc.start()
    start = perf_counter()
    try:
        assert text(template, *values) == begins
        assert perf_counter() - start < 5
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


LIBC = ctypes.CDLL(find_library("c")) if find_library("c") else None
FLAGS = st.lists(st.sampled_from("-+ 0#"), max_size=3, unique=True).map("".join)
WIDTH = st.one_of(st.just(""), st.integers(1, 700).map(str))
PRECISION = st.one_of(st.just(""), st.just("."), st.integers(0, 700).map(lambda n: f".{n}"))
CORNERS = st.sampled_from([0, 1, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1])
VALUE = st.one_of(CORNERS, st.integers(0, 2**32 - 1))


@pytest.mark.skipif(LIBC is None, reason="needs the C library's snprintf as oracle")
@given(
    flags=FLAGS,
    width=WIDTH,
    precision=PRECISION,
    length=st.sampled_from(["", "h", "hh"]),
    letter=st.sampled_from("diuoxX"),
    value=VALUE,
)
@example(flags="#", width="", precision=".0", length="", letter="o", value=0)
@example(flags="#0", width="12", precision="", length="", letter="o", value=8)
@settings(deadline=None)
def test_integers_are_the_c_librarys(
    flags: str, width: str, precision: str, length: str, letter: str, value: int
) -> None:
    template = f"%{flags}{width}{precision}{length}{letter}".encode()
    buffer = ctypes.create_string_buffer(2048)
    assert LIBC is not None
    LIBC.snprintf(buffer, ctypes.c_size_t(len(buffer)), template, ctypes.c_uint(value))
    assert text(template, value) == buffer.value[:MAX_OUTPUT]


@pytest.mark.skipif(LIBC is None, reason="needs the C library's snprintf as oracle")
@given(flags=st.sampled_from(["", "-"]), width=WIDTH, precision=PRECISION, stars=st.booleans())
@settings(deadline=None)
def test_strings_are_the_c_librarys(flags: str, width: str, precision: str, stars: bool) -> None:
    buffer = ctypes.create_string_buffer(2048)
    assert LIBC is not None
    size = ctypes.c_size_t(len(buffer))
    if stars:
        numbers = int(width or 0), int(precision[1:] or 0) if precision else -1
        LIBC.snprintf(buffer, size, f"%{flags}*.*s".encode(), *numbers, NAMES[100])
        ours = text(f"%{flags}*.*s".encode(), *(n & 0xFFFFFFFF for n in numbers), 100)
    else:
        LIBC.snprintf(buffer, size, f"%{flags}{width}{precision}s".encode(), NAMES[100])
        ours = text(f"%{flags}{width}{precision}s".encode(), 100)
    assert ours == buffer.value[:MAX_OUTPUT]
