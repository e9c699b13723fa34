"""What engines.md wants of the interpreter, held against what was measured: reached, or missed by what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from client.bench.settings import Row

ENGINE: Final = "interpreter"
_LOOPS: Final = ("arith64", "arith32", "crc32", "sort")
_FLETCHER: Final = ("fletcher16", "fletcher32")
_SMALL: Final = ("small",)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure of the rows of some kernels, None: of all. `least`: a lower bound."""

    name: str
    kernels: tuple[str, ...] | None
    figure: Callable[[Row], float]
    bound: float
    least: bool = True

    def line(self, rows: Sequence[Row]) -> str | None:
        """What came of it, the furthest first; None where nothing of it was measured."""
        meant = [row for row in rows if self.kernels is None or row["kernel"] in self.kernels]
        if not meant:
            return None
        meant.sort(key=self.figure, reverse=not self.least)
        missed = [row for row in meant if not self._holds(self.figure(row))]
        if not missed:
            return f"{self.name}: reached, {self._shown(meant[0])}"
        shown = ", ".join(self._shown(row) for row in missed)
        return f"{self.name}: missed by {len(missed)} of {len(meant)}: {shown}"

    def _holds(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound

    def _shown(self, row: Row) -> str:
        bound = ", bound by helpers" if row["helper_bound"] else ""
        return f"{self.figure(row):.1f} ({row['kernel']} {row['bytes']}{bound})"


GOALS: Final = (
    Goal("25 M/s on arithmetic, CRC, sort", _LOOPS, lambda row: row["insn_per_s"] / 1e6, 25),
    Goal("20 M/s on Fletcher", _FLETCHER, lambda row: row["insn_per_s"] / 1e6, 20),
    Goal("10 times switch on all", None, lambda row: row["ratio"], 10),
    Goal("40 µs/INSN to prepare", None, lambda row: row["prepare_us_per_insn"], 40, least=False),
    Goal("1 ms to the first result", _SMALL, lambda row: row["first_call_seconds"] * 1e3, 1, least=False),
)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each goal of which something was measured."""
    meant = [row for row in rows if row["engine"] == ENGINE]
    for goal in GOALS:
        line = goal.line(meant)
        if line is not None:
            yield f"{ENGINE}, goal of {line}"
