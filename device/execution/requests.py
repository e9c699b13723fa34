"""A run request and its answer: from the API's messages to what runs on a thread, and back."""

from __future__ import annotations

from dataclasses import dataclass

from device.api import ExecAnswer, ExecRequest, ExecSizes, ExecTimes, hex64
from device.engines.policy import JIT
from device.engines.runner import Runner
from device.engines.wish import Wish
from device.errors import Unprocessable
from device.execution.access import Access, Lists, Point, refusal
from device.execution.access import denied as denied_calls
from device.execution.console import RunLog
from device.execution.programs import Prepared
from device.execution.run import Result, Work, killed
from device.vm.advice import describe
from device.vm.packet import PacketRequest
from device.vm.program import Layout
from device.vm.setup import check_sizes


@dataclass(slots=True)
class Spent:
    """Microseconds that a request spent before its run; a program is loaded once, by the first to need it."""

    load_us: int = 0
    verify_us: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is said of a run besides the request of the native API.

    `access` is what µBPF's requests say of helpers beyond a list, `layout` the one that the slot's image has
    to have, `femto` that the rules of µBPF's Femto-Containers engine apply. `packet` is the context of a run
    that answers it. `lines` is where runs that nobody asks for one by one share what they may log.
    """

    access: Access | None = None
    packet: PacketRequest | None = None
    layout: Layout | None = None
    femto: bool = False
    lines: RunLog | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A request that was looked at: its sizes are within limits. `long` is one for a job."""

    request: ExecRequest
    wish: Wish
    lines: RunLog
    spent: Spent
    access: Access
    terms: Terms
    long: bool = False

    @classmethod
    def take(cls, request: ExecRequest, lines: RunLog, terms: Terms, *, long: bool = False) -> Order:
        """Look at a request. Raises TooLarge, MalformedRequest for wishes that do not go together."""
        check_sizes(request.context or b"", [region.bytes for region in request.regions])
        wish = Wish(request.engine, request.recompile, request.shadow, request.cycles)
        wish.require_sense()
        access = terms.access or Access.native(request.helpers)
        return cls(request, wish, lines, Spent(), access, terms, long)

    def work(self, prepared: Prepared, runner: Runner) -> Work:
        """What to run.

        Raises Unprocessable when the program calls a helper outside the effective list and the request wants
        that looked at now, may not be compiled and the request wants that, or has another layout; Conflict
        when its code is in quarantine then, or the request wants the bytecode that was discarded;
        MalformedRequest when it wants the image's list and there is none. The log gets every call with the
        lists that lack it, and ids that grant nothing.
        """
        request = self.request
        _require_layout(prepared.program.layout, self.terms.layout)
        grant = prepared.grant.femto() if self.terms.femto else prepared.grant
        wish = runner.fit(self.wish)
        if wish.compiles:
            grant.require_engine(JIT)
            runner.code.require()
        lists = Lists.of(grant.available, grant.helpers, prepared.program.declared_helpers, self.access)
        for helper in lists.unknown():
            self.lines.warn(f"helper 0x{helper:x} of the request does not exist here")
        if self.access.point is Point.PRE_FLIGHT:
            found = denied_calls(prepared.calls, lists)
            for item in found:
                self.lines.warn(f"{item.message}: not in {item.lacking}")
            if found:
                raise refusal(found)
        return Work(
            program=prepared.program,
            runner=runner,
            wish=wish,
            budget=grant.budget_of(request.budget),
            frame_size=grant.stack,
            available=grant.available,
            allowed=lists.effective,
            context=request.context,
            context_writable=request.context_writable,
            regions=tuple((region.bytes, region.writable) for region in request.regions),
            repeat=request.repeat,
            profile=grant.profile,
            renews=self.long,
            packet=self.terms.packet,
        )

    def answer(self, work: Work, result: Result, image_size: int) -> ExecAnswer:
        """The run answer (api.md); a fault is in the log as well."""
        outcome, ran = result.outcome, result.ran
        fault = outcome.fault.to_map() if outcome.fault else None
        if fault is not None:
            self.lines.fault(describe(fault))
        return ExecAnswer(
            engine=ran.engine if ran else work.wish.engine,
            instructions=outcome.instructions,
            runs=len(result.times_us),
            r0=None if outcome.r0 is None else hex64(outcome.r0),
            r0_signed=outcome.r0_signed,
            fault=fault,
            time_us=ExecTimes(self.spent.load_us, self.spent.verify_us, result.compile_us, result.median_us),
            context=result.context,
            regions=result.regions,
            output=result.output,
            helpers=tuple(work.allowed),
            sizes=ExecSizes(image=image_size, code=ran.code if ran else 0),
            cycles=ran.cycles if ran else None,
            shadow=ran.compared.to_map() if ran and ran.compared else None,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """A request that was carried out; `image_size` in bytes."""

    order: Order
    work: Work
    result: Result
    image_size: int

    def answer(self) -> ExecAnswer:
        """The run answer."""
        return self.order.answer(self.work, self.result, self.image_size)


def _require_layout(found: Layout, asked: Layout | None) -> None:
    if asked is not None and asked.code != found.code:
        raise Unprocessable(
            f"the slot has layout {found.value}, not {asked.value}",
            code="layout-differs",
            where="config",
        )


def not_run(work: Work, reason: str) -> Result:
    """The result of a request whose turn never came."""
    writable = tuple(content for content, is_writable in work.regions if is_writable)
    return Result(killed(reason, work.program), "", work.context, writable)
