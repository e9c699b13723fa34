"""How a release is signed: in which format, and what it grants its program (suit.md sections 1 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache

from device.errors import ConfigError
from device.suit.capabilities import LAYOUTS, STACK_ALIGNMENT, STACK_LEAST, STACK_MOST, Capabilities, Maximum
from device.suit.wire import RIOT, WIRE_PROFILES, WireProfile
from device.vm.helpers import profile_helpers
from device.vm.profiles import PROFILES, UBPF, Profile


@dataclass(frozen=True, slots=True)
class Terms:
    """The format, and the capabilities; none are signed unless one is given.

    `for_slots` replaces single `capabilities` for the program of a slot; with `fix_layout` each program is
    granted the layout that it has and no other. Where the format has it, `sever` has the install section
    beside what is signed, and `integrate` the images in the envelope.
    """

    suit: str = RIOT.name
    capabilities: Capabilities = field(default_factory=Capabilities)
    for_slots: tuple[tuple[int, Capabilities], ...] = ()
    fix_layout: bool = False
    sever: bool = False
    integrate: bool = False

    def __post_init__(self) -> None:
        if self.suit not in WIRE_PROFILES:
            raise _refused(f"{self.suit!r} is no format of updates", "--suit", ", ".join(WIRE_PROFILES))
        for name, asked in (("--sever", self.sever), ("--integrate", self.integrate)):
            if asked and not self.wire.severable:
                raise _refused(f"the format {self.suit} has nothing beside its manifest", name, "--suit ietf")

    @property
    def wire(self) -> WireProfile:
        """The format's table."""
        return WIRE_PROFILES[self.suit]

    def granted(self, slot: int) -> Capabilities:
        """What is signed for the program of a slot, but for its layout."""
        own = dict(self.for_slots).get(slot, Capabilities())
        given = {one.name: getattr(own, one.name) for one in fields(own)}
        return replace(self.capabilities, **{name: it for name, it in given.items() if it is not None})

    def profile(self, slot: int) -> Profile:
        """Under whose rules the program of a slot is going to run."""
        return PROFILES.get(self.granted(slot).profile or UBPF.name, UBPF)


def capabilities_of(
    *,
    helpers: tuple[int, ...] | None = None,
    budget: int | None = None,
    stack: int | None = None,
    store: int | None = None,
    layout: int | None = None,
    profile: str | None = None,
    jit: bool | None = None,
) -> Capabilities:
    """Capabilities that can be written down. Raises ConfigError for those that no device would take."""
    for helper in helpers or ():
        if not 0 <= helper <= 0xFFFF:
            raise _refused(f"{helper} is no helper id", "--helpers", "from 0 to 0xffff")
    if budget is not None and not 1 <= budget < 2**32:
        raise _refused(f"a budget of {budget}", "--budget", "from 1 to 2^32-1 instructions")
    if store is not None and not 0 <= store < 2**32:
        raise _refused(f"a store of {store} entries", "--store", "from 0 to 2^32-1")
    if stack is not None and (stack % STACK_ALIGNMENT or not STACK_LEAST <= stack <= STACK_MOST):
        raise _refused(
            f"a stack of {stack} bytes",
            "--stack",
            f"a multiple of {STACK_ALIGNMENT} from {STACK_LEAST} to {STACK_MOST}",
        )
    if layout is not None and not 0 <= layout < LAYOUTS:
        raise _refused(f"layout code {layout}", "--layout", f"from 0 to {LAYOUTS - 1}")
    if profile is not None and profile not in PROFILES:
        raise _refused(f"{profile!r} is no profile", "--profile", ", ".join(PROFILES))
    ascending = None if helpers is None else tuple(sorted(set(helpers)))
    return Capabilities(ascending, stack, budget, store, layout, profile, jit)


def _refused(detail: str, where: str, hint: str) -> ConfigError:
    return ConfigError(detail, code="argument", where=where, hint=hint)


@cache
def _helpers() -> Mapping[str, frozenset[int]]:
    return {name: frozenset(profile_helpers(profile)) for name, profile in PROFILES.items()}


def usual_maximum(profile: str = UBPF.name, *, store: int = 256) -> Maximum:
    """What a device of the usual settings grants, whose own profile is `profile`."""
    return Maximum(_helpers(), profile, store=store)
