"""`client run --batch`: a JSON object a line in, an answer a line out (client.md, "run --batch").

    {"program": "b7000000070000009500000000000000", "memory": "", "engine": "switch"}
    {"r0": "0x0000000000000007", "memory": "", "instructions": 2}

Other people's test suites plug in here, so whatever a line says is answered and the next one read. Every
line is a world of its own: stores empty, a fresh board, no console, and a clock that begins at 0 and goes on
by a millisecond with each look at it, so that the same line always has the same answer. A run is killed after
60 seconds, whatever its budget.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, Literal, TextIO

from device import engines
from device.api import JSON, Message, RegionSpec, decode_body, hex64
from device.errors import LoadError, MalformedRequest, MicroBpfError, RequestError, VerifyError
from device.peripherals import make_board
from device.storage.stores import MemoryStore
from device.vm import loader, verifier
from device.vm.helpers import CType, Helper, Parameter, Services, profile_helpers
from device.vm.profiles import PROFILES, Profile, adapt
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX, Control, Engine, Layout, Outcome, Program
from device.vm.setup import check_sizes, set_up

DEADLINE_S: Final = 60.0
"""Seconds that a run may take; past it the answer is stage `run`, code `KILLED`."""

LAYOUTS: Final = MappingProxyType({layout.value: layout for layout in Layout})

MAX_MESSAGE: Final = 1000
"""Characters of a message: it may quote the line."""

_HELPER_ID: Final = re.compile(r"0x[0-9a-fA-F]{1,8}|[0-9]{1,10}")

Stage = Literal["request", "load", "run"]


@dataclass(frozen=True, slots=True)
class BatchRequest(Message):
    """A request line. What has no default has to be there, as in client.md."""

    program: bytes
    memory: bytes
    engine: str
    layout: str = "text"
    profile: str = "ubpf"
    budget: int | None = None
    regions: tuple[RegionSpec, ...] = ()
    helpers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A request whose names have been looked up: what to load and how to run it."""

    request: BatchRequest
    engine: Engine
    layout: Layout
    helpers: Mapping[int, Helper]
    profile: Profile

    @classmethod
    def parse(cls, line: str | bytes) -> Job:
        """Raises RequestError for whatever is wrong with a line."""
        payload = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
        request = BatchRequest.from_map(decode_body(payload, JSON))
        check_sizes(request.memory, [region.bytes for region in request.regions])
        if request.budget is not None and request.budget < 1:
            raise MalformedRequest("budget must be at least 1", where="budget")
        profile: Profile = _known("profile", request.profile, PROFILES)
        return cls(
            request,
            engines.select(request.engine),
            _known("layout", request.layout, LAYOUTS),
            profile_helpers(profile) | bound_helpers(request.helpers),
            profile,
        )

    @property
    def budget(self) -> int:
        """Instructions that the run may take."""
        return BUDGET_DEFAULT if self.request.budget is None else min(self.request.budget, BUDGET_MAX)

    def load(self) -> Program:
        """The program, linked and verified. Raises LoadError, VerifyError."""
        program = loader.load(self.request.program, declared=self.layout)
        names = {number: helper.name for number, helper in self.helpers.items()}
        report = verifier.verify(program, helpers=names, budget=self.budget, profile=self.profile)
        verifier.require_accepted(report)
        return adapt(program, self.profile)

    def run(self, program: Program, memory: bytearray, deadline_s: float) -> Outcome:
        """One run; `memory` is the context and is written to."""
        extra = [(bytearray(region.bytes), region.writable) for region in self.request.regions]
        clock = _CountingClock()
        services = Services(
            local=MemoryStore(),
            shared=MemoryStore(),
            clock=clock,
            console=_Nowhere(),
            warn=lambda _text: None,
            board=make_board("native", lambda: clock.us),
            pause=clock.pass_by,
            sound_class=self.profile.sound_class,
        )
        run = set_up(
            program,
            program.fresh_data(),
            services,
            self.helpers,
            context=memory,
            extra=extra,
            budget=self.budget,
            control=Control(monotonic() + deadline_s),
            profile=self.profile,
        )
        return self.engine.run(program, run)


def run_batch(lines: Iterable[str] | Iterable[bytes], out: TextIO) -> None:
    """Answer each line, in order, flushed one by one. Bytes are best: not every line need be UTF-8."""
    for line in lines:
        out.write(answer_line(line) + "\n")
        out.flush()


def answer_line(line: str | bytes, *, deadline_s: float = DEADLINE_S) -> str:
    """The answer to one request line, without line end. Raises nothing that a line can cause."""
    try:
        answer = _answer(line, deadline_s)
    except Exception as error:  # noqa: BLE001  # a mistake of ours must not take the lines after it along
        answer = _refused("run", "internal", f"{type(error).__name__}: {error}")
    return json.dumps(answer)


def _answer(line: str | bytes, deadline_s: float) -> dict[str, Any]:
    try:
        job = Job.parse(line)
    except RequestError as error:
        return _refused("request", error.code, _message(error))
    try:
        program = job.load()
    except VerifyError as error:
        first = next((finding for finding in error.findings if finding.get("severity") == "E"), {})
        return _refused("load", first.get("id", error.code), _message(error), first.get("insn"))
    except LoadError as error:
        return _refused("load", error.code, _message(error), error.extra.get("insn"))
    memory = bytearray(job.request.memory)
    outcome = job.run(program, memory, deadline_s)
    if outcome.fault is not None:
        fault = outcome.fault
        return {**_refused("run", fault.name, str(fault), fault.pc), "memory": memory.hex()}
    return {"r0": hex64(outcome.r0 or 0), "memory": memory.hex(), "instructions": outcome.instructions}


def _refused(stage: Stage, code: str, message: str, insn: int | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"stage": stage, "code": code, "message": message[:MAX_MESSAGE]}
    if insn is not None:
        error["insn"] = insn
    return {"error": error}


def _message(error: MicroBpfError) -> str:
    return f"{error.detail} ({error.hint})" if error.hint else error.detail


def _known(what: str, name: str, offered: Mapping[str, Any]) -> Any:
    if name not in offered:
        raise MalformedRequest(
            f"{what} {name!r} is not available",
            code=f"{what}-unavailable",
            where=what,
            hint="available: " + ", ".join(offered),
        )
    return offered[name]


def bound_helpers(bindings: Mapping[str, Any]) -> dict[int, Helper]:
    """The test functions of a request, by the ids that it gives them.

    Raises MalformedRequest. An id of the profile may be given away: the test function is called then.
    """
    bound: dict[int, Helper] = {}
    for text, name in bindings.items():
        number = int(text, 0 if "x" in text else 10) if _HELPER_ID.fullmatch(text) else -1
        if not 0 <= number <= 0xFFFFFFFF:
            raise MalformedRequest(f"helper id {text!r} is no 32-bit number", where="helpers")
        if not isinstance(name, str) or name not in TEST_FUNCTIONS:
            known = "known: " + ", ".join(TEST_FUNCTIONS)
            raise MalformedRequest(f"there is no test function {name!r}", where="helpers", hint=known)
        bound[number] = TEST_FUNCTIONS[name](number)
    return bound


def _returns_r1(number: int) -> Helper:
    return Helper(
        id=number,
        prototype="uint64_t test_r1(uint64_t r1)",
        summary="gives its argument",
        parameters=(Parameter("r1", CType.U64),),
        result=CType.U64,
        function=lambda _call, r1: r1,
    )


TEST_FUNCTIONS: Final[Mapping[str, Callable[[int], Helper]]] = MappingProxyType({"r1": _returns_r1})
"""What `helpers` of a request can bind to an id, by name."""


@dataclass(slots=True)
class _CountingClock:
    """A Clock that goes on by a millisecond with each look at it."""

    us: int = 0

    def now_us(self) -> int:
        self.us += 1000
        return self.us

    def pass_by(self, us: int) -> None:
        """Be later: nobody waits here."""
        self.us += us


class _Nowhere:
    """A Console that keeps nothing."""

    def write(self, text: bytes) -> None:
        """See Console."""
