"""What is said of the interpreter's goals: no figure of these is measured."""

from __future__ import annotations

import pytest

from client.bench import goals
from client.bench.settings import Row


def row(kernel: str, engine: str = "interpreter", **figures: float) -> Row:
    """A row that reaches every goal, but for what is given."""
    return {
        "kernel": kernel, "bytes": 8, "engine": engine, "helper_bound": kernel == "average",
        "insn_per_s": 30e6, "ratio": 12.0, "prepare_us_per_insn": 30.0, "first_call_seconds": 0.0005,
        **figures,
    }  # fmt: skip


REACHED = [
    "interpreter, goal of 25 M/s on arithmetic, CRC, sort: reached, 30.0 (sort 8)",
    "interpreter, goal of 10 times switch on all: reached, 12.0 (sort 8)",
    "interpreter, goal of 40 µs/INSN to prepare: reached, 30.0 (sort 8)",
]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([row("sort")], REACHED, id="reached"),
        pytest.param([row("sort"), row("sort", "jit", ratio=1.0)], REACHED, id="of other engines nothing"),
        pytest.param(
            [row("sort", insn_per_s=25e6, ratio=10.0, prepare_us_per_insn=40.0)],
            [line.replace("30.0 (", "25.0 (", 1) if "M/s" in line else line for line in REACHED[:1]]
            + [REACHED[1].replace("12.0", "10.0"), REACHED[2].replace("30.0", "40.0")],
            id="exactly",
        ),
        pytest.param(
            [row("sort", ratio=9.9), row("average", ratio=2.6), row("copy")],
            [
                REACHED[0],
                "interpreter, goal of 10 times switch on all: missed by 2 of 3: "
                "2.6 (average 8, bound by helpers), 9.9 (sort 8)",
                REACHED[2],
            ],
            id="missed, the furthest first",
        ),
        pytest.param(
            [row("small", first_call_seconds=0.0012, prepare_us_per_insn=41.5)],
            [
                REACHED[1].replace("sort", "small"),
                "interpreter, goal of 40 µs/INSN to prepare: missed by 1 of 1: 41.5 (small 8)",
                "interpreter, goal of 1 ms to the first result: missed by 1 of 1: 1.2 (small 8)",
            ],
            id="upper bounds",
        ),
        pytest.param([row("sort", "switch")], [], id="nothing measured"),
    ],
)
def test_lines(rows: list[Row], expected: list[str]) -> None:
    assert list(goals.lines(rows)) == expected
