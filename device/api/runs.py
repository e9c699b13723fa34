"""Runs and jobs: what is asked for, and what came of it."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from device.api.message import Message, coerce, kind_of, require
from device.errors import MalformedRequest

MAX_TIMEOUT_MS: Final = 60_000
DEFAULT_TIMEOUT_MS: Final = 10_000
MAX_REPEAT: Final = 10_000
MAX_BODY: Final = 128 * 1024
"""Bytes of a request body that a device takes: a context and a region of 64 KiB each, and no more."""

EngineName = Literal["auto", "interpreter", "switch", "jit"]
JitAction = Literal["compile", "drop", "discard-bytecode"]
JobState = Literal["queued", "running", "sleeping", "finished", "faulted", "killed"]


@dataclass(frozen=True, slots=True)
class RegionSpec(Message):
    """An extra region of a run; the k-th lies at the k-th extra address (programs.md section 3.1)."""

    bytes: builtins.bytes  # the field would hide the type from whoever reads the hints of this class
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ExecRequest(Message):
    """POST /slots/{n}/exec. Limits are checked here; what needs the slot is checked by the device."""

    OMIT_NONE = frozenset({"context", "helpers", "budget"})

    engine: EngineName = "auto"
    context: bytes | None = None
    context_writable: bool = True
    regions: tuple[RegionSpec, ...] = ()
    helpers: tuple[int, ...] | None = None
    budget: int | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    repeat: int = 1
    recompile: bool = False
    shadow: bool = False
    cycles: bool = False

    def __post_init__(self) -> None:
        require(1 <= self.timeout_ms <= MAX_TIMEOUT_MS, "timeout_ms", f"from 1 to {MAX_TIMEOUT_MS}")
        require(1 <= self.repeat <= MAX_REPEAT, "repeat", f"from 1 to {MAX_REPEAT}")
        require(self.budget is None or self.budget >= 1, "budget", "at least 1")
        for index, helper in enumerate(self.helpers or ()):
            require(0 <= helper <= 0xFFFFFFFF, f"helpers[{index}]", "a 32-bit helper id")


@dataclass(frozen=True, slots=True)
class JitRequest(Message):
    """POST /slots/{n}/jit."""

    action: JitAction


@dataclass(frozen=True, slots=True)
class JobRequest(Message):
    """POST /jobs: a run request and the slot, in one map. Without `timeout_ms` a job may take any time."""

    slot: int
    run: ExecRequest
    limited: bool = False

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> JobRequest:
        """See Message."""
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"expected a map, got {kind_of(value)}")
        if "slot" not in value:
            raise MalformedRequest("field 'slot' is missing", where="slot")
        slot = coerce(value["slot"], int, "slot", strict)
        rest = {key: item for key, item in value.items() if key != "slot"}
        return cls(slot, ExecRequest.from_map(rest, strict=strict), "timeout_ms" in value)

    def to_map(self) -> dict[str, Any]:
        """See Message."""
        shown = self.run.to_map()
        if not self.limited:
            del shown["timeout_ms"]
        return {"slot": self.slot, **shown}


@dataclass(frozen=True, slots=True)
class JobInfo(Message):
    """GET /jobs/{id}. What only its end tells is not there before; listings leave output, context, boot out.

    `boot` is that of the log (LogPage): a job of the same number with another one is another job.
    """

    OMIT_NONE = frozenset(
        {
            "worker",
            "started_ms",
            "instructions",
            "runs",
            "r0",
            "r0_signed",
            "fault",
            "context",
            "output",
            "boot",
        }
    )

    id: int
    slot: int
    engine: str
    state: JobState
    worker: int | None = None
    started_ms: int | None = None
    instructions: int | None = None
    runs: int | None = None
    r0: str | None = None
    r0_signed: int | None = None
    fault: dict[str, Any] | None = None
    context: bytes | None = None
    output: str | None = None
    helpers: tuple[int, ...] = ()
    boot: str | None = None


@dataclass(frozen=True, slots=True)
class JobList(Message):
    """GET /jobs: those that have not ended, and the last of those that have."""

    items: tuple[JobInfo, ...]


@dataclass(frozen=True, slots=True)
class ExecTimes(Message):
    """Microseconds per phase; `run` is the median of the repeats."""

    load: int = 0
    verify: int = 0
    compile: int = 0
    run: int = 0


@dataclass(frozen=True, slots=True)
class ExecSizes(Message):
    """Bytes of the stored image and of compiled code (0 when there is none)."""

    image: int = 0
    code: int = 0


@dataclass(frozen=True, slots=True)
class ExecAnswer(Message):
    """The answer of a run: `r0` and `r0_signed`, or `fault`."""

    OMIT_NONE = frozenset({"r0", "r0_signed", "fault", "shadow"})

    engine: str
    instructions: int
    runs: int
    r0: str | None = None
    r0_signed: int | None = None
    fault: dict[str, Any] | None = None
    cycles: int | None = None
    time_us: ExecTimes = field(default_factory=ExecTimes)
    context: bytes | None = None
    regions: tuple[bytes, ...] = ()
    output: str = ""
    helpers: tuple[int, ...] = ()
    sizes: ExecSizes = field(default_factory=ExecSizes)
    shadow: dict[str, Any] | None = None
