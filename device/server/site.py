"""All resources of one device, put together: which path is answered by what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiocoap.pipe import Pipe

from device.api import DeviceInfo, SlotInfo
from device.errors import NotFound
from device.execution import Executor
from device.execution.hooks import Hooks
from device.log import DeviceLog
from device.peripherals import Board, Reader
from device.resource import BoundedResource, BoundedSite, SourceCheck, Transfers, WellKnownCore
from device.server.benchmark import Bench, BenchmarkPacket, BenchmarkShort, NativeExec
from device.server.board import BoardResource, SaulDeviceResource, SaulResource, no_saul
from device.server.hooks import HookTree, no_hook
from device.server.identity import ConstantText, DeviceResource
from device.server.jobs import JobResource, JobsResource, job_number
from device.server.log import LogResource
from device.server.packets import PacketResource
from device.server.pull import PullResource
from device.server.slots import ExecResource, ImageResource, JitResource, SlotResource, SlotsResource
from device.server.stores import StoreResource
from device.server.suit import ManifestResource, StatusResource, TriggerResource, VersionResource
from device.server.ubpf import (
    ConsoleWrite,
    ExecSlot,
    LongRunning,
    RunningVm,
    ShortExecution,
    WithPacket,
)
from device.server.updates import Updates
from device.server.watch import BoardWatch
from device.storage.slots import StoredImage
from device.storage.stores import MemoryStore


@dataclass(frozen=True, slots=True)
class Parts:
    """What the resources of a device need of it."""

    board: Board
    slots: int
    envelope: int
    executor: Executor
    shared: MemoryStore
    updates: Updates
    hooks: Hooks
    log: DeviceLog
    info: Callable[[], DeviceInfo]
    slot_info: Callable[[int], SlotInfo]
    image: Callable[[int], StoredImage | None]
    read: Callable[[StoredImage], bytes | None]
    sequence_number: Callable[[], int]


class DeviceSite(BoundedSite):
    """The site of one device. What has changed is told to it, from the event loop's thread."""

    def __init__(self, transfers: Transfers, parts: Parts, check: SourceCheck | None = None) -> None:
        super().__init__(transfers, check)
        self._parts = parts
        self._stores = [StoreResource(transfers, parts.shared)]
        self._slots = [
            SlotResource(transfers, number, parts.slot_info, parts.executor) for number in range(parts.slots)
        ]
        self._listing = SlotsResource(transfers, self._infos)
        self._jobs = JobsResource(transfers, parts.executor)
        self._watched: dict[int, JobResource] = {}
        self._status = StatusResource(transfers, parts.updates.status)
        self._add_device()
        self._add_board()
        self._add_slots()
        self._add_suit()
        self._add_ubpf()

    async def stop(self) -> None:
        """Watch nothing any more, and end all hooks."""
        self._watch.stop()
        await self._hooks.stop()

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """See BoundedSite; hooks on packets hear of it, unless its sender may be somebody else."""
        if self._check is None or self._check.verified(pipe.request):
            self._hooks.packet_came(pipe.request)
        await super().render_to_pipe(pipe)

    def slot_changed(self, number: int) -> None:
        """Something about a slot is different: its program, its counters, whether it runs; its stores too."""
        if self._parts.image(number) is None:
            self._hooks.slot_emptied(number)
        self._slots[number].updated_state()
        self._listing.updated_state()
        for store in (self._stores[0], self._stores[number + 1]):
            store.poll()

    def job_changed(self, number: int) -> None:
        """A job has begun, sleeps, runs on or has ended."""
        self._jobs.updated_state()
        if number in self._watched:
            self._watched[number].updated_state()
            if not self._watched[number].observers:
                del self._watched[number]

    def update_changed(self) -> None:
        """The update that runs has got further, or ended."""
        self._status.updated_state()
        self._listing.updated_state()
        for slot in self._slots:
            slot.updated_state()

    def child(self, path: tuple[str, ...]) -> BoundedResource:
        """The resource at a path. Raises NotFound, which for a slot says what slots there are."""
        try:
            return super().child(path)
        except NotFound:
            if len(path) == 2 and path[0] == "jobs":
                return self._job(job_number(path[1]))
            if len(path) == 2 and path[0] == "saul":
                raise no_saul(path[1], len(self._saul)) from None
            if len(path) == 2 and path[0] == "hooks":
                raise no_hook(path[1]) from None
            if len(path) == 3 and path[:2] == ("bpf", "exec") and _is_number(path[2]):
                return ExecSlot(self.transfers, int(path[2]), self._parts.executor)  # it says so in a line
            slots = path[1:] if path[:1] == ("store",) else path
            if len(slots) > 1 and slots[0] == "slots" and slots[1].isdecimal():
                last = self._parts.slots - 1
                raise NotFound(f"there is no slot {slots[1][:20]}", hint=f"slots are 0 to {last}") from None
            raise

    def _job(self, number: int) -> JobResource:
        """The resource of a job; the same one for as long as somebody observes it. Raises NotFound."""
        executor = self._parts.executor
        executor.job(number)
        watched = {job.id for job in executor.jobs()} & self._watched.keys()
        self._watched = {job: self._watched[job] for job in watched}
        return self._watched.setdefault(number, JobResource(self.transfers, number, executor))

    async def _infos(self) -> tuple[SlotInfo, ...]:
        await self._parts.executor.load_stored()
        return tuple(self._parts.slot_info(number) for number in range(self._parts.slots))

    def _put(self, path: str, resource: BoundedResource) -> None:
        self.add_resource(path.split("/"), resource)

    def _add_device(self) -> None:
        parts, transfers = self._parts, self.transfers
        self._put("device", DeviceResource(transfers, parts.info))
        self._put("log", LogResource(transfers, parts.log, asyncio.get_running_loop()))
        self._put("riot/board", ConstantText(transfers, parts.board.name, "riot.board"))
        self._put(".well-known/core", WellKnownCore(transfers, self.get_resources_as_linkheader))

    def _add_board(self) -> None:
        board, transfers = self._parts.board, self.transfers
        self._board = BoardResource(transfers, board, self._begin_watch)
        self._registry = SaulResource(transfers, board, self._begin_watch)
        self._saul = [
            SaulDeviceResource(transfers, board, index, self._begin_watch)
            for index in range(len(board.saul.devices))
        ]
        self._watch = BoardWatch(board, self._is_watched, self._board.updated_state, self._saul_changed)
        self._hooks = HookTree(self, self._parts.hooks, len(self._saul), self._begin_watch)
        self._put("board", self._board)
        self._put("saul", self._registry)
        for index, device in enumerate(self._saul):
            self._put(f"saul/{index}", device)

    def _begin_watch(self) -> None:
        self._watch.begin()

    def _is_watched(self) -> bool:
        seen = any(resource.observers for resource in (self._board, self._registry, *self._saul))
        return seen or self._hooks.watches_saul

    def _saul_changed(self, reader: Reader) -> None:
        self._registry.updated_state()
        self._saul[reader.index].updated_state()
        self._hooks.saul_changed(reader)

    def _add_slots(self) -> None:
        parts, transfers = self._parts, self.transfers
        self._put("slots", self._listing)
        self._put("jobs", self._jobs)
        self._put("store/global", self._stores[0])
        for number, slot in enumerate(self._slots):
            store = StoreResource(transfers, parts.executor.local_store(number))
            self._stores.append(store)
            self._put(f"slots/{number}", slot)
            self._put(f"slots/{number}/image", ImageResource(transfers, number, parts.image, parts.read))
            self._put(f"slots/{number}/exec", ExecResource(transfers, number, parts.executor))
            self._put(f"slots/{number}/packet", PacketResource(transfers, number, parts.executor))
            jit = JitResource(transfers, number, parts.slot_info, parts.executor)
            self._put(f"slots/{number}/jit", jit)
            self._put(f"store/slots/{number}", store)

    def _add_suit(self) -> None:
        parts, transfers = self._parts, self.transfers
        self._put("suit/trigger", TriggerResource(transfers, parts.updates))
        self._put("suit/manifest", ManifestResource(transfers, parts.updates, parts.envelope))
        self._put(
            "suit/pull",
            PullResource(transfers, parts.updates, parts.executor, parts.image, parts.slots),
        )
        self._put("suit/version", VersionResource(transfers, parts.sequence_number))
        self._put("suit/slot/active", ConstantText(transfers, "0", "suit.slot"))
        self._put("suit/slot/inactive", ConstantText(transfers, "1", "suit.slot"))
        self._put("suit/status", self._status)

    def _add_ubpf(self) -> None:
        parts, transfers, executor, bench = self._parts, self.transfers, self._parts.executor, Bench()
        self._put("running_vm", RunningVm(transfers, executor))
        self._put("short-execution", ShortExecution(transfers, executor))
        self._put("with_coap_pkt", WithPacket(transfers, executor))
        self._put("long-running", LongRunning(transfers, executor))
        self._put("benchmark/short-execution", BenchmarkShort(transfers, executor, bench))
        self._put("benchmark/with_coap_pkt", BenchmarkPacket(transfers, executor, bench, parts.log))
        self._put("native/exec", NativeExec(transfers, bench))
        self._put("console/write", ConsoleWrite(transfers, parts.log))
        for number in range(parts.slots):
            self._put(f"bpf/exec/{number}", ExecSlot(transfers, number, executor))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
