"""The intervals of hooks: all hooks of a period run at the same ticks, one after the other."""

from __future__ import annotations

import asyncio

from device.execution.hooks import Hooks


class Ticks:
    """Ticks for the hooks of one device, on the event loop's thread; none while no hook has an interval."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._loop = asyncio.get_running_loop()
        self._next: dict[int, asyncio.TimerHandle] = {}

    def begin(self, period_ms: int) -> None:
        """A hook has this period from now on."""
        if period_ms not in self._next:
            self._schedule(period_ms, self._loop.time() + period_ms / 1000)

    def stop(self) -> None:
        """No more ticks."""
        for timer in self._next.values():
            timer.cancel()
        self._next.clear()

    def _schedule(self, period_ms: int, due: float) -> None:
        self._next[period_ms] = self._loop.call_at(due, self._tick, period_ms, due)

    def _tick(self, period_ms: int, due: float) -> None:
        hooks = self._hooks.of("interval", period_ms=period_ms)
        if not hooks:
            del self._next[period_ms]
            return
        period = period_ms / 1000
        late = int((self._loop.time() - due) / period)
        if late > 0:
            self._hooks.miss(hooks, late)
        self._hooks.fire(hooks)
        self._schedule(period_ms, due + (late + 1) * period)
