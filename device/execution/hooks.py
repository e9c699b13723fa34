"""Programs that run by themselves: every so often, at changes, for each request (api.md, "Hooks").

    fire ──▶ the hooks of the trigger, the youngest first ──▶ a run each ──▶ until a policy ends it

The policies are RIOT's and look at results: a run that faulted ends nothing. A hook has one run under way at
a time, so a trigger never costs more than the hooks there are; those that find it running are missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from device.api import ExecRequest, HookInfo, HookPolicy, HookRequest, hex64
from device.errors import Conflict, MicroBpfError, NotFound, Unavailable
from device.execution.console import RunLog
from device.execution.executor import Executor
from device.execution.requests import Done, Terms
from device.log import DeviceLog
from device.vm.advice import describe
from device.vm.packet import PacketRequest

MAX_HOOKS: Final = 32
"""Hooks of a device."""

TIMEOUT_MS: Final = 1000

_ENDS: Final[dict[HookPolicy, Callable[[int], bool]]] = {
    "continue": lambda _r0: False,
    "abort-on-negative": lambda r0: r0 < 0,
    "abort-on-positive": lambda r0: r0 > 0,
    "single": lambda _r0: True,
}


class Hook:
    """One hook. `owner` is the address that made it: its runs count as that one's."""

    def __init__(self, number: int, request: HookRequest, owner: str, lines: RunLog) -> None:
        self.number = number
        self.request = request
        self.owner = owner
        self.lines = lines
        self.busy = False
        self.runs = self.faults = self.missed = 0
        self.last: dict[str, Any] | None = None

    def ends(self, r0: int) -> bool:
        """Whether its policy ends the chain after this result."""
        return _ENDS[self.request.policy](r0)

    def count(self, done: Done) -> int | None:
        """Take note of a run. Its result, None after a fault, which is logged where it is a new one."""
        outcome = done.result.outcome
        self.runs += 1
        if outcome.fault is None:
            self.last = {"r0": hex64(outcome.r0 or 0), "r0_signed": outcome.r0_signed}
            return outcome.r0_signed or 0
        self.faults += 1
        fault = outcome.fault.to_map()
        if self.last is None or self.last.get("fault") != fault:
            self.lines.fault(f"hook {self.number}: {describe(fault)}")
        self.last = {"fault": fault}
        return None

    def info(self) -> HookInfo:
        """GET /hooks/{id}."""
        asked = self.request
        return HookInfo(
            id=self.number,
            slot=asked.slot,
            trigger=asked.trigger,
            policy=asked.policy,
            engine=asked.engine,
            period_ms=asked.period_ms,
            index=asked.index,
            path=None if asked.path is None else f"/app/{asked.app_path}",
            runs=self.runs,
            faults=self.faults,
            missed=self.missed,
            last=self.last,
        )


class Hooks:
    """The hooks of one device, to be used on the event loop's thread. `on_change` hears of hooks that ran."""

    def __init__(self, executor: Executor, log: DeviceLog, now_us: Callable[[], int]) -> None:
        self.on_change: Callable[[Hook], None] = lambda _hook: None
        self._executor = executor
        self._log = log
        self._now_us = now_us
        self._numbers = count(1)
        self._hooks: dict[int, Hook] = {}
        self._chains: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> tuple[Hook, ...]:
        """All hooks, the oldest first."""
        return tuple(self._hooks.values())

    def get(self, number: int) -> Hook:
        """A hook. Raises NotFound."""
        if number not in self._hooks:
            raise NotFound(f"there is no hook {number}")
        return self._hooks[number]

    async def add(self, request: HookRequest, owner: str) -> Hook:
        """A new hook. Raises NotFound, Conflict (slot empty, path taken), Unavailable (too many hooks), and
        what Executor.run does for an engine that is not there.
        """
        await self._executor.load_stored(request.slot)
        self._executor.require_runnable(request.slot, request.engine)
        if request.trigger == "path" and self.at_path(request.app_path):
            raise Conflict(f"/app/{request.app_path} is taken", code="path-taken", where="path")
        if len(self._hooks) >= MAX_HOOKS:
            raise Unavailable(f"there are {MAX_HOOKS} hooks already", code="too-many-hooks")
        lines = RunLog(self._log, f"slot{request.slot}", self._now_us)
        hook = Hook(next(self._numbers), request, owner, lines)
        self._hooks[hook.number] = hook
        return hook

    def remove(self, number: int) -> Hook:
        """Take a hook away; a run of it that is under way ends by itself. Raises NotFound."""
        hook = self.get(number)
        del self._hooks[number]
        return hook

    async def stop(self) -> None:
        """End what runs."""
        self._hooks.clear()
        for chain in self._chains:
            chain.cancel()
        await asyncio.gather(*self._chains, return_exceptions=True)

    # Triggers

    def at_path(self, path: str) -> Hook | None:
        """The hook that answers at a path below /app/."""
        hooks = (hook for hook in self._hooks.values() if hook.request.trigger == "path")
        return next((hook for hook in hooks if hook.request.app_path == path), None)

    def of(self, trigger: str, *, period_ms: int | None = None, index: int | None = None) -> Sequence[Hook]:
        """The hooks of a trigger in the order in which they run: the youngest first."""
        return [
            hook
            for hook in reversed(self._hooks.values())
            if hook.request.trigger == trigger
            and hook.request.period_ms == period_ms
            and hook.request.index in (None, index)
        ]

    def fire(
        self, hooks: Sequence[Hook], context: bytes | None = None, packet: PacketRequest | None = None
    ) -> None:
        """Have these hooks run, one after the other, until a policy ends it."""
        if all(hook.busy for hook in hooks):
            for hook in hooks:
                self._miss(hook)
            return
        chain = asyncio.get_running_loop().create_task(self._run_chain(hooks, context, packet))
        self._chains.add(chain)
        chain.add_done_callback(self._chains.discard)

    async def answer(self, hook: Hook, packet: PacketRequest, client: str) -> Done:
        """A run that answers a request, for whoever sent it. Raises what Executor.run does."""
        done = await self._executor.run(hook.request.slot, _asked(hook, None), client, Terms(packet=packet))
        hook.count(done)
        self.on_change(hook)
        return done

    def miss(self, hooks: Sequence[Hook], times: int) -> None:
        """The trigger came too late for these hooks."""
        for hook in hooks:
            self._miss(hook, times)

    # Steps

    async def _run_chain(
        self, hooks: Sequence[Hook], context: bytes | None, packet: PacketRequest | None
    ) -> None:
        for hook in hooks:
            if self._hooks.get(hook.number) is not hook:
                continue
            if hook.busy:
                self._miss(hook)
                continue
            r0 = await self._run(hook, context, packet)
            if r0 is not None and hook.ends(r0):
                return

    async def _run(self, hook: Hook, context: bytes | None, packet: PacketRequest | None) -> int | None:
        """One run; its result, None when there is none."""
        hook.busy = True
        try:
            terms = Terms(packet=packet, lines=hook.lines)
            done = await self._executor.run(hook.request.slot, _asked(hook, context), hook.owner, terms)
        except MicroBpfError as error:
            if not isinstance(error, Unavailable):
                hook.lines.warn(f"hook {hook.number}: {error.detail}")
            self._miss(hook)
            return None
        finally:
            hook.busy = False
        r0 = hook.count(done)
        self.on_change(hook)
        return r0

    def _miss(self, hook: Hook, times: int = 1) -> None:
        hook.missed += times
        self.on_change(hook)


def _asked(hook: Hook, context: bytes | None) -> ExecRequest:
    asked = ExecRequest(engine=hook.request.engine, timeout_ms=TIMEOUT_MS)
    return asked if context is None else replace(asked, context=context, context_writable=False)
