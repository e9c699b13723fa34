"""The simulated board of a device: what can be seen of it, and setting what it senses (api.md, `/board`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from client.escape import escape
from client.remote import RemoteDevice
from client.steps import Note, ignore_note
from client.text import block
from device.api import BoardInfo, SaulInfo
from device.errors import ConfigError, TransportError
from device.peripherals import Constant, Failing, Series, Signal, Sine, Walk, signal_of

COLUMNS: Final = 16
QUIET_S: Final = 2.0
"""Seconds without a notification after which a board is asked: readings move without one."""

_PAUSE_S: Final = (0.5, 10.0)
_UNITS: Final = {1: "", 2: " °C", 18: " dB", 26: "", 28: " %"}
_BOOL: Final = 26
_LEDS: Final = range(0x40, 0x46)
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One input that gets something new: `saul:1`, `adc:2` or `pin:C13`, and the body that says what."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A change, `at_s` seconds after a scenario has begun."""

    at_s: float
    change: Change


async def read(device: RemoteDevice) -> BoardInfo:
    """What a person would see on the desk."""
    return await device.board()


async def apply(device: RemoteDevice, changes: Iterable[Change]) -> None:
    """Set inputs, one after the other. Raises RemoteError for one that the board does not have."""
    for change in changes:
        await device.change(change.path, change.body)


async def follow(
    device: RemoteDevice,
    *,
    on_note: Note = ignore_note,
    quiet_s: float = QUIET_S,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> AsyncGenerator[BoardInfo, None]:
    """The board now and whenever it looks different, until closed. A device that goes away is waited for.

    Raises only when it cannot be reached at the very beginning, or refuses.
    """
    shown = await device.board()
    yield shown
    pause = _PAUSE_S[0]
    while True:
        try:
            async with aclosing(device.follow_board()) as boards:
                while True:
                    try:
                        async with asyncio.timeout(quiet_s):
                            seen = await anext(boards)
                    except TimeoutError:
                        seen = await device.board()
                        if seen != shown:
                            yield (shown := seen)
                        break
                    pause = _PAUSE_S[0]
                    if seen != shown:
                        yield (shown := seen)
        except StopAsyncIteration:
            await sleep(pause)
        except TransportError as error:
            on_note(f"{device.target.name}: {error.detail}; trying again")
            await sleep(pause)
            pause = min(pause * 2, _PAUSE_S[1])


async def play(
    device: RemoteDevice,
    events: Sequence[Event],
    *,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> None:
    """A scenario from its beginning to its end, in real time."""
    at_s = 0.0
    for event in events:
        if event.at_s > at_s:
            await sleep(event.at_s - at_s)
            at_s = event.at_s
        await apply(device, [event.change])


# What people write


def change_of(text: str) -> Change:
    """`INPUT=SIGNAL`, as `device --signal` has it; `saul:1=` is the board's own again. Raises ConfigError."""
    target, equals, signal = text.partition("=")
    kind, _, name = (part.strip() for part in target.partition(":"))
    if not equals or kind not in ("saul", "adc", "pin") or not name:
        raise ConfigError(
            f"{text[:60]!r} sets no input", code="signal", where=text[:60],
            hint="such as saul:1=250, adc:2=400, pin:C13=1, saul:1=sine:234,20,60, saul:3=fail",
        )  # fmt: skip
    if kind == "saul":
        return Change(f"/saul/{name}", _of_saul(signal.strip()))
    if not signal.strip():
        raise ConfigError(
            f"{target} needs a signal", code="signal", where=text[:60], hint="such as adc:2=1023"
        )
    made = signal_of(signal)
    value = made.value if isinstance(made, Constant) else signal_map(made)
    return Change("/board", {"adc" if kind == "adc" else "pins": {name: value}})


def _of_saul(text: str) -> dict[str, Any]:
    if not text:
        return {"signal": None}
    made = signal_of(text)
    if isinstance(made, Constant):
        return {"values": [made.value]}
    return {"fail": True} if isinstance(made, Failing) else {"signal": signal_map(made)}


def signal_map(signal: Signal) -> dict[str, Any]:
    """A signal as requests have it (device/peripherals/specs.py)."""
    match signal:
        case Constant(value):
            return {"kind": "constant", "value": value}
        case Sine(mean, amplitude, period_s):
            return {"kind": "sine", "mean": mean, "amplitude": amplitude, "period_s": period_s}
        case Walk():
            fields = ("start", "step", "interval_s", "seed", "least", "most")
            return {"kind": "walk", **{name: getattr(signal, name) for name in fields}}
        case Series(times, values, period):
            points = [[time / _SECOND_US, value] for time, value in zip(times, values, strict=True)]
            return {"kind": "series", "points": points, "repeat": period is not None}
        case _:
            return {"kind": "fail"}


def scenario(path: Path) -> list[Event]:
    """The events of a file, lines `SECONDS INPUT=SIGNAL` in ascending order; `#` begins a remark.

    Raises ConfigError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", code="file", where=str(path)) from error
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split(maxsplit=1)
        if words:
            events.append(_event(words, f"{path}:{number}", events[-1].at_s if events else 0.0))
    return events


def _event(words: Sequence[str], where: str, before_s: float) -> Event:
    try:
        at_s = float(words[0])
    except ValueError:
        at_s = -1.0
    if len(words) != 2 or not before_s <= at_s < 1e7:
        raise ConfigError(
            f"{where}: expected SECONDS INPUT=SIGNAL, in ascending order", code="scenario", where=where,
            hint="such as `2.5 adc:2=400`",
        )  # fmt: skip
    try:
        return Event(at_s, change_of(words[1].strip()))
    except ConfigError as error:
        raise ConfigError(
            f"{where}: {error.detail}", code=error.code, where=where, hint=error.hint
        ) from error


# What people see


def board_lines(board: BoardInfo) -> Iterator[str]:
    """The desk: LEDs, display, readings, pins, lines."""
    leds = [item for item in board.saul if item.kind in _LEDS]
    if leds:
        yield "  ".join(f"{'●' if _is_on(led) else '○'} {escape(led.name)}" for led in leds)
    if board.lcd is not None:
        edge = "─" * COLUMNS
        yield f"┌{edge}┐"
        for row in board.lcd.rows:
            yield f"│{escape(row[:COLUMNS]):<{COLUMNS}}│"
        yield f"└{edge}┘"
    yield from block({item.name: reading(item) for item in board.saul if item.kind not in _LEDS})
    if board.pins:
        yield "pins   " + "  ".join(f"{escape(pin.name)} {pin.mode} {pin.level}" for pin in board.pins)
    if board.adc:
        yield "lines  " + "  ".join(f"{escape(line)}: {value}" for line, value in board.adc.items())


def _is_on(led: SaulInfo) -> bool:
    return bool(led.values and led.values[0])


def reading(item: SaulInfo) -> str:
    """A reading with its unit; what keeps the sensor from giving one instead."""
    if item.values is None:
        return item.problem or "no reading"
    shown = " ".join(decimal(value, item.scale or 0) for value in item.values)
    if item.unit == _BOOL:
        return "yes" if item.values[0] else "no"
    return shown + _UNITS.get(item.unit or 0, f" (unit {item.unit})")


def decimal(value: int, scale: int) -> str:
    """`value` times ten to the power of `scale`, written out: (234, -1) is 23.4."""
    if scale >= 0:
        return str(value * 10**scale)
    digits = f"{abs(value):0{1 - scale}d}"
    return f"{'-' if value < 0 else ''}{digits[:scale]}.{digits[scale:]}"
