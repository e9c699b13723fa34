"""How people write signals: as text on a command line, as maps in requests.

    saul:1=sine:234,20,3600       SIGNAL_HELP has all inputs and signals

In a map kind and parameters have names: {"kind": "sine", "mean": 234, "amplitude": 20, "period_s": 60}.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from device.errors import ConfigError, MalformedRequest
from device.peripherals.signals import SECOND_US, Constant, Failing, Series, Signal, Sine, Walk

MAX_POINTS: Final = 20_000
MAX_VALUE: Final = 1_000_000
MAX_SECONDS: Final = 10_000_000
_TICK_S: Final = 0.001

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "constant": ("value",),
    "sine": ("mean", "amplitude", "period_s"),
    "walk": ("start", "step", "interval_s", "seed", "least", "most"),
    "series": ("points", "repeat"),
    "fail": (),
}
_OPTIONAL: Final = ("seed", "least", "most", "repeat")


def signal_of(text: str) -> Signal:
    """The signal that a text says. Raises ConfigError."""
    kind, colon, rest = text.strip().partition(":")
    parts = [part.strip() for part in rest.split(",")] if colon else []
    try:
        if kind == "csv":
            return _recorded(parts)
        if not colon and kind not in _FIELDS:
            kind, parts = "constant", [kind]
        names = _FIELDS.get(kind, ())
        if kind not in _FIELDS or kind == "series" or len(parts) > len(names):
            raise MalformedRequest(f"{text[:60]!r} is no signal")
        return signal_from(
            {"kind": kind, **{name: _number(part) for name, part in zip(names, parts, strict=False)}}
        )
    except MalformedRequest as error:
        raise ConfigError(
            error.detail, code="signal", where="--signal",
            hint="a number, sine:MEAN,AMPLITUDE,SECONDS, walk:START,STEP,SECONDS,SEED, csv:FILE or fail",
        ) from error  # fmt: skip


def signals_of(texts: Iterable[str]) -> dict[str, Signal]:
    """The inputs that `TARGET=SIGNAL` texts set, such as `saul:1=sine:234,20,60`. Raises ConfigError."""
    signals = {}
    for text in texts:
        target, equals, signal = text.partition("=")
        if not equals:
            raise ConfigError(
                f"{text[:60]!r} has no =", code="signal", where="--signal", hint="such as saul:1=250"
            )
        signals[target.strip()] = signal_of(signal)
    return signals


SIGNAL_HELP: Final = """Inputs:
  saul:N             device N of the SAUL registry, if it is a sensor
  adc:N              analog line N, 0 to 1023: 0 sound, 1 light, 2 keypad
  pin:C13, pin:2/13  the level of a pin from outside, high unless 0
Signals:
  234                             always that
  sine:MEAN,AMPLITUDE,SECONDS     up and down once in that time
  walk:START,STEP,SECONDS[,SEED[,LEAST,MOST]]
                                  STEP up, down or none each so many seconds
  csv:FILE[,repeat]               lines `seconds,value`
  fail                            a sensor that does not answer"""


def signal_from(value: Any) -> Signal:
    """The signal that a map says. Raises MalformedRequest."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise MalformedRequest("a signal is a map with a kind", where="kind", hint=", ".join(_FIELDS))
    names = _FIELDS[kind]
    for name in value:
        if name != "kind" and name not in names:
            shown = name[:40] if isinstance(name, str) else f"({type(name).__name__})"
            raise MalformedRequest(f"a {kind} has no {shown!r}", where=shown)
    for name in names:
        if name not in value and name not in _OPTIONAL:
            raise MalformedRequest(f"a {kind} needs its {name}", where=name)
    return _MAKERS[kind](value)


def _constant(value: Mapping[str, Any]) -> Signal:
    return Constant(_whole(value, "value"))


def _sine(value: Mapping[str, Any]) -> Signal:
    return Sine(_real(value, "mean"), _real(value, "amplitude"), _duration(value, "period_s"))


def _walk(value: Mapping[str, Any]) -> Signal:
    least, most = _whole(value, "least", -32768), _whole(value, "most", 32767)
    if least > most:
        raise MalformedRequest("least is greater than most", where="least")
    return Walk(
        start=_whole(value, "start"),
        step=_whole(value, "step"),
        interval_s=_duration(value, "interval_s"),
        seed=_whole(value, "seed", 0),
        least=least,
        most=most,
    )


def _series(value: Mapping[str, Any]) -> Signal:
    points = value["points"]
    if not isinstance(points, list | tuple) or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in points
    ):
        raise MalformedRequest("points are pairs of seconds and value", where="points")
    if not isinstance(value.get("repeat", False), bool):
        raise MalformedRequest("repeat is true or false", where="repeat")
    return _series_of([(p[0], p[1]) for p in points], repeat=value.get("repeat", False))


_MAKERS: Final[dict[str, Callable[[Mapping[str, Any]], Signal]]] = {
    "constant": _constant,
    "sine": _sine,
    "walk": _walk,
    "series": _series,
    "fail": lambda _value: Failing(),
}


def _series_of(points: Sequence[tuple[Any, Any]], *, repeat: bool) -> Signal:
    if not 1 <= len(points) <= MAX_POINTS:
        raise MalformedRequest(f"{len(points)} points, from 1 to {MAX_POINTS}", where="points")
    times = [int(_checked(seconds, "points", MAX_SECONDS) * SECOND_US) for seconds, _ in points]
    if times[0] < 0 or any(later <= earlier for earlier, later in pairwise(times)):
        raise MalformedRequest("the times of a series ascend, from 0 on", where="points")
    if repeat and times[-1] == 0:
        raise MalformedRequest("a series that repeats needs a second point", where="points")
    values = tuple(round(_checked(value, "points", MAX_VALUE)) for _, value in points)
    return Series(tuple(times), values, times[-1] if repeat else None)


def _recorded(parts: Sequence[str]) -> Signal:
    """A CSV file of `seconds,value`; a first line that is no pair of numbers is a heading."""
    if not parts or len(parts) > 2 or parts[1:] not in ([], ["repeat"]):
        raise MalformedRequest("csv:FILE or csv:FILE,repeat")
    try:
        with Path(parts[0]).open(encoding="utf-8", newline="") as file:
            rows = [row for _, row in zip(range(MAX_POINTS + 2), csv.reader(file), strict=False) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MalformedRequest(f"{parts[0]} cannot be read: {error}") from error
    if rows and not _is_pair(rows[0]):
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if not _is_pair(row):
            raise MalformedRequest(f"{parts[0]}: row {number} is not `seconds,value`")
    return _series_of([(float(row[0]), float(row[1])) for row in rows], repeat=len(parts) == 2)


def _is_pair(row: Sequence[str]) -> bool:
    try:
        return len(row) == 2 and all(math.isfinite(float(cell)) for cell in row)
    except ValueError:
        return False


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise MalformedRequest(f"{text[:40]!r} is no number") from None


def _checked(value: Any, where: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        raise MalformedRequest(f"{where} must be a number from -{most:g} to {most:g}", where=where)
    return value


def _real(value: Mapping[str, Any], name: str) -> float:
    return float(_checked(value[name], name, MAX_VALUE))


def _whole(value: Mapping[str, Any], name: str, default: int = 0) -> int:
    number = _checked(value.get(name, default), name, MAX_VALUE)
    if number != int(number):
        raise MalformedRequest(f"{name} must be a whole number", where=name)
    return int(number)


def _duration(value: Mapping[str, Any], name: str) -> float:
    seconds = _checked(value[name], name, MAX_SECONDS)
    if seconds < _TICK_S:
        raise MalformedRequest(f"{name} must be at least {_TICK_S} seconds", where=name)
    return float(seconds)
