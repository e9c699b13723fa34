"""What a program may do, as its update says under the signature (suit.md section 8).

    field absent      the device's default for it
    field given       that, up to the device's maximum; beyond it the update is refused, never shrunk
    a request         only narrows

Custom SUIT parameter -512, in the install or the payload-fetch sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from device.suit import cbor
from device.suit.refusals import PARAMETER, Refusal, refuse
from device.suit.values import map_of, text_of, uint_of

VERSION: Final = 1
_VERSION_KEY, _HELPERS, _STACK, _BUDGET, _STORE, _LAYOUT, _PROFILE, _JIT = range(1, 9)
MAX_HELPER: Final = 0xFFFF
STACK_ALIGNMENT: Final = 8
STACK_LEAST: Final = 32
STACK_MOST: Final = 512
LAYOUTS: Final = 4
"""Layout codes are 0 to 3 (programs.md section 2)."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an update grants its program; None where it leaves that to the device.

    `helpers` are ids in ascending order, `stack` bytes of a frame, `budget` instructions of a run, `store`
    entries of the local store, `layout` a layout code, `profile` a target profile, `jit` whether it may be
    compiled.
    """

    helpers: tuple[int, ...] | None = None
    stack: int | None = None
    budget: int | None = None
    store: int | None = None
    layout: int | None = None
    profile: str | None = None
    jit: bool | None = None

    @property
    def given(self) -> bool:
        """Whether anything is said at all."""
        return self != Capabilities()

    def encode(self) -> bytes:
        """The map that the parameter wraps."""
        values = {
            _HELPERS: None if self.helpers is None else sorted(set(self.helpers)),
            _STACK: self.stack,
            _BUDGET: self.budget,
            _STORE: self.store,
            _LAYOUT: self.layout,
            _PROFILE: self.profile,
            _JIT: self.jit,
        }
        given = {key: value for key, value in values.items() if value is not None}
        return cbor.encode({_VERSION_KEY: VERSION, **given})

    def to_map(self) -> dict[str, Any]:
        """What was said, as resources and JSON show it."""
        values = {
            "helpers": None if self.helpers is None else list(self.helpers),
            "stack": self.stack,
            "budget": self.budget,
            "store": self.store,
            "layout": self.layout,
            "profile": self.profile,
            "jit": self.jit,
        }
        return {name: value for name, value in values.items() if value is not None}


def decode(raw: Any, where: str) -> Capabilities:
    """Read the parameter. Raises SuitError MALFORMED, UNSUPPORTED for unknown keys or another version."""
    members = map_of(raw, where)
    version = members.get(_VERSION_KEY)
    if version is None:
        raise refuse(Refusal.MALFORMED, f"{where}: capabilities without a version", where=where)
    if uint_of(version, f"{where}, version") != VERSION:
        raise _unsupported(f"{where}: capabilities version {version}", where)
    for key in members:
        if type(key) is not int or not _VERSION_KEY <= key <= _JIT:
            raise _unsupported(f"{where}: capability {key!r}", where)
    return Capabilities(
        helpers=_helpers(members[_HELPERS], where) if _HELPERS in members else None,
        stack=_stack(members[_STACK], where) if _STACK in members else None,
        budget=_budget(members[_BUDGET], where) if _BUDGET in members else None,
        store=uint_of(members[_STORE], f"{where}, store") if _STORE in members else None,
        layout=uint_of(members[_LAYOUT], f"{where}, layout") if _LAYOUT in members else None,
        profile=text_of(members[_PROFILE], f"{where}, profile") if _PROFILE in members else None,
        jit=_bool(members[_JIT], where) if _JIT in members else None,
    )


@dataclass(frozen=True, slots=True)
class Maximum:
    """What a device grants at most. `helpers` are P by target profile, of this board.

    `profile` is the one of programs whose update names none.
    """

    helpers: Mapping[str, Collection[int]] = field(default_factory=dict, hash=False)
    profile: str = ""
    stack: int = STACK_MOST
    budget: int = 2**32 - 1
    store: int = 256

    def require(self, asked: Capabilities, where: str) -> None:
        """Hold capabilities against this. Raises SuitError CAPABILITY for the first that goes beyond."""
        profile = asked.profile if asked.profile is not None else self.profile
        if asked.profile is not None and profile not in self.helpers:
            raise self._beyond(f"profile {profile[:40]!r}", f"has {', '.join(self.helpers) or 'none'}", where)
        there = self.helpers.get(profile, ())
        for helper in asked.helpers or ():
            if helper not in there:
                raise self._beyond(f"helper 0x{helper:02x}", f"has no such one under {profile}", where)
        if asked.stack is not None and not STACK_LEAST <= asked.stack <= self.stack:
            raise self._beyond(f"a stack of {asked.stack}", f"grants {STACK_LEAST} to {self.stack}", where)
        for name, value, most in (
            ("a budget", asked.budget, self.budget),
            ("a store", asked.store, self.store),
        ):
            if value is not None and value > most:
                raise self._beyond(f"{name} of {value}", f"grants {most}", where)
        if asked.layout is not None and asked.layout >= LAYOUTS:
            raise self._beyond(f"layout {asked.layout}", f"has 0 to {LAYOUTS - 1}", where)

    def _beyond(self, what: str, has: str, where: str) -> Exception:
        return refuse(Refusal.CAPABILITY, f"{what} is asked for, the device {has}", where=where)


def _helpers(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise refuse(Refusal.MALFORMED, f"{where}: helpers must be an array", where=where)
    ids = tuple(uint_of(item, f"{where}, helper", MAX_HELPER) for item in value)
    if any(one >= other for one, other in pairwise(ids)):
        raise refuse(Refusal.MALFORMED, f"{where}: helpers must be strictly ascending", where=where)
    return ids


def _stack(value: Any, where: str) -> int:
    stack = uint_of(value, f"{where}, stack")
    if stack % STACK_ALIGNMENT:
        raise refuse(
            Refusal.MALFORMED, f"{where}: a stack of {stack}, no multiple of {STACK_ALIGNMENT}", where=where
        )
    return stack


def _budget(value: Any, where: str) -> int:
    budget = uint_of(value, f"{where}, budget")
    if not budget:
        raise refuse(Refusal.MALFORMED, f"{where}: a budget of 0", where=where)
    return budget


def _bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise refuse(Refusal.MALFORMED, f"{where}: jit must be true or false", where=where)
    return value


def _unsupported(detail: str, where: str) -> Exception:
    return refuse(Refusal.UNSUPPORTED, detail, where=where, reason=PARAMETER)
