"""An executor in this process, without a network, and engines that a test holds up or breaks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import pytest

from device.api import ExecAnswer, ExecRequest
from device.engines import ENGINES
from device.execution import Executor, RunLimits, ShortRunPool
from device.execution.programs import Checker, Prepared
from device.log import DeviceLog
from device.node.clock import BootClock
from device.storage.slots import SlotTable, StoredImage
from device.storage.stores import MemoryStore
from device.vm.asm import assemble
from device.vm.faults import GuestFault
from device.vm.program import Engine, Outcome, Program, Run
from tests.device_bench import NAMES

NEGATIVE = assemble("mov r0, -1\nexit")
WRITES_REGION = assemble("lddw r1, 0x20300000\nstb [r1], 9\nlddw r1, 0x20310000\nldxb r0, [r1]\nexit")
PRINTS: Final = """
        mov r6, {count}
        lddw r1, 0x{last:02x}67666564636261
        stxdw [r10-16], r1
        stb [r10-8], 0
    loop:
        mov r1, r10
        add r1, -16
        call bpf_printf
        sub r6, 1
        jne r6, 0, loop
        mov r0, 0
        exit
"""
"""Prints `count` times "abcdefg" and the character `last`."""


def prints(count: int, last: str) -> bytes:
    return assemble(PRINTS.format(count=count, last=ord(last)), helpers=NAMES)


class HeldEngine:
    """Runs until it is released, or stopped."""

    name = "held"

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.release = threading.Event()
        self._lock = threading.Lock()

    def run(self, program: Program, run: Run) -> Outcome:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            while not self.release.is_set():
                run.control.check()
                time.sleep(0.002)
        except GuestFault as stopped:
            return Outcome(None, stopped.record(0), 1)
        finally:
            with self._lock:
                self.inside -= 1
        return Outcome(program.slots, None, 1)


class BrokenEngine:
    """Has a bug."""

    name = "broken"

    def run(self, program: Program, run: Run) -> Outcome:
        raise ZeroDivisionError("a bug")


@dataclass
class Host:
    """An executor with everything around it."""

    executor: Executor
    images: SlotTable
    shared: MemoryStore
    log: DeviceLog
    held: HeldEngine
    changes: list[int]

    async def install(self, slot: int, image: bytes) -> None:
        await self.executor.replace(
            {slot: await self.executor.check(slot, image)}, lambda: self.store(slot, image)
        )

    def store(self, slot: int, image: bytes) -> None:
        number = self.images.sequence_number + 1
        self.images.commit({slot: StoredImage(image, sha256(image).digest(), "p", number)}, number)

    async def run(self, slot: int = 0, client: str = "me", **request: Any) -> ExecAnswer:
        return await self.executor.execute(slot, ExecRequest(**request), client)

    def hold(self, slot: int = 0, client: str = "me", **request: Any) -> asyncio.Task[ExecAnswer]:
        asked = ExecRequest(engine="held", **request)  # type: ignore[arg-type]  # one of the tests
        return asyncio.create_task(self.executor.execute(slot, asked, client))

    def lines(self, source: str = "slot0") -> list[str]:
        return [line.text for line in self.log.page().lines if line.source == source]


@asynccontextmanager
async def host(**limits: Any) -> AsyncIterator[Host]:
    clock, changes, held = BootClock(), list[int](), HeldEngine()
    log, images, shared = (
        DeviceLog(clock, capacity=5000),
        SlotTable(3, limits.get("slot_size", 4096)),
        MemoryStore(),
    )
    pool = ShortRunPool()
    engines: Mapping[str, Engine] = {"held": held, "broken": BrokenEngine(), **ENGINES}
    executor = Executor(
        images, shared, pool, log, clock,
        slots=3, limits=RunLimits(**limits), engines=engines, on_change=changes.append,
    )  # fmt: skip
    try:
        yield Host(executor, images, shared, log, held, changes)
    finally:
        held.release.set()
        await executor.stop()
        pool.close()


def fault_of(answer: ExecAnswer) -> tuple[str, str]:
    assert answer.fault is not None
    assert answer.r0 is None
    return answer.fault["code"], answer.fault["detail"]


class SlowCheck:
    """Holds every check of an image until it is let go; `inside` counts those that wait."""

    def __init__(self, checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = 0
        self.go_on = threading.Event()
        self._check = checker.check
        monkeypatch.setattr(checker, "check", self)

    def __call__(self, *image: Any) -> Prepared:
        self.inside += 1
        assert self.go_on.wait(5), "nothing else ran while an image was checked"
        return self._check(*image)
