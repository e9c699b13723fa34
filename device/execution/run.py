"""One request's runs, as they happen on a thread of the pool: nothing here touches the event loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import TYPE_CHECKING

from device.engines.ran import Ran
from device.engines.runner import Runner
from device.engines.wish import Wish
from device.execution.console import RunConsole, RunLog
from device.vm.faults import FaultCode, GuestFault
from device.vm.helpers import Helper, Services
from device.vm.memory import FRAME_SIZE
from device.vm.packet import Packet, PacketRequest
from device.vm.ports import Board, Clock, KeyValueStore
from device.vm.profiles import UBPF, Profile
from device.vm.program import Control, Outcome, Program
from device.vm.setup import set_up

if TYPE_CHECKING:
    from device.jit.machines import Claim


@dataclass(frozen=True, slots=True)
class Work:
    """What to run, how often, with what. `allowed` are the ids of `available` that it may call.

    `renews`: its budget begins anew after each sleep. `packet`: its context is this request, to be answered.
    `frame_size` is in bytes.
    """

    program: Program
    runner: Runner
    wish: Wish
    budget: int
    available: Mapping[int, Helper]
    allowed: Collection[int]
    context: bytes | None = None
    context_writable: bool = True
    regions: tuple[tuple[bytes, bool], ...] = ()
    repeat: int = 1
    profile: Profile = UBPF
    renews: bool = False
    packet: PacketRequest | None = None
    frame_size: int = FRAME_SIZE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run may touch of its device: the slot's memory and store, the shared store, clock, board, log.

    `rodata` is the slot's .rodata where it may be written to, else None. `pause` is Services.pause; `show`
    gets the console of each run before it begins, `began` the name of the engine. `claim` is a machine for
    compiled code that is held for it.
    """

    data: bytearray
    rodata: bytearray | None
    local: KeyValueStore
    shared: KeyValueStore
    clock: Clock
    board: Board
    lines: RunLog
    pause: Callable[[int], None]
    show: Callable[[RunConsole], None] = lambda _console: None
    began: Callable[[str], None] = lambda _engine: None
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The last run, and how long all of them took. `regions` are the writable ones.

    `packet` is what the program made of its packet; `packet.reply(r0)` reads it. `ran` says what ran it, None
    when nothing did; `compile_us` is of all runs.
    """

    outcome: Outcome
    output: str
    context: bytes | None
    regions: tuple[bytes, ...]
    times_us: Sequence[int] = ()
    packet: Packet | None = None
    ran: Ran | None = None
    compile_us: int = 0

    @property
    def median_us(self) -> int:
        """The median duration of a run."""
        return median_low(self.times_us) if self.times_us else 0


def perform(work: Work, around: Surroundings, control: Control) -> Result:
    """Run as often as asked for; the first fault ends it (api.md, "Run answer")."""
    times: list[int] = []
    wish, compile_us = work.wish, 0
    while True:
        result = _run_once(work, around, control, times, wish)
        compile_us += result.ran.compile_us if result.ran else 0
        if result.outcome.fault is not None or len(times) >= work.repeat:
            return replace(result, compile_us=compile_us)
        if wish.recompile and result.ran:
            wish = replace(wish, recompile=False, engine=result.ran.engine)


def _run_once(work: Work, around: Surroundings, control: Control, times: list[int], wish: Wish) -> Result:
    """One run on fresh copies of context and regions; `.data` is as the run before left it."""
    context = bytearray(work.context) if work.context is not None else None
    regions = [(bytearray(content), writable) for content, writable in work.regions]
    packet = Packet(work.packet, token_first=work.profile.token_first) if work.packet else None
    console = RunConsole(around.lines)
    around.show(console)
    services = Services(
        local=around.local,
        shared=around.shared,
        clock=around.clock,
        console=console,
        warn=around.lines.warn,
        board=around.board,
        pause=around.pause,
        sound_class=work.profile.sound_class,
        packet=packet,
    )
    run = set_up(
        work.program,
        around.data,
        services,
        work.available,
        allowed=work.allowed,
        context=context,
        context_writable=work.context_writable,
        extra=regions,
        budget=work.budget,
        rodata=around.rodata,
        frame_size=work.frame_size,
        control=control,
        profile=work.profile,
        renews=work.renews,
    )
    try:
        run.control.check()  # between two short runs nobody else looks
    except GuestFault as stopped:
        ran, outcome = None, killed(stopped.detail, work.program)
    else:
        ran = work.runner.once(run, wish, around.claim, around.began)
        outcome = ran.outcome
        times.append(ran.run_us)
    fault = outcome.fault
    return Result(
        outcome=outcome._replace(fault=work.profile.renumber(fault)) if fault else outcome,
        output=console.close(),
        context=None if context is None else bytes(context),
        regions=tuple(bytes(content) for content, writable in regions if writable),
        times_us=times,
        packet=packet,
        ran=ran,
    )


def killed(reason: str, program: Program | None = None) -> Outcome:
    """The outcome of a run that was stopped before it began."""
    fault = GuestFault(FaultCode.KILLED, reason).record(program.entry if program else 0)
    return Outcome(r0=None, fault=program.locate(fault) if program else fault, instructions=0)
