"""plan: a verified manifest and the device's state → what to fetch and where to put it (suit.md section 6).

Pure. Everything that can be decided without the image is decided here: the manifest's members, every command
of every sequence (sequences.py), then what they come to on this device (processor.py). Not a byte is asked
for before that stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import cbor2

from device.suit import wire
from device.suit.capabilities import Maximum
from device.suit.envelope import VerifiedManifest
from device.suit.identity import Identity
from device.suit.processor import Component, ImageOperation, Processor, Surroundings
from device.suit.refusals import SEVERING, Refusal, refuse
from device.suit.sequences import Sequence, SequenceReader, unknown
from device.suit.values import bytes_of, digest_of, map_of, text_of, uint_of
from device.suit.wire import Member, WireProfile

_SEVERABLE: Final = frozenset({Member.FETCH, Member.INSTALL, Member.TEXT})
"""What some format or other lets out of the manifest."""

__all__ = ["DeviceState", "ImageOperation", "Plan", "plan"]


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a plan depends on. `allowed_hosts` None allows every host; `held` are slots with a job.

    `writable` are the slots that the keys that signed may write, None for all; `only_slot` is the slot that
    was asked for, where one was.
    """

    identity: Identity
    sequence_number: int
    slots: int
    slot_size: int
    allowed_hosts: Collection[str] | None = ()
    max_components: int = 1
    held: Collection[int] = ()
    maximum: Maximum = field(default_factory=Maximum)
    writable: Collection[int] | None = None
    only_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the update will do, in this order."""

    sequence_number: int
    operations: tuple[ImageOperation, ...]


def plan(verified: VerifiedManifest, state: DeviceState) -> Plan:
    """Decide what the update does. Raises SuitError with the class of the first thing that forbids it."""
    profile = verified.profile
    members = _members(verified, state)
    common = map_of(members[Member.COMMON], "common")
    for key in common:
        if key not in (wire.COMPONENTS, wire.COMMON_SEQUENCE):
            raise unknown(key, "member", "common")
    if wire.COMPONENTS not in common:
        raise refuse(Refusal.MALFORMED, "components is missing", where="common")
    components = _components(common[wire.COMPONENTS], state)
    processor = Processor(
        components,
        Surroundings(state.identity, state.slot_size, state.maximum, verified.payloads),
    )
    for sequence in _sequences(
        common, members, SequenceReader(profile, len(components), state.allowed_hosts)
    ):
        processor.run(sequence)
    operations = [_finished(component) for component in processor.components]
    _require_allowed(operations, state)
    ordered = sorted(processor.components, key=lambda component: component.position)
    return Plan(
        members[Member.SEQUENCE_NUMBER],
        tuple(component.operation for component in ordered if component.operation is not None),
    )


def _sequences(
    common: Mapping[int, Any], members: Mapping[Member, Any], reader: SequenceReader
) -> list[Sequence]:
    """The sections that there are, all of them read before the first is run."""
    found = []
    if wire.COMMON_SEQUENCE in common:
        found.append(reader.read(common[wire.COMMON_SEQUENCE], "common", shared=True))
    found += [
        reader.read(members[member], member.value) for member in wire.RUN_BY_UPDATES if member in members
    ]
    return found


def _members(verified: VerifiedManifest, state: DeviceState) -> dict[Member, Any]:
    """The manifest's members by what they are for, severed ones in their place."""
    profile = verified.profile
    manifest = map_of(verified.manifest, "manifest")
    version = uint_of(_required(manifest, wire.VERSION, "version"), "version")
    if version != 1:
        raise refuse(Refusal.VERSION, f"manifest version {version}, must be 1", where="manifest")
    number = uint_of(_required(manifest, wire.SEQUENCE_NUMBER, "sequence number"), "sequence number")
    if number <= state.sequence_number:
        raise refuse(
            Refusal.ROLLBACK,
            f"sequence number {number}, {state.sequence_number} is installed",
            where="manifest",
        )
    _required(manifest, wire.COMMON, "common")
    for key in manifest:
        if key not in profile.members:
            raise unknown(key, "member", "manifest")
    for key in verified.severed:
        if not isinstance(manifest.get(key), list):
            raise refuse(
                Refusal.MALFORMED,
                f"envelope member {key}, which the manifest does not sever",
                where="envelope",
            )
    found = {profile.members[key]: _whole(key, value, verified) for key, value in manifest.items()}
    return {member: value for member, value in found.items() if value is not None}


def _whole(key: int, value: Any, verified: VerifiedManifest) -> Any:
    """The value of a member; None for one that was severed and did not come."""
    profile, member = verified.profile, verified.profile.members[key]
    where = member.value
    match member:
        case Member.VERSION | Member.SEQUENCE_NUMBER:
            return value
        case Member.REFERENCE:
            return text_of(value, where)
        case _ if not isinstance(value, list) or member not in _SEVERABLE:
            return bytes_of(value, where)
        case _ if key not in profile.severable:
            raise _not_severable(profile, where)
    digest = digest_of(value, profile.digest_id, where)
    severed = verified.severed.get(key)
    if severed is not None and sha256(cbor2.dumps(severed)).digest() != digest:
        raise refuse(
            Refusal.SEVERED_DIGEST, f"the {where} that came is not the one that was signed", where=where
        )
    return severed


def _not_severable(profile: WireProfile, where: str) -> Exception:
    return refuse(
        Refusal.UNSUPPORTED,
        f"{where}: severed, which the profile {profile.name} does not have",
        where=where,
        reason=SEVERING,
    )


def _required(manifest: Mapping[Any, Any], key: int, name: str) -> Any:
    if key not in manifest:
        raise refuse(Refusal.MALFORMED, f"{name} is missing", where="manifest")
    return manifest[key]


def _finished(component: Component) -> ImageOperation:
    """What every component must have come to in the end."""
    name = f".ram.{component.slot}"
    if component.operation is None:
        raise refuse(Refusal.NOTHING_INSTALLED, f"nothing is installed into {name}", where="install")
    if not component.matched:
        raise refuse(Refusal.POLICY, f"{name}: no image match after the image", where="validate")
    return component.operation


def _require_allowed(operations: list[ImageOperation], state: DeviceState) -> None:
    """Who signed may write these slots, they are those that were asked for, and no job holds them."""
    for operation in operations:
        name = f".ram.{operation.slot}"
        if state.writable is not None and operation.slot not in state.writable:
            raise refuse(
                Refusal.COMPONENT_FORBIDDEN, f"the key that signed may not write {name}", where="common"
            )
    slots = [operation.slot for operation in operations]
    if state.only_slot is not None and slots != [state.only_slot]:
        named = ", ".join(f".ram.{slot}" for slot in slots)
        raise refuse(
            Refusal.SLOT_MISMATCH,
            f"the manifest is for {named}, .ram.{state.only_slot} was asked for",
            where="common",
        )
    for slot in slots:
        if slot in state.held:
            raise refuse(Refusal.SLOT_BUSY, f"a job holds .ram.{slot}", where="install")


def _components(raw: Any, state: DeviceState) -> list[Component]:
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
    return [Component(slot) for slot in slots]


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
