"""The simulated board: what programs sense and drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from device.api.message import Message, require
from device.errors import MalformedRequest


@dataclass(frozen=True, slots=True)
class SaulInfo(Message):
    """GET /saul/{i}; `class` is profile `ubpf`'s number. One that fails has a `problem`, no `values`."""

    OMIT_NONE = frozenset({"problem"})

    index: int
    name: str
    kind: int
    writable: bool
    values: tuple[int, ...] | None
    unit: int | None
    scale: int | None
    problem: str | None = None

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> SaulInfo:
        """See Message; on the wire `kind` is `class`."""
        if isinstance(value, Mapping):
            value = {"kind" if key == "class" else key: item for key, item in value.items()}
        return super(SaulInfo, cls).from_map(value, strict=strict)

    def to_map(self) -> dict[str, Any]:
        """See Message."""
        shown = super(SaulInfo, self).to_map()
        return {"class" if key == "kind" else key: item for key, item in shown.items()}


@dataclass(frozen=True, slots=True)
class SaulList(Message):
    """GET /saul: the registry in the order of its positions."""

    items: tuple[SaulInfo, ...]


@dataclass(frozen=True, slots=True)
class SaulChange(Message):
    """PUT /saul/{i}, one of: `values` an actuator takes or a sensor shows from now on, `signal` that a sensor
    follows, `fail`: true, or false to end it. A null `signal` is the board's own again."""

    values: tuple[int, ...] | None = None
    signal: Any = None
    fail: bool | None = None

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> SaulChange:
        """See Message. Raises MalformedRequest unless exactly one field is there."""
        if isinstance(value, Mapping) and len(value) != 1:
            raise MalformedRequest("say one of values, signal and fail", hint='such as {"values": [235]}')
        change = super(SaulChange, cls).from_map(value, strict=strict)
        if change.values is not None:
            require(1 <= len(change.values) <= 3, "values", "1 to 3 numbers")
            for index, number in enumerate(change.values):
                require(-32768 <= number <= 32767, f"values[{index}]", "a signed 16-bit number")
        elif "signal" not in value and change.fail is None:
            raise MalformedRequest("null is no value", where=next(iter(value)))
        return change


@dataclass(frozen=True, slots=True)
class PinInfo(Message):
    """A pin that somebody has used or connected; `level` is what a program would read."""

    name: str
    port: int
    pin: int
    mode: Literal["in", "out"]
    level: int


@dataclass(frozen=True, slots=True)
class LcdInfo(Message):
    """The display: its rows in sight, the cursor, whether a program has set it up."""

    rows: tuple[str, ...]
    column: int
    row: int
    ready: bool


@dataclass(frozen=True, slots=True)
class BoardInfo(Message):
    """GET /board: what a person would see on the desk, with all readings. `adc` are lines in decimal text."""

    board: str
    pins: tuple[PinInfo, ...]
    adc: dict[str, int]
    lcd: LcdInfo | None
    saul: tuple[SaulInfo, ...]
    test_packet: bytes


@dataclass(frozen=True, slots=True)
class BoardChange(Message):
    """PUT /board: levels of pins from outside (`C13` or `2/13`) and lines (`2`) as numbers or signals."""

    pins: dict[str, Any] = field(default_factory=dict)
    adc: dict[str, Any] = field(default_factory=dict)
    test_packet: bytes | None = None
