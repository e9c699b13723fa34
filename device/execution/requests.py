"""A run request and its answer: from the API's messages to what runs on a thread, and back."""

from __future__ import annotations

from dataclasses import dataclass

from device.api import ExecAnswer, ExecRequest, ExecSizes, ExecTimes, hex64
from device.errors import TooLarge
from device.execution.console import RunLog
from device.execution.helper_lists import effective, require_allowed, unknown
from device.execution.programs import Checker, Prepared
from device.execution.run import Result, Work, killed
from device.vm.advice import describe
from device.vm.memory import MAX_EXTRA_REGIONS, MAX_REGION_BYTES
from device.vm.program import Engine


@dataclass(slots=True)
class Spent:
    """Microseconds that a request spent before its run; a program is loaded once, by the first to need it."""

    load_us: int = 0
    verify_us: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """A request that was looked at: its sizes are within limits."""

    request: ExecRequest
    engine: Engine
    lines: RunLog
    spent: Spent

    @classmethod
    def take(cls, request: ExecRequest, engine: Engine, lines: RunLog, checker: Checker) -> Order:
        """Look at a request. Raises TooLarge; helpers in its list that do not exist are for the log."""
        order = cls(request, engine, lines, Spent())
        check_sizes(request)
        for helper in unknown(checker.helpers, request.helpers):
            order.lines.warn(f"helper 0x{helper:x} of the request does not exist here")
        return order

    def work(self, prepared: Prepared, checker: Checker) -> Work:
        """What to run. Raises Unprocessable when the program calls a helper outside the request's list."""
        request = self.request
        if request.helpers is not None:
            require_allowed(prepared.calls, effective(checker.helpers, request.helpers))
        return Work(
            program=prepared.program,
            engine=self.engine,
            budget=checker.limits.budget(request.budget),
            available=checker.helpers,
            allowed=request.helpers,
            context=request.context,
            context_writable=request.context_writable,
            regions=tuple((region.bytes, region.writable) for region in request.regions),
            repeat=request.repeat,
            profile=checker.profile,
        )

    def answer(self, work: Work, result: Result, image_size: int) -> ExecAnswer:
        """The run answer (api.md); a fault is in the log as well."""
        outcome = result.outcome
        fault = outcome.fault.to_map() if outcome.fault else None
        if fault is not None:
            self.lines.fault(describe(fault))
        return ExecAnswer(
            engine=work.engine.name,
            instructions=outcome.instructions,
            runs=len(result.times_us),
            r0=None if outcome.r0 is None else hex64(outcome.r0),
            r0_signed=outcome.r0_signed,
            fault=fault,
            time_us=ExecTimes(self.spent.load_us, self.spent.verify_us, 0, result.median_us),
            context=result.context,
            regions=result.regions,
            output=result.output,
            helpers=effective(work.available, work.allowed),
            sizes=ExecSizes(image=image_size),
        )


def not_run(work: Work, reason: str) -> Result:
    """The result of a request whose turn never came."""
    writable = tuple(content for content, is_writable in work.regions if is_writable)
    return Result(killed(reason, work.program), "", work.context, writable)


def check_sizes(request: ExecRequest) -> None:
    """The limits of programs.md section 3.1. Raises TooLarge."""
    if len(request.regions) > MAX_EXTRA_REGIONS:
        raise TooLarge(f"{len(request.regions)} extra regions, at most {MAX_EXTRA_REGIONS}", where="regions")
    sized = [("context", request.context or b"")]
    sized += [(f"regions[{index}]", region.bytes) for index, region in enumerate(request.regions)]
    for where, content in sized:
        if len(content) > MAX_REGION_BYTES:
            raise TooLarge(f"{where} has {len(content)} bytes, at most {MAX_REGION_BYTES}", where=where)
