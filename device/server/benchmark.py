"""µBPF's endpoints that measure: the phases of a run, and native code beside it (api.md).

Whatever is measured here has the device to itself as far as these endpoints go: one at a time, others are
asked to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiocoap import Message

from device.errors import MalformedRequest, Unavailable
from device.execution import Executor
from device.execution.programs import Prepared
from device.execution.requests import Done
from device.log import DeviceLog
from device.resource import Transfers
from device.server.base import LineResource, line_answer
from device.server.configuration import Configuration, helpers_of
from device.server.packets import respond, result_of
from device.server.ubpf import MAX_REQUEST, RunRequest, RunResource, text_of
from device.transport import peer_host


class Bench:
    """The right to measure, which one request has at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have it for so long. Raises Unavailable when somebody else does."""
        if self._lock.locked():
            raise Unavailable("another benchmark runs on this device")
        async with self._lock:
            yield


@dataclass(frozen=True, slots=True)
class Phases:
    """Microseconds of loading, verifying and running; compiling is in the total alone. `size` in bytes."""

    load: int
    verify: int
    compile: int
    run: int
    size: int

    @classmethod
    def of(cls, prepared: Prepared, done: Done) -> Phases:
        """Of a run, with a program that was loaded for it."""
        result = done.result
        return cls(prepared.load_us, prepared.verify_us, result.compile_us, result.median_us, done.image_size)

    @property
    def total(self) -> int:
        """All of them."""
        return self.load + self.verify + self.compile + self.run

    def line(self, result: int) -> str:
        """As µBPF's tools read it, space by space."""
        return (
            f'{{"total": {self.total}, "load": {self.load}, "verif": {self.verify}, "exec": {self.run},'
            f'"prog": {self.size}, "result": {result}}}'
        )


class BenchmarkShort(RunResource):
    """POST /benchmark/short-execution: a run with the times of its phases."""

    rt = "ubpf.benchmark"

    def __init__(self, transfers: Transfers, executor: Executor, bench: Bench) -> None:
        super().__init__(transfers, executor)
        self._bench = bench

    async def render_post(self, request: Message) -> Message:
        """Load, verify and run."""
        asked = RunRequest.of(request.payload)
        async with self._bench.turn():
            prepared = await self.executor.measured(asked.slot)
            done = await self.executor.run(asked.slot, asked.run, peer_host(request), asked.terms)
        result = result_of(done)
        return line_answer(Phases.of(prepared, done).line(result))


class BenchmarkPacket(RunResource):
    """POST /benchmark/with_coap_pkt: the program answers, the times of the phases are in the log."""

    rt = "ubpf.benchmark"

    def __init__(self, transfers: Transfers, executor: Executor, bench: Bench, log: DeviceLog) -> None:
        super().__init__(transfers, executor)
        self._bench = bench
        self._log = log

    async def render_post(self, request: Message) -> Message:
        """Load, verify and run with this request as the packet."""
        asked = RunRequest.of(request.payload)
        async with self._bench.turn():
            prepared = await self.executor.measured(asked.slot)
            message, done = await respond(self.executor, asked.slot, request, asked.run, asked.terms)
        line = Phases.of(prepared, done).line(result_of(done))
        self._log.add("info", f"slot{asked.slot}", f"benchmark: {line}")
        return message


class NativeExec(LineResource):
    """POST /native/exec: Fletcher16 in native code, under the same Unicorn as compiled programs."""

    rt = "ubpf.native"
    max_body = MAX_REQUEST

    def __init__(self, transfers: Transfers, bench: Bench) -> None:
        super().__init__(transfers)
        self._bench = bench

    async def render_post(self, request: Message) -> Message:
        """Run it; how many helpers the request lists says over how much data."""
        size = size_of(request.payload)
        async with self._bench.turn():
            native = await asyncio.to_thread(_native, size)
        return line_answer(f'{{"execution_time": {native[0]}, "result": {native[1]}}}')


def size_of(payload: bytes) -> int:
    """80 bytes for one helper, twice as many for each more. Raises MalformedRequest."""
    text = text_of(payload)
    if len(text) < 4:
        raise MalformedRequest(f"{len(text)} characters", where="config", hint="4 hex digits, 1 to 6 helpers")
    Configuration.of(text[:4])
    count = len(helpers_of(text[4:]))
    if not 1 <= count <= 6:
        raise MalformedRequest(f"{count} helper ids, 1 to 6 say the size", where="helpers")
    return 80 << count - 1


def _native(size: int) -> tuple[int, int]:
    from device.jit import fletcher  # Unicorn is loaded by whoever needs it

    done = fletcher.run(size)
    return done.run_us, done.result
