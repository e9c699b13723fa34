"""What the program of a slot may do: the signed capabilities over the device's defaults (suit.md section 8).

A signature may raise a default up to the device's maximum, and a request only lowers what that comes to. A
device that was started with lower maxima than those under which a program was installed keeps to its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from device.errors import Conflict, LoadError, Unprocessable
from device.suit.capabilities import STACK_MOST, Capabilities, Maximum
from device.vm import loader
from device.vm.helpers import Helper, profile_helpers
from device.vm.memory import FRAME_SIZE
from device.vm.profiles import PROFILES, UBPF, UBPF_FC, Profile
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX, PLAIN

STORE_MAX: Final = 256
_COMPILER: Final = "jit"
_FEMTO_HELPERS: Final = MappingProxyType(profile_helpers(UBPF_FC))


@dataclass(frozen=True, slots=True)
class SlotRules:
    """What the owner of a device sets for the programs of a slot; None is the rule of the profile.

    `branches` bounds the taken jumps of a run, 0 is no bound. `no_return` is Femto-Containers' instance flag:
    no bound on jumps, and text may end without exit (programs.md section 5). `writable_rodata` lets old
    programs write to their string literals (section 2.7).
    """

    branches: int | None = None
    no_return: bool | None = None
    writable_rodata: bool | None = None

    def over(self, other: SlotRules) -> SlotRules:
        """These, and the other's where these say nothing."""
        return SlotRules(
            other.branches if self.branches is None else self.branches,
            other.no_return if self.no_return is None else self.no_return,
            other.writable_rodata if self.writable_rodata is None else self.writable_rodata,
        )

    def of(self, profile: Profile) -> Profile:
        """The profile with these rules in it."""
        no_return = profile.no_return if self.no_return is None else self.no_return
        branches = profile.rules.branch_limit if self.branches is None else self.branches or None
        rules = replace(profile.rules, branch_limit=None if no_return else branches)
        return replace(profile, no_return=no_return, rules=rules)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Settings of a device for its runs. Budgets are in instructions (programs.md section 5).

    `ram` are the bytes of a program's .data and .bss; `rules` those of all slots, over which `slot_rules` go.
    `stack_max` are bytes of a frame, `store_entries` and `store_max` entries of a local store, which a
    signature can raise from the one to the other.
    """

    budget_default: int = BUDGET_DEFAULT
    budget_max: int = BUDGET_MAX
    slot_size: int = 4096
    store_entries: int = 16
    store_max: int = STORE_MAX
    stack_max: int = STACK_MOST
    ram: int = loader.RAM_LIMIT
    rules: SlotRules = SlotRules()
    slot_rules: Mapping[int, SlotRules] = field(default_factory=lambda: MappingProxyType({}))

    def budget(self, requested: int | None, signed: int | None = None) -> int:
        """The budget of a run: a signature replaces the default, a request only lowers it."""
        return min(self.budget_max, signed or self.budget_default, requested or BUDGET_MAX)

    def rules_of(self, slot: int) -> SlotRules:
        """What is set for the programs of a slot."""
        return self.slot_rules.get(slot, SlotRules()).over(self.rules)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a program may do here.

    `available` are the helpers of its profile (P of helpers.md section 9.1), `helpers` what its manifest
    grants of them (M, None: all); `budget` instructions, `stack` bytes of a frame, `store` entries,
    `layout` the code that its image must have. `writable_rodata`: it may write to its .rodata.
    """

    profile: Profile
    available: Mapping[int, Helper]
    helpers: frozenset[int] | None
    budget: int
    stack: int
    store: int
    layout: int | None
    jit: bool
    writable_rodata: bool

    def femto(self) -> Grant:
        """The same under the rules of µBPF's Femto-Containers engine (programs.md section 5).

        A slot of another profile keeps to that one: what a request says is not signed.
        """
        if self.profile.name != UBPF.name:
            return self
        rules = replace(self.profile.rules, zero_divisor_faults=True)
        known = {number: helper for number, helper in _FEMTO_HELPERS.items() if number in self.available}
        return replace(self, profile=replace(UBPF_FC, rules=rules), available=known)

    def budget_of(self, requested: int | None) -> int:
        """The budget of a run: a request only lowers it."""
        return min(self.budget, requested or BUDGET_MAX)

    def require_layout(self, image: bytes) -> None:
        """Hold an image to the layout that was signed. Raises LoadError `load-layout`."""
        if self.layout is None:
            return
        detected = loader.detect_layout(image)
        if detected.code != self.layout:
            raise LoadError(
                f"layout code {self.layout} was signed, the bytes are {detected.value}, which has"
                f" {detected.code}",
                code="load-layout",
                where="layout",
                hint="sign the layout that the image has",
            )

    def require_engine(self, name: str) -> None:
        """Keep a program that must not be compiled from the compiler. Raises Unprocessable."""
        if name == _COMPILER and not self.jit:
            raise Unprocessable(
                "the update of this program does not allow that it is compiled",
                code="jit-denied",
                where="engine",
                hint="run it with another engine, or sign it without --no-jit",
            )

    def require_plain(self) -> None:
        """Keep the bytecode of a program under rules for which nothing is compiled. Raises Conflict."""
        if self.profile.rules != PLAIN:
            raise Conflict(
                f"the bytecode is needed: under the rules of profile {self.profile.name} nothing is compiled",
                code="bytecode-needed",
                where="action",
            )


class Grants:
    """Makes grants for one device; `default` are the helpers of programs whose manifest has no list."""

    def __init__(
        self, limits: RunLimits, profile: Profile = UBPF, default: Collection[int] | None = None
    ) -> None:
        self.limits = limits
        self._profiles = {**PROFILES, profile.name: profile}
        self._profile = profile
        self._default = None if default is None else frozenset(default)
        self._available = {name: profile_helpers(found) for name, found in self._profiles.items()}

    @property
    def maximum(self) -> Maximum:
        """What a manifest may ask for."""
        limits = self.limits
        helpers = {name: frozenset(found) for name, found in self._available.items()}
        return Maximum(helpers, self._profile.name, limits.stack_max, limits.budget_max, limits.store_max)

    def of(self, slot: int, asked: Capabilities | None = None) -> Grant:
        """The grant of a manifest for a slot with these capabilities, None: without any."""
        asked, limits = asked or Capabilities(), self.limits
        rules = limits.rules_of(slot)
        name = asked.profile if asked.profile in self._profiles else self._profile.name
        return Grant(
            profile=rules.of(self._profiles[name]),
            available=self._available[name],
            helpers=self._default if asked.helpers is None else frozenset(asked.helpers),
            budget=limits.budget(None, asked.budget),
            stack=min(limits.stack_max, FRAME_SIZE if asked.stack is None else asked.stack),
            store=min(limits.store_max, asked.store) if asked.store is not None else limits.store_entries,
            layout=asked.layout,
            jit=asked.jit is not False,
            writable_rodata=bool(rules.writable_rodata),
        )
