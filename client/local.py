"""Running a program on this machine: the device's loader, verifier, helpers and engines, without a device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median_low
from time import monotonic
from typing import Final

from client.faults import program_fault
from client.image import Packaged, with_lines
from client.results import Outcome as Result
from device.api import ExecAnswer, ExecRequest, ExecSizes, ExecTimes, hex64
from device.engines import ENGINES, select
from device.engines.ran import Ran
from device.engines.runner import Runner
from device.engines.wish import Wish
from device.errors import MalformedRequest, MicroBpfError
from device.peripherals import Signal, make_board
from device.storage.stores import MemoryStore
from device.vm import helpers
from device.vm.faults import Fault
from device.vm.profiles import UBPF, Profile, adapt
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX, Control
from device.vm.setup import check_sizes, set_up


@dataclass(slots=True)
class Output:
    """What a program printed; a Console."""

    content: bytearray = field(default_factory=bytearray)

    def write(self, text: bytes) -> None:
        """See Console."""
        self.content += text


@dataclass(frozen=True, slots=True)
class MonotonicClock:
    """Microseconds since it was made; a Clock."""

    start: float = field(default_factory=monotonic)

    def now_us(self) -> int:
        """See Clock."""
        return int((monotonic() - self.start) * 1_000_000)


def sleeper(control: Control) -> Callable[[int], None]:
    """Services.pause on this machine's own time: a kill or the run's deadline ends it with GuestFault."""

    def pause(us: int) -> None:
        control.check()
        left = us / 1_000_000
        if control.deadline is not None:
            left = min(left, max(control.deadline - monotonic(), 0) + _PAST_S)
        control.stopped.wait(left)
        control.check()

    return pause


_PAST_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Bench:
    """A program with its memory and stores, as they would lie in a slot of `profile`."""

    packaged: Packaged
    data: bytearray
    services: helpers.Services
    output: Output
    runner: Runner
    profile: Profile = UBPF

    @classmethod
    def of(
        cls,
        packaged: Packaged,
        *,
        profile: Profile = UBPF,
        signals: Mapping[str, Signal] | None = None,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> Bench:
        """A slot as it is after a deploy, on a board with these inputs."""
        output, clock = Output(), MonotonicClock()
        services = helpers.Services(
            local=MemoryStore(),
            shared=MemoryStore(),
            clock=clock,
            console=output,
            warn=warn,
            board=make_board("native", clock.now_us, signals),
            sound_class=profile.sound_class,
        )
        runner = Runner(adapt(packaged.program, profile), ENGINES)
        return cls(packaged, packaged.program.fresh_data(), services, output, runner, profile)

    async def run(self, request: ExecRequest) -> ExecAnswer:
        """Run as a device would (api.md, run request). Raises ProgramFault, and RequestError."""
        check(request)
        control = Control(monotonic() + request.timeout_ms / 1000)
        try:
            return await asyncio.to_thread(self._run, request, control)
        except asyncio.CancelledError:
            control.kill()
            raise

    async def outcome(self, request: ExecRequest) -> Result[ExecAnswer]:
        """The same, with its error as a value."""
        try:
            return Result(None, await self.run(request))
        except MicroBpfError as error:
            return Result(None, error=error)

    def _run(self, request: ExecRequest, control: Control) -> ExecAnswer:
        select(request.engine)
        wish = Wish(request.engine, request.recompile, request.shadow, request.cycles)
        wish.require_sense()
        times: list[int] = []
        compile_us = 0
        for _ in range(request.repeat):
            context = bytearray(request.context or b"")
            extra = [(bytearray(region.bytes), region.writable) for region in request.regions]
            ran = self._once(wish, request, control, context, extra)
            outcome, compile_us = ran.outcome, compile_us + ran.compile_us
            times.append(ran.run_us)
            if outcome.fault is not None:
                break
            if wish.recompile:
                wish = replace(wish, recompile=False, engine=ran.engine)
        answer = ExecAnswer(
            engine=ran.engine,
            instructions=outcome.instructions,
            runs=len(times),
            r0=None if outcome.r0 is None else hex64(outcome.r0),
            r0_signed=outcome.r0_signed,
            fault=None if outcome.fault is None else self._located(outcome.fault).to_map(),
            cycles=ran.cycles,
            time_us=ExecTimes(compile=compile_us, run=median_low(times)),
            context=bytes(context) if request.context is not None else None,
            regions=tuple(bytes(content) for content, writable in extra if writable),
            output=self.output.content.decode("utf-8", "replace"),
            helpers=tuple(sorted(self._allowed(request))),
            sizes=ExecSizes(image=len(self.packaged.image), code=ran.code),
            shadow=None if ran.compared is None else ran.compared.to_map(),
        )
        if answer.fault is not None:
            raise program_fault(answer.fault, answer.to_map())
        return answer

    def _once(
        self,
        wish: Wish,
        request: ExecRequest,
        control: Control,
        context: bytearray,
        extra: list[tuple[bytearray, bool]],
    ) -> Ran:
        run = set_up(
            self.runner.program,
            self.data,
            replace(self.services, pause=sleeper(control)),
            helpers.profile_helpers(self.profile),
            allowed=request.helpers,
            context=context,
            context_writable=request.context_writable,
            extra=extra,
            budget=request.budget or BUDGET_DEFAULT,
            control=control,
            profile=self.profile,
        )
        return self.runner.once(run, wish)

    def _located(self, fault: Fault) -> Fault:
        """The fault with its place and number: debug information is read only when it is needed."""
        program = with_lines(self.packaged.program, self.packaged.object)
        return self.profile.renumber(program.locate(fault))

    def _allowed(self, request: ExecRequest) -> set[int]:
        available = set(helpers.profile_helpers(self.profile))
        return available if request.helpers is None else available & set(request.helpers)


def check(request: ExecRequest) -> None:
    """Refuse what a device refuses with the request. Raises TooLarge, and MalformedRequest."""
    check_sizes(request.context or b"", [region.bytes for region in request.regions])
    if request.budget is not None and request.budget > BUDGET_MAX:
        raise MalformedRequest(f"a budget above {BUDGET_MAX}", where="budget")
