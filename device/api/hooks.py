"""Hooks: programs that run by themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from device.api.message import Message, require
from device.api.runs import EngineName
from device.errors import MalformedRequest

MIN_PERIOD_MS: Final = 10
MAX_PERIOD_MS: Final = 7 * 24 * 3600 * 1000
MAX_PATH: Final = 32
"""Characters of a path that a program is bound to, below /app/."""

HookTrigger = Literal["interval", "saul", "packet", "path"]
HookPolicy = Literal["continue", "abort-on-negative", "abort-on-positive", "single"]

_PATH: Final = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HookRequest(Message):
    """POST /hooks: what runs the program of a slot. `period_ms` belongs to `interval`, `index` to `saul` (any
    device without it), `path` to `path`, below /app/ with or without saying so."""

    OMIT_NONE = frozenset({"period_ms", "index", "path"})

    slot: int
    trigger: HookTrigger
    period_ms: int | None = None
    index: int | None = None
    path: str | None = None
    policy: HookPolicy = "continue"
    engine: EngineName = "auto"

    def __post_init__(self) -> None:
        for name, trigger in (("period_ms", "interval"), ("index", "saul"), ("path", "path")):
            if getattr(self, name) is not None and self.trigger != trigger:
                raise MalformedRequest(f"{name} belongs to trigger {trigger}", where=name)
        require(self.index is None or 0 <= self.index <= 0xFF, "index", "from 0 to 255")
        if self.trigger == "interval":
            period = self.period_ms or 0
            require(
                MIN_PERIOD_MS <= period <= MAX_PERIOD_MS,
                "period_ms",
                f"at least {MIN_PERIOD_MS}, a week at most",
            )
        if self.trigger == "path":
            known = _PATH.fullmatch(self.app_path)
            require(
                known is not None and len(self.app_path) <= MAX_PATH,
                "path",
                f"1 to {MAX_PATH} letters, digits, `-`, `.`, `_`, `~`, and single slashes between them",
            )

    @property
    def app_path(self) -> str:
        """The path below /app/."""
        return (self.path or "").removeprefix("/app/")


@dataclass(frozen=True, slots=True)
class HookInfo(Message):
    """GET /hooks/{id}. `missed` are triggers without a run, as one was under way or no place was free; `last`
    is how the last run ended: `r0` and `r0_signed`, or `fault`."""

    OMIT_NONE = frozenset({"period_ms", "index", "path"})

    id: int
    slot: int
    trigger: HookTrigger
    policy: HookPolicy
    engine: str
    period_ms: int | None = None
    index: int | None = None
    path: str | None = None
    runs: int = 0
    faults: int = 0
    missed: int = 0
    last: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class HookList(Message):
    """GET /hooks, the oldest first."""

    items: tuple[HookInfo, ...]
