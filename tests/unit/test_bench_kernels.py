"""The kernels return what another computation of the same thing returns, on every engine."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise
from math import gcd

import pytest

from client.bench import kernels, running
from client.bench.kernels import Kernel
from device.engines import ENGINES
from device.vm import verifier

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
ALL = kernels.load()


def words(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data) - size + 1, size)]


def arith64(data: bytes) -> int:
    x, total = (len(data) + 0x9E3779B97F4A7C15) & M64, 1 if data else 0
    for _ in range(10000):
        x ^= x << 13 & M64
        x ^= x >> 7
        x ^= x << 17 & M64
        total += x * 0x2545F4914F6CDD1D
    return total & M64


def arith32(data: bytes) -> int:
    x, total = len(data), 1 if data else 0
    for i in range(10000):
        x = (x * 1664525 + 1013904223) & M32
        total += ((x << 7 | x >> 25) & M32) ^ i
    return total & M32


def fletcher16(data: bytes) -> int:
    one = two = 0
    for byte in data:
        one = (one + byte) % 255
        two = (two + one) % 255
    return two << 8 | one


def fletcher32(data: bytes) -> int:
    """With a modulo; the sums begin at 0xffff, which stays 0xffff instead of 0."""
    one = two = 0xFFFF
    for word in words(data, 2):
        one += word
        two += one
    return ((two - 1) % 65535 + 1) << 16 | ((one - 1) % 65535 + 1)


def copy(data: bytes) -> int:
    total = 0
    for byte in data[: len(data) // 2]:
        total = total * 31 + byte
    return total & M64


def search(data: bytes) -> int:
    return sum(data.find(data[-8:], first) for first in range(4))


def siphash(data: bytes) -> int:
    """As in Aumasson and Bernstein's paper."""
    k0, k1 = words(bytes(range(16)), 8)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x: int, by: int) -> int:
        return (x << by | x >> 64 - by) & M64

    def rounds(count: int) -> None:
        for _ in range(count):
            for a, b, c, d, left, right in ((0, 1, 2, 3, 13, 16), (2, 1, 0, 3, 17, 21)):
                v[a] = (v[a] + v[b]) & M64
                v[c] = (v[c] + v[d]) & M64
                v[b] = rotate(v[b], left) ^ v[a]
                v[d] = rotate(v[d], right) ^ v[c]
                v[a] = rotate(v[a], 32)

    padding = bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for word in words(data + padding, 8):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def states(data: bytes) -> int:
    """Token by token: a digit within a word belongs to it, a letter behind a number begins a word."""
    kinds = "".join("9" if chr(c).isdigit() else "a" if chr(c).isalnum() or c == 95 else "." for c in data)
    found = [0, 0]
    value, state = 0, "."
    for kind, byte in zip(kinds, data, strict=True):
        if kind == "9" and state == "a":
            continue
        if kind == "9":
            value = value * 10 + byte - 48
        if kind != "." and kind != state:
            found[kind == "9"] += 1
        state = kind
    marks = sum(kind == "." and byte != 32 for kind, byte in zip(kinds, data, strict=True))
    return found[0] << 48 | found[1] << 32 | (marks & 0xFFFF) << 16 | value & 0xFFFF


def calls(data: bytes) -> int:
    def inner(x: int, y: int) -> int:
        return x * 3 + (y ^ 5)

    total = len(data)
    for i in range(2000):
        total = (inner(total, i) + inner(i, total)) & M64 ^ (not data)
    return total


def average(data: bytes) -> int:
    ring = [0] * 8
    total = 0
    for i, byte in enumerate(data):
        ring[i % 8] = byte
        total += sum(ring) // 8
    return total


def small(data: bytes) -> int:
    reading = int.from_bytes(data, "big")
    return reading // 3 if reading > 0x40000000 else (reading * 7 + 1) & M32


REFERENCES: dict[str, Callable[[bytes], int]] = {
    "arith64": arith64,
    "arith32": arith32,
    "divide": lambda data: sum(gcd(*pair) for pair in pairwise(words(data, 4))),
    "crc32": zlib.crc32,
    "sort": lambda data: sum(n * i for i, n in enumerate(sorted(words(data, 4)), 1)) & M64,
    "fletcher16": fletcher16,
    "fletcher32": fletcher32,
    "copy": copy,
    "search": search,
    "siphash": siphash,
    "states": states,
    "calls": calls,
    "average": average,
    "helper_calls": lambda data: (not data) + len(data) + sum(12 + i for i in range(1000)),
    "small": small,
}


def label(kernel: Kernel) -> str:
    return f"{kernel.name}-{kernel.bytes}"


@pytest.mark.parametrize("kernel", ALL, ids=label)
def test_what_is_expected_is_right(kernel: Kernel) -> None:
    assert kernel.expected == REFERENCES[kernel.name](kernel.context)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kernel", ALL, ids=label)
def test_kernels_return_it_on_every_engine(kernel: Kernel, engine: str) -> None:
    assert running.call(ENGINES[engine], kernel).outcome.r0 == kernel.expected


@pytest.mark.parametrize("kernel", ALL, ids=label)
def test_kernels_are_what_a_device_accepts(kernel: Kernel) -> None:
    report = verifier.verify(kernel.program, helpers=running.HELPERS)
    assert [finding.id for finding in report.errors] == []


def test_every_source_has_its_object_and_every_object_is_used() -> None:
    home = kernels.folder()
    sources = {path.stem for path in home.glob("*.c")}
    assert sources == {path.stem for path in (home / "objects").glob("*.o")}
    assert sources == {*REFERENCES, "access"}
    assert {kernel.name for kernel in ALL} == set(REFERENCES)
