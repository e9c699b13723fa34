"""Updates of one device come one after the other (client.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager


class Locks:
    """A lock for every name that was ever asked for."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def hold(self, names: Iterable[str]) -> AsyncIterator[bool]:
        """Hold the locks of all `names`; tells whether any of them had to be waited for.

        They are always taken in the same order, so that nobody waits in a circle.
        """
        locks = [self._locks.setdefault(name, asyncio.Lock()) for name in sorted(set(names))]
        waited = any(lock.locked() for lock in locks)
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield waited
