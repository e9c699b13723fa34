"""What a device keeps and tells: stores, the log, how an update goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from device.api.message import Message


@dataclass(frozen=True, slots=True)
class StoreListing(Message):
    """GET /store/global and /store/slots/{n}. Keys are decimal text, in ascending order of number."""

    capacity: int
    entries: dict[str, int]


@dataclass(frozen=True, slots=True)
class LogLine(Message):
    """A line of the device's log."""

    seq: int
    ms: int
    level: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class LogPage(Message):
    """GET /log: the lines from `since` on; `next` is what to ask for next, `missed` how many are gone.

    `boot` is another one after each start of the device, which is when the numbers begin anew.
    """

    next: int
    lines: tuple[LogLine, ...]
    missed: int = 0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class InstalledImage(Message):
    """What an update put into a slot."""

    slot: int
    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class UpdateStatus(Message):
    """GET /suit/status: the last update, or the one that runs.

    `result` is None while it runs and before the first, `OK` or a refusal class after it.
    """

    state: Literal["idle", "manifest", "image"]
    url: str | None = None
    sequence_number: int | None = None
    result: str | None = None
    riot_code: int | None = None
    report_reason: int | None = None
    where: str | None = None
    detail: str | None = None
    hint: str | None = None
    findings: tuple[Any, ...] = ()
    installed: tuple[InstalledImage, ...] = ()
    since_ms: int = 0
