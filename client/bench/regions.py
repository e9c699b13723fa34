"""Section `regions`: what the number of regions costs an access, checked as ever; compiled also without.

A loop loads and stores through a pointer that its context holds, so that nothing is known of it ahead. With n
regions the place lies in the last of n extra ones, or in the context, which is there whatever n is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from client.bench import kernels
from client.bench.kernels import Kernel
from client.bench.native_engine import BenchJit
from client.bench.running import checked
from client.bench.settings import Row, Settings, fresh
from client.bench.timing import Call, side_by_side
from device.vm.memory import CONTEXT_BASE, EXTRA_BASE, EXTRA_STRIDE, MAX_EXTRA_REGIONS
from device.vm.program import Engine, Program

COMPILING: Final = "jit"
"""The engine that can leave out its tests, for this table only."""

ACCESSES: Final = 10_000
"""Turns of the loop; each loads and stores once."""

COUNTS: Final = (1, 2, 4, 8, 12, MAX_EXTRA_REGIONS)
REGION_BYTES: Final = 64
HEADER: Final = 16
"""Bytes of the context before the place in it: address and count."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the accesses go, by name; which address that is with n extra regions."""

    name: str

    def address(self, regions: int) -> int:
        """The guest address."""
        if self.name == "context":
            return CONTEXT_BASE + HEADER
        return EXTRA_BASE + (regions - 1) * EXTRA_STRIDE


PLACES: Final = (Place("context"), Place("last"))


def measure(settings: Settings) -> list[Row]:
    """A row for each place, number of extra regions and engine."""
    program = kernels.program("access")
    settings.progress.start(len(PLACES) * len(COUNTS))
    rows = []
    for place in PLACES:
        for regions in COUNTS:
            rows += _rows(program, place, regions, settings)
            settings.progress.advance()
    return rows


def _rows(program: Program, place: Place, regions: int, settings: Settings) -> list[Row]:
    extra = [(bytes(REGION_BYTES), True)] * regions
    kernel = _kernel(program, place.address(regions))
    subjects = {
        (name, True): _subject(fresh(engine), kernel, extra) for name, engine in settings.engines.items()
    }
    if COMPILING in settings.engines:
        subjects[COMPILING, False] = _subject(BenchJit(checked=False), kernel, extra)
    return [
        {
            "regions": regions,
            "checked": tests,
            "seconds": spread.seconds,
            "engine": name,
            "place": place.name,
            "accesses": 2 * ACCESSES,
            "seconds_min": spread.fastest,
            "seconds_max": spread.slowest,
        }
        for (name, tests), spread in side_by_side(subjects, settings.effort).items()
    ]


def _subject(engine: Engine, kernel: Kernel, extra: Sequence[tuple[bytes, bool]]) -> Call:
    return lambda: checked(engine, kernel, extra=extra).seconds


def _kernel(program: Program, address: int) -> Kernel:
    context = address.to_bytes(8, "little") + ACCESSES.to_bytes(8, "little") + bytes(REGION_BYTES)
    return Kernel("access", "loads and stores", program, context, _expected(len(context)))


def _expected(length: int) -> int:
    """What the loop sums up: the place begins with 0 and holds the low half of the sum after each turn."""
    total, held = length, 0
    for _ in range(ACCESSES):
        total += held
        held = total & 0xFFFFFFFF
    return total & 0xFFFFFFFFFFFFFFFF
