"""The native code that a device measures is the evaluation's, and computes what the published programs do."""

from __future__ import annotations

import pytest

from client.bench.native import load
from device.jit import fletcher
from device.jit.layout import CODE_BASE


def test_it_is_the_code_of_the_evaluation() -> None:
    native = load("fletcher16", "gcc", "Os")
    assert (native.text, native.rodata, native.entry) == (fletcher.CODE, b"", CODE_BASE | 1)


@pytest.mark.parametrize("size", fletcher.TAILS)
def test_result(size: int) -> None:
    one = two = 0
    for byte in fletcher.data(size):
        one = (one + byte) % 255
        two = (two + one) % 255
    done = fletcher.run(size)
    assert done.result == two << 8 | one
    assert done.run_us > 0
