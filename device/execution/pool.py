"""Turns to run: few in a process, given out fairly (api.md, "Fairness"; architecture.md, "Processes").

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
LONG_RUNS: Final = 4
"""Jobs of a process that run at a time: with the short runs, 8 threads that want the interpreter."""

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


class OpenGate:
    """A gate that keeps nobody out."""

    def try_enter(self) -> bool:
        """Always."""
        return True

    def leave(self) -> None:
        """Nothing to give back."""


OPEN: Final = OpenGate()


class Turns:
    """Turns that runs of several devices take: `places` at a time, `share` of them at most for one client.

    `waiting` of one device wait, half of them at most of one client; devices are served in rotation.
    """

    def __init__(self, places: int, *, share: int | None = None, waiting: int | None = None) -> None:
        self.places = places
        self._share = share
        self._waiting = waiting
        self._free = places
        self._running: Counter[str] = Counter()
        self._queues: OrderedDict[Hashable, deque[Place]] = OrderedDict()

    @property
    def contended(self) -> bool:
        """Whether somebody waits; may be asked from any thread."""
        return bool(self._queues)

    def request(
        self, device: Hashable, client: str, gate: Gate, on_grant: Callable[[], None] = lambda: None
    ) -> Place:
        """A place in the queue, perhaps granted at once. Raises Unavailable when the queue is full.

        Use it as a context manager: leaving gives back whatever it holds.
        """
        place = Place(self, device, client, gate, on_grant)
        if self._grant(place):
            return place
        queue = self._queues.get(device, deque())
        if self._waiting is not None:
            self._check_room(queue, client, self._waiting)
        queue.append(place)
        self._queues[device] = queue
        return place

    def adopt(self, device: Hashable, client: str, gate: Gate) -> Place:
        """A place for somebody who is past the gate already."""
        place = Place(self, device, client, gate, lambda: None)
        self._take(place)
        return place

    def dispatch(self) -> None:
        """Grant what can be granted. To be called when a gate has opened."""
        progress = True
        while progress and self._free:
            progress = any([self._dispatch(device) for device in list(self._queues)])  # noqa: C419  # all take their turn

    def give_back(self, place: Place) -> None:
        """Take back what a place holds: its turn and its gate, or its place in the queue."""
        if not place.is_granted:
            queue = self._queues.get(place.device)
            if queue is not None and place in queue:
                queue.remove(place)
                if not queue:
                    del self._queues[place.device]
            return
        place.revoke()
        self._free += 1
        self._running[place.client] -= 1
        if not self._running[place.client]:
            del self._running[place.client]
        place.gate.leave()
        self.dispatch()

    def _check_room(self, queue: deque[Place], client: str, waiting: int) -> None:
        if len(queue) >= waiting:
            raise Unavailable("too many runs are waiting on this device", retry_after_s=RETRY_AFTER_S)
        if sum(other.client == client for other in queue) >= max(waiting // 2, 1):
            raise Unavailable("too many runs from your address are waiting", retry_after_s=RETRY_AFTER_S)

    def _dispatch(self, device: Hashable) -> bool:
        """Grant one place of a device, if one can be."""
        queue = self._queues.get(device, deque())
        granted = next((place for place in queue if self._grant(place)), None)
        if granted is None:
            return False
        queue.remove(granted)
        self._queues.move_to_end(device)
        if not queue:
            del self._queues[device]
        return True

    def _grant(self, place: Place) -> bool:
        taken = self._share is not None and self._running[place.client] >= self._share
        if self._free == 0 or taken or not place.gate.try_enter():
            return False
        self._take(place)
        return True

    def _take(self, place: Place) -> None:
        self._free -= 1
        self._running[place.client] += 1
        place.grant()


class ShortRunPool(Turns):
    """The threads of one process that short runs share, half of them at most for one client.

    `long` are the turns that jobs take in the same process, and `returns` those of short runs that have
    slept and want their slot again: their thread they have kept.
    """

    def __init__(self, threads: int = THREADS, waiting: int = WAITING, long: int = LONG_RUNS) -> None:
        super().__init__(threads, share=max(threads // 2, 1), waiting=waiting)
        self.long = Turns(long)
        self.returns = Turns(threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="short-run")

    def close(self) -> None:
        """Let the threads go. Every run has to have been stopped before."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, function: Callable[[], T], stop: Callable[[], None]) -> T:
        """Call `function` on a thread, for a place that was granted.

        When this is cancelled, `stop` is called and the thread waited for: it has to end soon after.
        """
        return await on_thread(self._executor, function, stop)


class Place:
    """One run's turn. Leaving its context gives it back, wherever it has come to.

    `gate` may be exchanged while it is granted: then it gives back another one.
    """

    __slots__ = ("_granted", "_on_grant", "_turns", "client", "device", "gate")

    def __init__(
        self, turns: Turns, device: Hashable, client: str, gate: Gate, on_grant: Callable[[], None]
    ) -> None:
        self._turns = turns
        self._granted = asyncio.Event()
        self._on_grant = on_grant
        self.device = device
        self.client = client
        self.gate = gate

    @property
    def is_granted(self) -> bool:
        """Whether this place holds a turn and its gate."""
        return self._granted.is_set()

    def grant(self) -> None:
        """Called by its Turns."""
        self._granted.set()
        self._on_grant()

    def revoke(self) -> None:
        """Called by its Turns: it holds nothing any more."""
        self._granted.clear()

    def give_back(self) -> None:
        """Give back whatever it holds; a second time there is nothing."""
        self._turns.give_back(self)

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
        self.give_back()


async def on_thread(executor: ThreadPoolExecutor, function: Callable[[], T], stop: Callable[[], None]) -> T:
    """Call `function` on a thread. When this is cancelled, `stop` is called and the thread waited for."""
    future = asyncio.get_running_loop().run_in_executor(executor, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop()
        await ended(future)
        raise


async def ended(future: asyncio.Future[T]) -> None:
    """Wait for the end of what a thread does, however often this is cancelled meanwhile."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # somebody has to look at it, or asyncio reports it as forgotten
