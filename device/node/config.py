"""The settings of a device, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from device.errors import ConfigError
from device.execution.grants import STORE_MAX, SlotRules
from device.peripherals import Signal
from device.suit.capabilities import STACK_ALIGNMENT, STACK_MOST
from device.suit.wire import WIRE_PROFILES
from device.transport import LAN, Timing, parse_url
from device.vm.loader import RAM_LIMIT
from device.vm.profiles import PROFILES, UBPF
from device.vm.program import BUDGET_DEFAULT, BUDGET_MAX

DEFAULT_PORT: Final = 5710
"""Where devices outside containers listen; in a container it is CoAP's own, 5683."""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What `--limit NAME=VALUE` sets; `LIMIT_HELP` says what each is."""

    allowed_hosts: tuple[str, ...] = ()
    components: int = 1
    envelope: int = 640
    update_deadline: int = 120
    slot_size: int = 4096
    ram: int = RAM_LIMIT
    store_entries: int = 16
    store_default: int = 16
    store_max: int = STORE_MAX
    stack_max: int = STACK_MOST
    profiles: tuple[str, ...] = tuple(WIRE_PROFILES)
    budget_default: int = BUDGET_DEFAULT
    budget_max: int = BUDGET_MAX
    branches: int | None = None
    no_return: int = 0
    writable_rodata: int = 0
    of_slots: Mapping[int, SlotRules] = field(default_factory=lambda: MappingProxyType({}))
    block: int = 64
    max_block: int = 1024
    observers: int = 32
    log_lines: int = 512
    exchange_lifetime: int = 45

    def with_text(self, text: str) -> NodeLimits:
        """The limits with one `NAME=VALUE` or `NAME@SLOT=VALUE` in place. Raises ConfigError."""
        name, equals, value = text.partition("=")
        name, at, slot = (part.strip() for part in name.partition("@"))
        name = name.replace("-", "_")
        if at and equals:
            return self._with_rule(name, slot, value)
        if name == "allowed_hosts" and equals:
            hosts = tuple(host.strip() for host in value.split(",") if host.strip())
            return replace(self, allowed_hosts=self.allowed_hosts + hosts)
        if name == "profiles" and equals:
            return replace(self, profiles=_profiles(value))
        if name not in _ABOUT or not equals:
            raise ConfigError(
                f"{text[:60]!r} is no limit", where="--limit", hint="NAME=VALUE, one of " + ", ".join(_ABOUT)
            )
        changed: dict[str, Any] = {name: _number(name, value)}
        return replace(self, **changed)

    def _with_rule(self, name: str, slot: str, value: str) -> NodeLimits:
        """The limits with a rule of one slot in place."""
        if name not in _OF_SLOTS:
            raise ConfigError(
                f"{name[:60]!r} is nothing that a slot has of its own",
                where="--limit",
                hint="NAME@SLOT=VALUE, one of " + ", ".join(_OF_SLOTS),
            )
        if not (slot.isascii() and slot.isdigit() and len(slot) <= 3):
            raise ConfigError(f"{slot[:60]!r} is no slot", where="--limit", hint="such as branches@2=400")
        number = int(slot)
        rule: dict[str, Any] = {name: _OF_SLOTS[name](_number(name, value))}
        rules = SlotRules(**rule).over(self.of_slots.get(number, SlotRules()))
        return replace(self, of_slots=MappingProxyType({**self.of_slots, number: rules}))

    @property
    def rules(self) -> SlotRules:
        """What is set for the programs of all slots."""
        return SlotRules(self.branches, bool(self.no_return) or None, bool(self.writable_rodata))


# What each limit is, and the least and most it can be; None where it is no number, or a block size.
_ABOUT: Final[dict[str, tuple[str, tuple[int, int] | None]]] = {
    "allowed_hosts": ("hosts besides the file server's that updates may come from; `any` for all", None),
    "components": ("components of an update", (1, 16)),
    "envelope": ("bytes of an envelope", (64, 65_536)),
    "update_deadline": ("seconds in which an update has to get its files", (1, 3600)),
    "slot_size": ("bytes of a slot", (64, 65_536)),
    "ram": ("bytes of a program's .data and .bss", (0, 65_536)),
    "store_entries": ("entries of the global key-value store", (1, 4096)),
    "store_default": ("entries of a slot's key-value store", (0, 4096)),
    "store_max": ("entries that a signature can allow a slot's store", (0, 4096)),
    "stack_max": ("bytes of a stack frame that a signature can allow", (32, STACK_MOST)),
    "profiles": ("formats of updates that are taken: riot, ietf", None),
    "budget_default": ("instructions of a run", (1, BUDGET_MAX)),
    "budget_max": ("instructions that a signature can allow a run", (1, BUDGET_MAX)),
    "branches": ("taken jumps of a run, 0 for any number", (0, BUDGET_MAX)),
    "no_return": ("1: jumps are not counted, and text need not end with exit", (0, 1)),
    "writable_rodata": ("1: programs may write to their .rodata, as old ones do", (0, 1)),
    "block": ("bytes of the CoAP blocks asked for when an update is fetched", None),
    "max_block": ("bytes of the largest block of an answer; 64 suits RIOT's buffers", None),
    "observers": ("observers at a time", (0, 1024)),
    "log_lines": ("lines of the log that are kept", (16, 65_536)),
    "exchange_lifetime": ("seconds for which requests are remembered; less for load tests", (1, 247)),
}
_OF_SLOTS: Final[Mapping[str, Callable[[int], int]]] = MappingProxyType(
    {"branches": int, "no_return": bool, "writable_rodata": bool}
)
"""What `NAME@SLOT=VALUE` can set for one slot, as what it is kept."""
_BLOCKS: Final = (16, 32, 64, 128, 256, 512, 1024)


def _number(name: str, value: str) -> int:
    bounds = _ABOUT[name][1]
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 12 else -1
    if bounds is None and number not in _BLOCKS:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, _BLOCKS))}", where="--limit")
    if bounds is not None and not bounds[0] <= number <= bounds[1]:
        raise ConfigError(f"{name} must be a number from {bounds[0]} to {bounds[1]}", where="--limit")
    return number


def _profiles(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names or not all(name in WIRE_PROFILES for name in names):
        known = ", ".join(WIRE_PROFILES)
        raise ConfigError(f"{value[:60]!r} are no profiles of updates", where="--limit", hint=known)
    return names


def limits_of(texts: Iterable[str]) -> NodeLimits:
    """The limits that `NAME=VALUE` texts set, the defaults otherwise. Raises ConfigError."""
    limits = NodeLimits()
    for text in texts:
        limits = limits.with_text(text)
    return limits


def helpers_of(text: str) -> tuple[int, ...]:
    """The ids in a text such as `0x01,0x13`; an empty one has none. Raises ConfigError."""
    try:
        ids = {int(part, 0) for part in text.replace(",", " ").split()}
    except ValueError:
        ids = {-1}
    if not all(0 <= number <= 0xFFFFFFFF for number in ids):
        raise ConfigError(f"{text[:60]!r} are no helper ids", where="--helpers", hint="such as 0x01,0x13")
    return tuple(sorted(ids))


def _help(name: str, about: str) -> str:
    default = getattr(NodeLimits(), name)
    shown = {
        "allowed_hosts": "the file server's only",
        "branches": "the profile's",
        "profiles": ",".join(WIRE_PROFILES),
    }.get(name, default)
    return f"  {name:<18} {about}  [{shown}]"


LIMIT_HELP: Final = "\n".join(
    [
        "Limits:",
        *(_help(name, about) for name, (about, _) in _ABOUT.items()),
        f"Of one slot: NAME@SLOT=VALUE for {', '.join(_OF_SLOTS)}",
    ]
)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One device. None is "not given": no server is no registration, no state directory no memory.

    `keys` is the directory of trusted public keys, `server` the file-server URL, `advertise` the URL under
    which the device registers. `index` counts from 1 the devices of a process that hosts several.
    `profile` names the rules under which programs run (programs.md section 7).
    `helpers` are what programs may call whose update names none, None for all that there are. `signals` are
    inputs of the board by target. `verify_sources` answers unknown addresses briefly or with an Echo
    challenge (RFC 9175). `erase_first` empties a slot before its update is fetched, as RIOT does.
    """

    name: str | None = None
    board: str = "native"
    bind: str | None = None
    port: int = DEFAULT_PORT
    server: str | None = None
    advertise: str | None = None
    keys: Path | None = None
    state: Path | None = None
    workers: int = 4
    slots: int = 5
    helpers: tuple[int, ...] | None = None
    signals: Mapping[str, Signal] = field(default_factory=dict)
    limits: NodeLimits = field(default_factory=NodeLimits)
    timing: Timing = LAN
    verify_sources: bool = False
    erase_first: bool = False
    profile: str = UBPF.name
    index: int | None = None

    def __post_init__(self) -> None:
        for where, url in (("--server", self.server), ("--advertise", self.advertise)):
            if url is not None:
                _check_base(url, where)
        if self.profile not in PROFILES:
            known = ", ".join(PROFILES)
            raise ConfigError(f"{self.profile[:40]!r} is no profile", where="--profile", hint=known)
        _check_defaults(self.limits)
        _check("--slots", self.slots, 1, 256)
        for slot in self.limits.of_slots:
            _check("--limit", slot, 0, self.slots - 1)
        _check("--workers", self.workers, 0, 64)
        if not self.board or len(self.board) > 63 or not self.board.isprintable() or " " in self.board:
            raise ConfigError(f"{self.board[:80]!r} is no board name", where="--board")

    def of(self, index: int, count: int) -> NodeConfig:
        """The configuration of the `index`-th (from 0) of `count` devices that share these settings."""
        if count == 1:
            return self
        return replace(
            self,
            name=None if self.name is None else f"{self.name}-{index + 1}",
            port=self.port + index if self.port else 0,
            state=None if self.state is None else self.state / f"device-{index + 1}",
            index=index + 1,
        )


def _check_defaults(limits: NodeLimits) -> None:
    """What a program gets without a signature for more is no more than what a signature can give."""
    for name in ("budget", "store"):
        default, most = getattr(limits, f"{name}_default"), getattr(limits, f"{name}_max")
        if default > most:
            raise ConfigError(
                f"{name}_default, {default}, is above {name}_max, {most}", where="--limit", hint="set both"
            )
    if limits.stack_max % STACK_ALIGNMENT:
        raise ConfigError(
            f"stack_max, {limits.stack_max}, is no multiple of {STACK_ALIGNMENT}", where="--limit"
        )


def _check(where: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{where} must be from {least} to {most}, not {value}", where=where)


def _check_base(url: str, where: str) -> None:
    """A `coap://host[:port]` without path, as registration and manifests need it."""
    try:
        parsed = parse_url(url)
    except ConfigError as error:
        raise ConfigError(
            error.detail, code=error.code, where=where, hint="such as coap://host:5683"
        ) from error
    if parsed.path or parsed.query:
        raise ConfigError(f"{url!r} has a path", where=where, hint="such as coap://host:5683")
