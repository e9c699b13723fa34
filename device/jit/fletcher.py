"""Fletcher16 in native code on the same machine as compiled programs, to compare them with.

The code is benchmarks/kernels/fletcher16.c as GCC makes it with -Os (benchmarks/native_kernels.py builds it);
the data are those of the published program of that size (programs.md section 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType
from typing import Final

from device.jit.buffers import SharedBuffer
from device.jit.errors import MachineError
from device.jit.layout import CODE_BASE, PAGE
from device.jit.machine import Machine
from device.jit.stop import Reason
from device.jit.watchdog import Watchdog
from device.vm.memory import CONTEXT_BASE

CODE: Final = bytes.fromhex(
    "002130b502440b46ff25904203d143ea0120002130bd10f8014b2344b3fbf5f4c4eb04241b1b1944b1fbf5f4c4eb0424091beae7"
)
"""uint64_t fletcher16(const uint8_t *data, uint64_t length); data in R0, length in R2 and R3."""

TAILS: Final[Mapping[int, bytes]] = MappingProxyType(
    {
        80: b"\xde\xc7",
        160: b"\xd3\x79",
        320: b"\x01\x5e",
        640: b"\xd3\x81",
        1280: b"\x03\xac",
        2560: b"\x1b\x49",
    }
)
"""The last bytes of the data, by their size."""


@dataclass(frozen=True, slots=True)
class NativeRun:
    """A checksum, and the microseconds that it took."""

    result: int
    run_us: int


def data(size: int) -> bytes:
    """The data of a size that TAILS has."""
    tail = TAILS[size]
    return bytes(48 + 7 * i % 75 for i in range(size - len(tail))) + tail


def run(size: int) -> NativeRun:
    """Sum up `size` bytes on a machine of its own. Raises MachineError when there is none."""
    watchdog = Watchdog()
    machine = Machine(watchdog)
    try:
        buffer = SharedBuffer(-(-size // PAGE) * PAGE)
        buffer.data[:size] = data(size)
        machine.map(CONTEXT_BASE, buffer, writable=False)
        entry = machine.install(CODE, CODE_BASE).entry
        machine.run(entry, CONTEXT_BASE, 0, 0)  # translates the code, which is no part of its run
        begin = perf_counter()
        stop = machine.run(entry, CONTEXT_BASE, 0, size)
        run_us = int((perf_counter() - begin) * 1_000_000)
        if stop.reason is not Reason.RETURNED:
            raise MachineError(f"native code ended with {stop.reason}")
        return NativeRun(machine.results[0], run_us)
    finally:
        machine.close()
        watchdog.close()
