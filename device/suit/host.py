"""What an update depends on beside its bytes: who runs programs, conditions, bounds (suit.md section 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from device.suit.capabilities import Capabilities, Maximum
from device.suit.wire import WIRE_PROFILES

ENVELOPE: Final = 640
"""Bytes of an envelope that a device takes unless it is told otherwise."""


class ProgramHost(Protocol):
    """Who runs the programs: decides whether an image may, and swaps it in."""

    async def check(self, slot: int, image: bytes, capabilities: Capabilities | None = None) -> object:
        """Link and verify under what was signed; the prepared program.

        Raises LoadError, VerifyError, Unprocessable.
        """

    def held(self, slot: int) -> bool:
        """Whether a job keeps the slot from being replaced."""

    async def replace(self, prepared: Mapping[int, object], commit: Callable[[], None]) -> None:
        """End the slots' runs, call `commit` once, and make the prepared programs current."""

    async def undeploy(self, number: int) -> None:
        """Empty a slot. Raises Conflict while a job keeps it, StorageError."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a pull asks for besides what is signed: the one slot, and how images are checked.

    `check` stands in for the host's own and refuses more than that.
    """

    slot: int
    check: Callable[[int, bytes, Capabilities], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class UpdateLimits:
    """Bounds of one update: bytes of an envelope, components, hosts (None: any), seconds of all fetching.

    `profiles` are the formats that are taken, `maximum` is what an update may grant its programs. With
    `erase_first` a slot is emptied before its image is fetched: RIOT's order, to be shown and not to be used.
    """

    envelope: int = ENVELOPE
    components: int = 1
    allowed_hosts: tuple[str, ...] | None = ()
    deadline_s: float = 120.0
    profiles: tuple[str, ...] = tuple(WIRE_PROFILES)
    maximum: Maximum = field(default_factory=Maximum)
    erase_first: bool = False
