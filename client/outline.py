"""Any envelope as lines for people: names for integers, one line a command, whatever state it is in.

This is no check. It decodes as loosely as it can, shows what it cannot decode as bytes, and goes on; what a
device would say is client/inspection.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import cbor2

from client.escape import escape
from device.errors import SuitError
from device.suit import capabilities, wire
from device.suit.identity import VENDOR_ID, class_id
from device.suit.wire import OPAQUE, Command, Member, WireProfile
from device.vm.helpers import HELPERS

Line = tuple[int, str]
"""(indentation, text)"""

_DEEPEST: Final = 10
_SHOWN_BYTES: Final = 32
_SHOWN_TEXT: Final = 160
_BOARDS: Final = ("native", "native64", "nucleo-f439zi", "nucleo-f446re")
_PARAMETERS: Final = {
    wire.VENDOR_ID: "vendor id",
    wire.CLASS_ID: "class id",
    wire.IMAGE_DIGEST: "image digest",
    wire.COMPONENT_OFFSET: "component offset",
    wire.IMAGE_SIZE: "image size",
    wire.CONTENT: "content",
    wire.URI: "uri",
    wire.SOURCE_COMPONENT: "source component",
    wire.CAPABILITIES: "capabilities",
}
_ALGORITHMS: Final = {-7: "ES256", -8: "EdDSA", -9: "ESP256", -19: "Ed25519"}
_NOTHING: Final = object()


def outline(envelope: bytes) -> list[str]:
    """The envelope, indented line by line. Raises nothing, whatever the bytes."""
    return ["  " * depth + text for depth, text in _envelope(envelope)]


def _envelope(data: bytes) -> Iterator[Line]:
    try:
        profile = wire.detect(data)
    except SuitError:
        yield 0, f"{len(data)} bytes in none of the formats"
        yield 1, _notation(_loose(data)) if _loose(data) is not _NOTHING else _hex(data)
        return
    yield 0, f"envelope, {profile.name} profile, {len(data)} bytes"
    members = _loose(data)
    if isinstance(members, cbor2.CBORTag):
        members = members.value
    if not isinstance(members, Mapping):
        yield 1, f"no map: {_hex(data) if members is _NOTHING else _notation(members)}"
        return
    for key, value in members.items():
        yield from _member(key, value, profile)


def _member(key: Any, value: Any, profile: WireProfile) -> Iterator[Line]:
    if key == wire.AUTHENTICATION:
        yield 1, "authentication"
        yield from _authentication(value, profile)
    elif key == wire.MANIFEST:
        size = f", {len(value)} bytes" if isinstance(value, bytes) else ""
        yield 1, f"manifest{size}"
        yield from _manifest(value, profile)
    elif isinstance(key, str):
        what = f"{len(value)} bytes, SHA-256 {_digest(value)}" if isinstance(value, bytes) else "no bytes"
        yield 1, f"payload {escape(key)}: {what}"
    elif key in profile.severable:
        yield 1, f"severed {profile.members[key].value}"
        yield from _section(profile.members[key], value, profile, 2)
    else:
        yield 1, f"unknown member {_notation(key)}: {_notation(value)}"


def _authentication(value: Any, profile: WireProfile) -> Iterator[Line]:
    listed = _unwrapped(value)
    if not isinstance(listed, list | tuple):
        yield 2, f"no list of signatures: {_notation(value)}"
        return
    blocks = list(listed)
    if profile.detached and blocks:
        yield 2, f"signed digest {_notation(_unwrapped(blocks.pop(0)))}"
    if not blocks:
        yield 2, "no signature"
    for index, block in enumerate(blocks):
        yield 2, f"signature {index}: {_block(block)}"


def _block(value: Any) -> str:
    tagged = _unwrapped(value)
    parts = tagged.value if isinstance(tagged, cbor2.CBORTag) else tagged
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        return f"no COSE_Sign1: {_notation(tagged)}"
    header, payload = _unwrapped(parts[0]), parts[2]
    algorithm = header.get(1) if isinstance(header, Mapping) else None
    named = _ALGORITHMS.get(algorithm, "unknown") if isinstance(algorithm, int) else "none"
    over = "detached" if payload is None else _notation(_unwrapped(payload))
    size = len(parts[3]) if isinstance(parts[3], bytes) else "no"
    return f"algorithm {named} ({_notation(algorithm)}), payload {over}, {size} bytes of signature"


def _manifest(value: Any, profile: WireProfile) -> Iterator[Line]:
    members = _unwrapped(value)
    if not isinstance(members, Mapping):
        yield 2, f"no map: {_notation(value)}"
        return
    for key, item in members.items():
        member = profile.members.get(key) if isinstance(key, int) else None
        if member is None:
            yield 2, f"unknown member {_notation(key)}: {_notation(item)}"
        elif member is Member.COMMON:
            yield 2, "common"
            yield from _common(item, profile)
        elif member in wire.RUN_BY_UPDATES or member in OPAQUE:
            yield 2, member.value
            yield from _section(member, item, profile, 3)
        else:
            yield 2, f"{member.value} {_notation(item)}"


def _common(value: Any, profile: WireProfile) -> Iterator[Line]:
    members = _unwrapped(value)
    if not isinstance(members, Mapping):
        yield 3, f"no map: {_notation(value)}"
        return
    for key, item in members.items():
        if key == wire.COMPONENTS and isinstance(item, list | tuple):
            for index, component in enumerate(item):
                yield 3, f"component {index}: {component_name(component)}"
        elif key == wire.COMMON_SEQUENCE:
            yield 3, "sequence"
            yield from _sequence(item, profile, 4)
        else:
            yield 3, f"unknown member {_notation(key)}: {_notation(item)}"


def component_name(value: Any) -> str:
    """`.ram.0` for what is one, else what it is."""
    if isinstance(value, list | tuple) and all(isinstance(part, bytes) for part in value):
        return escape("".join("." + part.decode("utf-8", "backslashreplace") for part in value) or "(empty)")
    return _notation(value)


def _section(member: Member, value: Any, profile: WireProfile, depth: int) -> Iterator[Line]:
    if isinstance(value, list | tuple):
        yield depth, f"severed, {_notation(value)}"
    elif member in OPAQUE:
        yield depth, f"{len(value)} bytes" if isinstance(value, bytes) else f"no bytes: {_notation(value)}"
    else:
        yield from _sequence(value, profile, depth)


def _sequence(value: Any, profile: WireProfile, depth: int) -> Iterator[Line]:
    flat = _unwrapped(value)
    if depth > _DEEPEST or not isinstance(flat, list | tuple):
        yield depth, _notation(value) if depth <= _DEEPEST else "…"
        return
    for key, argument in zip(flat[::2], flat[1::2], strict=False):
        yield from _command(key, argument, profile, depth)
    if len(flat) % 2:
        yield depth, f"{_name(flat[-1], profile)} without an argument"


def _name(key: Any, profile: WireProfile) -> str:
    command = profile.commands.get(key) if type(key) is int else None
    return command.value if command else f"unknown command {_notation(key)}"


def _command(key: Any, argument: Any, profile: WireProfile, depth: int) -> Iterator[Line]:
    command = profile.commands.get(key) if type(key) is int else None
    name = _name(key, profile)
    if command is Command.TRY_EACH and isinstance(argument, list | tuple):
        yield depth, name
        for index, branch in enumerate(argument):
            yield depth + 1, f"branch {index}" if branch is not None else "else nothing"
            if branch is not None:
                yield from _sequence(branch, profile, depth + 2)
    elif command is Command.RUN_SEQUENCE:
        yield depth, name
        yield from _sequence(argument, profile, depth + 1)
    elif isinstance(argument, Mapping):
        yield depth, name
        for parameter, value in argument.items():
            yield from _parameter(parameter, value, depth + 1)
    else:
        yield depth, f"{name} {_notation(argument)}"


def _parameter(key: Any, value: Any, depth: int) -> Iterator[Line]:
    name = _PARAMETERS.get(key) if type(key) is int else None
    if name is None:
        yield depth, f"unknown parameter {_notation(key)}: {_notation(value)}"
    elif key in (wire.VENDOR_ID, wire.CLASS_ID):
        yield depth, f"{name} {_identifier(value)}"
    elif key == wire.IMAGE_DIGEST:
        yield depth, f"{name} {_notation(_unwrapped(value))}"
    elif key == wire.CAPABILITIES:
        yield depth, name
        yield from ((depth + 1, line) for line in _capabilities(value))
    else:
        yield depth, f"{name} {_notation(value)}"


def _identifier(value: Any) -> str:
    if not isinstance(value, bytes) or len(value) != 16:
        return _notation(value)
    known = {VENDOR_ID: "riot-os.org", **{class_id(board): board for board in _BOARDS}}
    return f"{UUID(bytes=value)}" + (f" ({known[value]})" if value in known else "")


def _capabilities(value: Any) -> Iterator[str]:
    try:
        found = capabilities.decode(value, "capabilities")
    except SuitError as error:
        yield f"{_notation(_unwrapped(value))}: {escape(error.detail)}"
        return
    for name, item in found.to_map().items():
        yield f"{name} {_helpers(item) if name == 'helpers' else escape(item)}"


def _helpers(ids: list[int]) -> str:
    names = {number: f" {helper.name}" for number, helper in HELPERS.items()}
    return ", ".join(f"0x{number:02x}{names.get(number, '')}" for number in ids) or "none"


def _loose(data: bytes) -> Any:
    """The first item, or `_NOTHING` for what is none."""
    try:
        return cbor2.loads(data, max_depth=2 * _DEEPEST)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, it is shown as bytes
        return _NOTHING


def _unwrapped(value: Any) -> Any:
    """What a byte string holds, if it holds an item; the value itself otherwise."""
    if not isinstance(value, bytes):
        return value
    inner = _loose(value)
    return value if inner is _NOTHING else inner


def _notation(value: Any, depth: int = 0) -> str:
    """A value in something like diagnostic notation, in one line and not too long."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, bytes):
        return _hex(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return f'"{escape(value[:_SHOWN_TEXT])}"' + ("…" if len(value) > _SHOWN_TEXT else "")
    if isinstance(value, cbor2.CBORTag):
        return f"{value.tag}({_notation(value.value, depth + 1)})"
    if isinstance(value, Mapping):
        pairs = (f"{_notation(k, depth + 1)}: {_notation(v, depth + 1)}" for k, v in list(value.items())[:16])
        return "{" + ", ".join(pairs) + (", …" if len(value) > 16 else "") + "}"
    if isinstance(value, list | tuple):
        items = ", ".join(_notation(item, depth + 1) for item in value[:16])
        return f"[{items}{', …' if len(value) > 16 else ''}]"
    return escape(str(value)[:_SHOWN_TEXT])


def _hex(data: bytes) -> str:
    more = f"… ({len(data)} bytes)" if len(data) > _SHOWN_BYTES else ""
    return f"h'{data[:_SHOWN_BYTES].hex()}'{more}"


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
