"""The threads that short runs share: few in a process, given out fairly (api.md, "Fairness").

Everything here happens on the event loop's thread but the runs themselves. A run gets a thread only when its
slot lets it in at the same moment, so that nothing waits while it holds something else: no thread is taken
by a run that waits for its slot, and no commit waits for a run that has not begun.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from device.errors import Unavailable

THREADS: Final = 4
WAITING: Final = 64
"""Runs of one device that may wait; one client has half of them at most."""

RETRY_AFTER_S: Final = 1

T = TypeVar("T")


class Gate(Protocol):
    """What a run has to pass besides the pool: the lock of its slot."""

    def try_enter(self) -> bool:
        """Enter now, or say that it is not possible now."""

    def leave(self) -> None:
        """Give back what `try_enter` took."""


class ShortRunPool:
    """The short-run threads of one process, shared by its devices.

    `threads` run at a time, half of them at most for one client; `waiting` of one device wait for their turn,
    and devices take turns.
    """

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self.threads = threads
        self.waiting = waiting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="short-run")
        self._free = threads
        self._running: Counter[str] = Counter()
        self._queues: OrderedDict[Hashable, deque[Place]] = OrderedDict()

    def request(self, device: Hashable, client: str, gate: Gate) -> Place:
        """A place in the queue, perhaps granted at once. Raises Unavailable when the queue is full.

        Use it as a context manager: leaving gives back whatever it holds.
        """
        place = Place(self, device, client, gate)
        if self._grant(place):
            return place
        queue = self._queues.setdefault(device, deque())
        if len(queue) >= self.waiting:
            raise Unavailable("too many runs are waiting on this device", retry_after_s=RETRY_AFTER_S)
        if sum(other.client == client for other in queue) >= max(self.waiting // 2, 1):
            raise Unavailable("too many runs from your address are waiting", retry_after_s=RETRY_AFTER_S)
        queue.append(place)
        return place

    def dispatch(self) -> None:
        """Grant what can be granted. To be called when a gate has opened."""
        progress = True
        while progress and self._free:
            progress = any([self._dispatch(device) for device in list(self._queues)])  # noqa: C419  # all take their turn

    def close(self) -> None:
        """Let the threads go. Every run has to have been stopped before."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, function: Callable[[], T], stop: Callable[[], None]) -> T:
        """Call `function` on a thread, for a place that was granted.

        When this is cancelled, `stop` is called and the thread waited for: it has to end soon after.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, function)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop()
            await ended(future)
            raise

    def _dispatch(self, device: Hashable) -> bool:
        """Grant one place of a device, if one can be."""
        queue = self._queues[device]
        granted = next((place for place in queue if self._grant(place)), None)
        if granted is None:
            return False
        queue.remove(granted)
        self._queues.move_to_end(device)
        if not queue:
            del self._queues[device]
        return True

    def _grant(self, place: Place) -> bool:
        share = max(self.threads // 2, 1)
        if self._free == 0 or self._running[place.client] >= share or not place.gate.try_enter():
            return False
        self._free -= 1
        self._running[place.client] += 1
        place.grant()
        return True

    def give_back(self, place: Place) -> None:
        """Take back what a place holds: its thread and its gate, or its turn in the queue."""
        if not place.is_granted:
            queue = self._queues.get(place.device)
            if queue is not None and place in queue:
                queue.remove(place)
                if not queue:
                    del self._queues[place.device]
            return
        self._free += 1
        self._running[place.client] -= 1
        if not self._running[place.client]:
            del self._running[place.client]
        place.gate.leave()
        self.dispatch()


class Place:
    """One run's turn. Leaving its context gives it back, wherever it has come to."""

    __slots__ = ("_granted", "_pool", "client", "device", "gate")

    def __init__(self, pool: ShortRunPool, device: Hashable, client: str, gate: Gate) -> None:
        self._pool = pool
        self._granted = asyncio.Event()
        self.device = device
        self.client = client
        self.gate = gate

    @property
    def is_granted(self) -> bool:
        """Whether this place holds a thread and its gate."""
        return self._granted.is_set()

    def grant(self) -> None:
        """Called by the pool."""
        self._granted.set()

    async def ready(self, deadline: float) -> bool:
        """Wait until granted; False when `deadline` (the loop's time) comes first."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._granted.wait()
        return self.is_granted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self)


async def ended(future: asyncio.Future[T]) -> None:
    """Wait for the end of what a thread does, however often this is cancelled meanwhile."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # somebody has to look at it, or asyncio reports it as forgotten
