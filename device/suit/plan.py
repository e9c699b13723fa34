"""plan: a verified manifest and the device's state → what to fetch and where to put it (suit.md section 6).

Pure. Everything that can be decided without the image is decided here, and every command of every sequence
is looked at, before the first byte is asked for: an update has no effect until its whole manifest is known
to be one that this device carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from device.errors import MalformedRequest, SuitError
from device.suit import cbor, uri, wire
from device.suit.envelope import VerifiedManifest, digest_value
from device.suit.identity import Identity, uuid_text
from device.suit.refusals import Refusal, refuse

MAX_COMMANDS: Final = 256
MAX_UINT: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a plan depends on. `allowed_hosts` None allows every host; `held` are slots with a job."""

    identity: Identity
    sequence_number: int
    slots: int
    slot_size: int
    allowed_hosts: Collection[str] | None = ()
    max_components: int = 1
    held: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class ImageOperation:
    """Fetch `uri`, `size` bytes with SHA-256 `digest`, into `slot`."""

    slot: int
    uri: str
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What the update will do."""

    sequence_number: int
    operations: tuple[ImageOperation, ...]


@dataclass(slots=True)
class _Component:
    """What the symbolic run knows of one component."""

    slot: int
    parameters: dict[int, Any] = field(default_factory=dict)
    vendor_ok: bool = False
    class_ok: bool = False
    operation: ImageOperation | None = None
    matched: bool = False


def plan(verified: VerifiedManifest, state: DeviceState) -> Plan:
    """Decide what the update does. Raises SuitError with the class of the first thing that forbids it."""
    manifest = _map(verified.manifest, "manifest")
    version = _uint(_member(manifest, wire.VERSION, "version"), "version")
    if version != 1:
        raise refuse(Refusal.VERSION, f"manifest version {version}, must be 1", where="manifest")
    number = _uint(_member(manifest, wire.SEQUENCE_NUMBER, "sequence number"), "sequence number")
    if number <= state.sequence_number:
        raise refuse(
            Refusal.ROLLBACK,
            f"sequence number {number}, {state.sequence_number} is installed",
            where="manifest",
        )
    _only(manifest, (1, 2, wire.COMMON, wire.INSTALL, wire.VALIDATE), "manifest")
    common = _map(_member(manifest, wire.COMMON, "common"), "common")
    _only(common, (wire.COMPONENTS, wire.COMMON_SEQUENCE), "common")
    components = _components(_member(common, wire.COMPONENTS, "components"), state)
    sections = (
        ("common", common.get(wire.COMMON_SEQUENCE)),
        ("install", manifest.get(wire.INSTALL)),
        ("validate", manifest.get(wire.VALIDATE)),
    )
    hosts = state.allowed_hosts
    sequences = [(name, _sequence(raw, name, hosts)) for name, raw in sections if raw is not None]
    if sum(len(commands) for _, commands in sequences) > MAX_COMMANDS:
        raise refuse(Refusal.TOO_COMPLEX, f"more than {MAX_COMMANDS} commands", where="manifest")
    for name, commands in sequences:
        _Section(name, components, state).run(commands)
    return Plan(number, tuple(_finished(component, state) for component in components))


def _finished(component: _Component, state: DeviceState) -> ImageOperation:
    """What every component must have come to in the end."""
    name = f".ram.{component.slot}"
    if component.operation is None:
        raise refuse(Refusal.NOTHING_INSTALLED, f"nothing is installed into {name}", where="install")
    if not component.matched:
        raise refuse(Refusal.POLICY, f"{name}: no image match after the fetch", where="validate")
    if component.slot in state.held:
        raise refuse(Refusal.SLOT_BUSY, f"a job holds {name}", where="install")
    return component.operation


def _components(raw: Any, state: DeviceState) -> list[_Component]:
    if not isinstance(raw, list) or not raw:
        raise refuse(Refusal.MALFORMED, "components must be a non-empty array", where="common")
    if len(raw) > state.max_components:
        raise refuse(
            Refusal.TOO_MANY_COMPONENTS,
            f"{len(raw)} components, at most {state.max_components}",
            where="common",
        )
    slots = [_slot(item, state.slots) for item in raw]
    if len(set(slots)) != len(slots):
        raise refuse(Refusal.MALFORMED, "a component twice", where="common")
    return [_Component(slot) for slot in slots]


def _slot(identifier: Any, slots: int) -> int:
    """The slot of `[h'72616d', decimal]`; nothing that merely looks like it."""
    if not isinstance(identifier, list) or not all(isinstance(part, bytes) for part in identifier):
        raise refuse(Refusal.MALFORMED, "a component must be an array of byte strings", where="common")
    for slot in range(slots):
        if identifier == [b"ram", str(slot).encode()]:
            return slot
    shown = ".".join(part.decode("ascii", "backslashreplace") for part in identifier)
    raise refuse(
        Refusal.UNKNOWN_COMPONENT,
        f"component {shown!r}; the device has .ram.0 to .ram.{slots - 1}",
        where="common",
    )


def _sequence(raw: Any, name: str, hosts: Collection[str] | None) -> list[tuple[int, Any]]:
    """The (command, argument) pairs of a section, all of them known and well typed."""
    flat = cbor.decode(_bytes(raw, name), name)
    if not isinstance(flat, list) or not flat or len(flat) % 2:
        raise refuse(Refusal.MALFORMED, f"{name}: must be a flat array of commands and arguments", where=name)
    commands = list(zip(flat[::2], flat[1::2], strict=True))
    for index, (command, argument) in enumerate(commands):
        _check_command(command, argument, hosts, f"{name}, command {index}")
    return commands


def _check_command(command: Any, argument: Any, hosts: Collection[str] | None, where: str) -> None:
    if type(command) is not int:
        raise refuse(Refusal.MALFORMED, f"{where}: a command must be an integer", where=where)
    if command not in wire.COMMANDS:
        raise refuse(Refusal.UNSUPPORTED, f"{where}: command {command}", where=where)
    if command in wire.CONDITIONS or command == wire.FETCH:
        if type(argument) is not int or not 0 <= argument <= 15:
            raise refuse(Refusal.MALFORMED, f"{where}: a reporting policy is 0 to 15", where=where)
    elif command == wire.SET_COMPONENT_INDEX:
        if argument is True:
            raise refuse(Refusal.UNSUPPORTED, f"{where}: index true", where=where)
        _uint(argument, where)
    else:
        _check_parameters(argument, hosts, where)


def _check_parameters(argument: Any, hosts: Collection[str] | None, where: str) -> None:
    """Types, lengths and URIs, also of what no command uses: the device answers for all that it accepts."""
    if not isinstance(argument, dict) or not argument:
        raise refuse(Refusal.MALFORMED, f"{where}: parameters must be a non-empty map", where=where)
    for key, value in argument.items():
        check = _PARAMETERS.get(key)
        if check is None:
            raise _unknown(key, "parameter", where)
        check(value, f"{where}, parameter {key}")
        if key == wire.URI:
            _check_uri(value, hosts, where)


class _Section:
    """The symbolic run of one section; index 0 is current at its start."""

    def __init__(self, name: str, components: list[_Component], state: DeviceState) -> None:
        self.name = name
        self.components = components
        self.state = state
        self.current = components[0]

    def run(self, commands: list[tuple[int, Any]]) -> None:
        for index, (command, argument) in enumerate(commands):
            self._step(command, argument, f"{self.name}, command {index}")

    def _step(self, command: int, argument: Any, where: str) -> None:
        match command:
            case wire.SET_COMPONENT_INDEX:
                if argument >= len(self.components):
                    raise refuse(Refusal.MALFORMED, f"{where}: component index {argument}", where=where)
                self.current = self.components[argument]
            case wire.SET_PARAMETERS | wire.OVERRIDE_PARAMETERS:
                self._set(argument, where, override=command == wire.OVERRIDE_PARAMETERS)
            case wire.VENDOR_MATCH:
                self._identity(wire.VENDOR_ID, self.state.identity.vendor_id, Refusal.VENDOR_MISMATCH, where)
                self.current.vendor_ok = True
            case wire.CLASS_MATCH:
                self._identity(wire.CLASS_ID, self.state.identity.class_id, Refusal.CLASS_MISMATCH, where)
                self.current.class_ok = True
            case wire.IMAGE_MATCH:
                if self.current.operation is None:
                    raise refuse(Refusal.MALFORMED, f"{where}: image match before the image", where=where)
                self.current.matched = True
            case wire.FETCH:
                self._fetch(where)
            case _:
                raise refuse(Refusal.CONDITION_FAILED, f"{where}: a RAM slot has no offset", where=where)

    def _set(self, parameters: Mapping[int, Any], where: str, *, override: bool) -> None:
        component = self.current
        for key, value in parameters.items():
            if not override and key in component.parameters:
                continue
            fixed = key in (wire.IMAGE_DIGEST, wire.IMAGE_SIZE) and component.operation is not None
            if fixed and component.parameters.get(key) != value:
                raise refuse(
                    Refusal.MALFORMED, f"{where}: parameter {key} changes after the fetch", where=where
                )
            component.parameters[key] = value

    def _identity(self, key: int, ours: bytes, refusal: Refusal, where: str) -> None:
        if key not in self.current.parameters:
            raise refuse(Refusal.MALFORMED, f"{where}: parameter {key} is not set", where=where)
        theirs = self.current.parameters[key]
        if theirs != ours:
            ids = {"device": uuid_text(ours), "manifest": uuid_text(theirs)}
            raise refuse(
                refusal,
                f"the device is {ids['device']}, the manifest is for {ids['manifest']}",
                where=where,
                extra=ids,
            )

    def _fetch(self, where: str) -> None:
        component = self.current
        if self.name == "common":
            raise refuse(Refusal.POLICY, f"{where}: no fetch in the common sequence", where=where)
        if not (component.vendor_ok and component.class_ok):
            raise refuse(
                Refusal.POLICY, f"{where}: fetch without vendor and class condition before it", where=where
            )
        if component.operation is not None:
            raise refuse(Refusal.MALFORMED, f"{where}: a second image for one component", where=where)
        for key in (wire.IMAGE_DIGEST, wire.IMAGE_SIZE, wire.URI):
            if key not in component.parameters:
                raise refuse(Refusal.MALFORMED, f"{where}: parameter {key} is not set", where=where)
        parameters = component.parameters
        if parameters[wire.IMAGE_SIZE] > self.state.slot_size:
            raise refuse(
                Refusal.STORAGE_EXCEEDED,
                f"{parameters[wire.IMAGE_SIZE]} bytes, a slot has {self.state.slot_size}",
                where=where,
            )
        component.operation = ImageOperation(
            slot=component.slot,
            uri=parameters[wire.URI],
            size=parameters[wire.IMAGE_SIZE],
            digest=_image_digest(parameters[wire.IMAGE_DIGEST], where),
        )


def _check_uri(text: str, hosts: Collection[str] | None, where: str) -> None:
    try:
        uri.check(text, hosts)
    except MalformedRequest as error:
        raise refuse(Refusal.URI_FORBIDDEN, error.detail, where=where, hint=error.hint) from error


def _image_digest(raw: bytes, where: str) -> bytes:
    return digest_value(cbor.decode(raw, where), where)


def _map(raw: Any, where: str) -> dict[Any, Any]:
    value = cbor.decode(_bytes(raw, where), where)
    if not isinstance(value, dict):
        raise refuse(Refusal.MALFORMED, f"{where}: must be a map", where=where)
    return value


def _member(value: Mapping[Any, Any], key: int, where: str) -> Any:
    if key not in value:
        raise refuse(Refusal.MALFORMED, f"{where} is missing", where=where)
    return value[key]


def _only(value: Mapping[Any, Any], known: tuple[int, ...], where: str) -> None:
    for key in value:
        if key not in known:
            raise _unknown(key, "member", where)


def _unknown(key: Any, what: str, where: str) -> SuitError:
    """An integer may mean something to another device; a text key is in no grammar of this profile."""
    kind = Refusal.MALFORMED if isinstance(key, str) else Refusal.UNSUPPORTED
    return refuse(kind, f"{where}: {what} {key!r}", where=where)


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, bytes):
        raise refuse(Refusal.MALFORMED, f"{where}: must be a byte string", where=where)
    return value


def _uuid(value: Any, where: str) -> None:
    if len(_bytes(value, where)) != 16:
        raise refuse(Refusal.MALFORMED, f"{where}: a UUID has 16 bytes, not {len(value)}", where=where)


def _uint(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_UINT:
        raise refuse(Refusal.MALFORMED, f"{where}: must be from 0 to 2^32-1", where=where)
    return value


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise refuse(Refusal.MALFORMED, f"{where}: must be text", where=where)


_PARAMETERS: Final[dict[Any, Callable[[Any, str], object]]] = {
    wire.VENDOR_ID: _uuid,
    wire.CLASS_ID: _uuid,
    wire.IMAGE_DIGEST: lambda value, where: _image_digest(_bytes(value, where), where),
    wire.COMPONENT_OFFSET: _uint,
    wire.IMAGE_SIZE: _uint,
    wire.URI: _text,
}
