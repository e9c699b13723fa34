"""The messages of the device's CoAP API as typed values, both directions (api.md).

Server and client share these classes: what one encodes the other decodes, and a field exists in one
place. On the wire they are CBOR maps with text keys (content-format 60) or the same as JSON (50, bytes
as lower-case hex). Decoding is strict in requests (unknown fields are refused) and lenient in answers
(a newer device may say more), so that both sides can be upgraded separately.
"""

from __future__ import annotations

import builtins
import json
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from io import BytesIO
from typing import Any, Final, Literal, Self, Union, get_args, get_origin, get_type_hints

import cbor2

from device.errors import MalformedRequest, UnsupportedFormat

CBOR: Final = 60
JSON: Final = 50
PROBLEM_CBOR: Final = 257
ERROR_KEY: Final = "tag:micro-bpf.example,2026:error"

MAX_TIMEOUT_MS: Final = 60_000
DEFAULT_TIMEOUT_MS: Final = 10_000
MAX_REPEAT: Final = 10_000
MIN_PERIOD_MS: Final = 10
MAX_PERIOD_MS: Final = 7 * 24 * 3600 * 1000
MAX_PATH: Final = 32
"""Characters of a path that a program is bound to, below /app/."""
MAX_BODY: Final = 128 * 1024
"""Bytes of a request body that a device takes: a context and a region of 64 KiB each, and no more."""

EngineName = Literal["auto", "interpreter", "switch", "jit"]
JitAction = Literal["compile", "drop", "discard-bytecode"]
HookTrigger = Literal["interval", "saul", "packet", "path"]
HookPolicy = Literal["continue", "abort-on-negative", "abort-on-positive", "single"]
SlotState = Literal["free", "fetching", "ready", "running"]
JobState = Literal["queued", "running", "sleeping", "finished", "faulted", "killed"]


_PATH: Final = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*", re.ASCII)


def decode_body(payload: bytes, content_format: int | None) -> Any:
    """The map that a payload says, from CBOR (also when no format is given) or JSON.

    Raises UnsupportedFormat for any other format, MalformedRequest for what does not decode.
    """
    if content_format not in (None, CBOR, JSON):
        raise UnsupportedFormat(
            f"content-format {content_format} is not offered", hint="send CBOR (60) or JSON (50)"
        )
    try:
        if content_format == JSON:
            return json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
        stream = BytesIO(payload)
        value = cbor2.CBORDecoder(stream).decode()
        if stream.read(1):
            raise MalformedRequest("bytes follow the CBOR map")
    except MalformedRequest:
        raise
    except (
        cbor2.CBORError,
        ValueError,
        EOFError,
        RecursionError,
        OverflowError,
        MemoryError,
        TypeError,
    ) as error:
        name = "JSON" if content_format == JSON else "CBOR"
        raise MalformedRequest(f"the payload is no {name}: {type(error).__name__}") from error
    return value


def _refuse_constant(text: str) -> Any:
    raise MalformedRequest(f"{text} is not a JSON number")


def encode_body(value: Any, content_format: int) -> bytes:
    """A map as CBOR or JSON; bytes become lower-case hex in JSON."""
    if content_format == JSON:
        return json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":")).encode()
    return cbor2.dumps(value)


def jsonable(value: Any) -> Any:
    """The same value with bytes as hex and all keys as text."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def hex64(value: int) -> str:
    """How 64-bit results travel: `0x` and 16 digits."""
    return f"0x{value & (1 << 64) - 1:016x}"


class Message:
    """A value with a map form. Subclasses are frozen dataclasses; None fields that are optional stay out
    only where `OMIT_NONE` names them."""

    OMIT_NONE: frozenset[str] = frozenset()

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> Self:
        """Build from a decoded map. Raises MalformedRequest naming the field."""
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"expected a map, got {_kind(value)}")
        hints = get_type_hints(cls)
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]  # subclasses are dataclasses
        unknown = [shown_key(key) for key in value if not (isinstance(key, str) and key in known)]
        if unknown and strict:
            raise MalformedRequest(
                f"unknown field {unknown[0]!r}", where=unknown[0], hint="known: " + ", ".join(known)
            )
        arguments = {}
        for name, item in known.items():
            if name in value:
                arguments[name] = _coerce(value[name], hints[name], name, strict)
            elif item.default is MISSING and item.default_factory is MISSING:
                raise MalformedRequest(f"field {name!r} is missing", where=name)
        return cls(**arguments)

    def to_map(self) -> dict[str, Any]:
        """The map that goes on the wire."""
        shown: dict[str, Any] = {}
        for item in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, item.name)
            if value is None and item.name in self.OMIT_NONE:
                continue
            shown[item.name] = _plain(value)
        return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_map()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def shown_key(key: Any) -> str:
    """A key that a peer chose, as an error can name it: not long, and text that can be encoded."""
    text = key if isinstance(key, str) else f"({_kind(key)})"
    return text[:40].encode("utf-8", "backslashreplace").decode()


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "text", bytes: "bytes"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def _coerce(value: Any, hint: Any, where: str, strict: bool) -> Any:
    """`value` as the annotated type: exact types only, hex text for bytes, lists for tuples."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        chosen = [option for option in options if option is not type(None)]
        return _coerce(value, chosen[0], where, strict)
    if origin is Literal:
        if value in get_args(hint) and isinstance(value, str):
            return value
        raise MalformedRequest(f"{where} must be one of {', '.join(get_args(hint))}", where=where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise MalformedRequest(f"{where} must be a list, got {_kind(value)}", where=where)
        item = get_args(hint)[0]
        return tuple(_coerce(v, item, f"{where}[{i}]", strict) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"{where} must be a map, got {_kind(value)}", where=where)
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, Message):
        try:
            return hint.from_map(value, strict=strict)
        except MalformedRequest as error:
            place = f"{where}.{error.where}" if error.where else where
            raise MalformedRequest(f"{where}: {error.detail}", where=place, hint=error.hint) from error
    if hint is bytes:
        return _coerce_bytes(value, where)
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is not hint:
        wanted = {bool: "a boolean", int: "an integer", float: "a number", str: "text"}.get(hint, str(hint))
        raise MalformedRequest(f"{where} must be {wanted}, got {_kind(value)}", where=where)
    return value


def _coerce_bytes(value: Any, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise MalformedRequest(f"{where} is not hexadecimal", where=where) from None
    raise MalformedRequest(f"{where} must be bytes (hex text in JSON), got {_kind(value)}", where=where)


def _require(condition: bool, where: str, rule: str) -> None:
    if not condition:
        raise MalformedRequest(f"{where} must be {rule}", where=where)


@dataclass(frozen=True, slots=True)
class DeviceInfo(Message):
    """GET /device."""

    name: str
    board: str
    vendor_id: bytes
    class_id: bytes
    slots: int
    slot_size: int
    profiles: tuple[str, ...]
    engines: tuple[str, ...]
    workers: int
    uptime_ms: int
    sequence_number: int
    version: str


@dataclass(frozen=True, slots=True)
class SlotInfo(Message):
    """GET /slots/{n}; a free slot has only slot and state."""

    OMIT_NONE = frozenset(
        {"name", "digest", "tag", "size", "layout", "profile", "sequence_number", "last_fault", "mean_us"}
    )

    slot: int
    state: SlotState
    name: str | None = None
    digest: bytes | None = None
    tag: str | None = None
    size: int | None = None
    layout: str | None = None
    profile: str | None = None
    sequence_number: int | None = None
    helpers: tuple[int, ...] = ()
    metadata_helpers: tuple[int, ...] | None = None
    capabilities: dict[str, Any] | None = None
    bytecode: str | None = None
    runs: int = 0
    faults: int = 0
    last_fault: dict[str, Any] | None = None
    mean_us: int | None = None
    jit: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SlotList(Message):
    """GET /slots."""

    items: tuple[SlotInfo, ...]


@dataclass(frozen=True, slots=True)
class SlotContent(Message):
    """GET /slots/{n}/image: bytes of the image from `offset` on; `size` and `digest` are of all of it."""

    slot: int
    digest: bytes
    size: int
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class RegionSpec(Message):
    """An extra region of a run; the k-th lies at the k-th extra address (programs.md section 3.1)."""

    bytes: builtins.bytes  # the field would hide the type from whoever reads the hints of this class
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ExecRequest(Message):
    """POST /slots/{n}/exec. Limits are checked here; what needs the slot is checked by the device."""

    OMIT_NONE = frozenset({"context", "helpers", "budget"})

    engine: EngineName = "auto"
    context: bytes | None = None
    context_writable: bool = True
    regions: tuple[RegionSpec, ...] = ()
    helpers: tuple[int, ...] | None = None
    budget: int | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    repeat: int = 1
    recompile: bool = False
    shadow: bool = False
    cycles: bool = False

    def __post_init__(self) -> None:
        _require(1 <= self.timeout_ms <= MAX_TIMEOUT_MS, "timeout_ms", f"from 1 to {MAX_TIMEOUT_MS}")
        _require(1 <= self.repeat <= MAX_REPEAT, "repeat", f"from 1 to {MAX_REPEAT}")
        _require(self.budget is None or self.budget >= 1, "budget", "at least 1")
        for index, helper in enumerate(self.helpers or ()):
            _require(0 <= helper <= 0xFFFFFFFF, f"helpers[{index}]", "a 32-bit helper id")


@dataclass(frozen=True, slots=True)
class JitRequest(Message):
    """POST /slots/{n}/jit."""

    action: JitAction


@dataclass(frozen=True, slots=True)
class JobRequest(Message):
    """POST /jobs: a run request and the slot, in one map. Without `timeout_ms` a job may take any time."""

    slot: int
    run: ExecRequest
    limited: bool = False

    @classmethod
    def from_map(cls, value: Any, *, strict: bool = True) -> JobRequest:
        """See Message."""
        if not isinstance(value, Mapping):
            raise MalformedRequest(f"expected a map, got {_kind(value)}")
        if "slot" not in value:
            raise MalformedRequest("field 'slot' is missing", where="slot")
        slot = _coerce(value["slot"], int, "slot", strict)
        rest = {key: item for key, item in value.items() if key != "slot"}
        return cls(slot, ExecRequest.from_map(rest, strict=strict), "timeout_ms" in value)

    def to_map(self) -> dict[str, Any]:
        """See Message."""
        shown = self.run.to_map()
        if not self.limited:
            del shown["timeout_ms"]
        return {"slot": self.slot, **shown}


@dataclass(frozen=True, slots=True)
class JobInfo(Message):
    """GET /jobs/{id}. What only its end tells is not there before; listings leave output and context out."""

    OMIT_NONE = frozenset(
        {"worker", "started_ms", "instructions", "runs", "r0", "r0_signed", "fault", "context", "output"}
    )

    id: int
    slot: int
    engine: str
    state: JobState
    worker: int | None = None
    started_ms: int | None = None
    instructions: int | None = None
    runs: int | None = None
    r0: str | None = None
    r0_signed: int | None = None
    fault: dict[str, Any] | None = None
    context: bytes | None = None
    output: str | None = None
    helpers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JobList(Message):
    """GET /jobs: those that have not ended, and the last of those that have."""

    items: tuple[JobInfo, ...]


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
        _require(self.index is None or 0 <= self.index <= 0xFF, "index", "from 0 to 255")
        if self.trigger == "interval":
            period = self.period_ms or 0
            _require(
                MIN_PERIOD_MS <= period <= MAX_PERIOD_MS,
                "period_ms",
                f"at least {MIN_PERIOD_MS}, a week at most",
            )
        if self.trigger == "path":
            known = _PATH.fullmatch(self.app_path)
            _require(
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


@dataclass(frozen=True, slots=True)
class ExecTimes(Message):
    """Microseconds per phase; `run` is the median of the repeats."""

    load: int = 0
    verify: int = 0
    compile: int = 0
    run: int = 0


@dataclass(frozen=True, slots=True)
class ExecSizes(Message):
    """Bytes of the stored image and of compiled code (0 when there is none)."""

    image: int = 0
    code: int = 0


@dataclass(frozen=True, slots=True)
class ExecAnswer(Message):
    """The answer of a run: `r0` and `r0_signed`, or `fault`."""

    OMIT_NONE = frozenset({"r0", "r0_signed", "fault", "shadow"})

    engine: str
    instructions: int
    runs: int
    r0: str | None = None
    r0_signed: int | None = None
    fault: dict[str, Any] | None = None
    cycles: int | None = None
    time_us: ExecTimes = field(default_factory=ExecTimes)
    context: bytes | None = None
    regions: tuple[bytes, ...] = ()
    output: str = ""
    helpers: tuple[int, ...] = ()
    sizes: ExecSizes = field(default_factory=ExecSizes)
    shadow: dict[str, Any] | None = None


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
    """GET /log: the lines from `since` on; `next` is what to ask for next, `missed` how many are gone."""

    next: int
    lines: tuple[LogLine, ...]
    missed: int = 0


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
            _require(1 <= len(change.values) <= 3, "values", "1 to 3 numbers")
            for index, number in enumerate(change.values):
                _require(-32768 <= number <= 32767, f"values[{index}]", "a signed 16-bit number")
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


@dataclass(frozen=True, slots=True)
class Problem(Message):
    """RFC 9290 concise problem details, flat."""

    title: str
    detail: str
    code: str
    where: str = ""
    hint: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_cbor(self) -> bytes:
        """Content-format 257: title and detail under the standard keys, ours under our own."""
        ours = {"code": self.code, "where": self.where, "hint": self.hint, **self.extra}
        return cbor2.dumps({-1: self.title, -2: self.detail, ERROR_KEY: ours})

    def to_flat(self) -> dict[str, Any]:
        """The flat form that Accept 50 gets."""
        return {
            "title": self.title,
            "detail": self.detail,
            "code": self.code,
            "where": self.where,
            "hint": self.hint,
            **self.extra,
        }

    @classmethod
    def from_payload(cls, payload: bytes, content_format: int | None) -> Problem | None:
        """Read either form; None when the payload is neither."""
        try:
            value = decode_body(payload, JSON if content_format == JSON else CBOR)
        except MalformedRequest:
            return None
        if not isinstance(value, Mapping):
            return None
        ours = value.get(ERROR_KEY, value)
        if not isinstance(ours, Mapping) or "code" not in ours:
            return None
        known = {"title", "detail", "code", "where", "hint"}
        return cls(
            title=str(value.get(-1, ours.get("title", ""))),
            detail=str(value.get(-2, ours.get("detail", ""))),
            code=str(ours["code"]),
            where=str(ours.get("where", "")),
            hint=str(ours.get("hint", "")),
            extra={str(key): item for key, item in ours.items() if key not in known},
        )
