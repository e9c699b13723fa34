"""What the publisher emits: canonical manifests of both profiles, signed (suit.md section 7).

In the riot profile byte for byte the output of RIOT's `gen_manifest.py`, `suit-tool create` and `suit-tool
sign` for one image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2

from device.suit import cbor, cose, wire
from device.suit.capabilities import Capabilities
from device.suit.identity import VENDOR_ID, class_id
from device.suit.wire import AUTHENTICATION, MANIFEST, RIOT, Member, WireProfile

_REPORT_ALL = 15
_FETCH_POLICY = 2
_MATCH = (wire.IMAGE_MATCH, _REPORT_ALL)


@dataclass(frozen=True, slots=True)
class Image:
    """An image for a slot, where it is fetched, and what its program is granted.

    A `uri` of `#name` has it in the envelope, where the profile has that.
    """

    slot: int
    uri: str
    image: bytes
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class Description:
    """What an update says: this image, from this URI, into this slot of this board, and `further` ones.

    `severed` leaves the install section out of what is signed but for its digest, where the profile has that.
    """

    board: str
    slot: int
    sequence_number: int
    uri: str
    image: bytes
    capabilities: Capabilities = field(default_factory=Capabilities)
    further: tuple[Image, ...] = ()
    profile: WireProfile = RIOT
    severed: bool = False

    @property
    def images(self) -> tuple[Image, ...]:
        """All images, in the order of their components."""
        return Image(self.slot, self.uri, self.image, self.capabilities), *self.further


def build_manifest(description: Description) -> bytes:
    """The manifest, unsigned."""
    profile = description.profile
    install = _install_section(description)
    common = {
        wire.COMPONENTS: [[b"ram", str(image.slot).encode()] for image in description.images],
        wire.COMMON_SEQUENCE: _grouped([_shared(description, image) for image in description.images]),
    }
    return cbor.encode(
        {
            wire.VERSION: 1,
            wire.SEQUENCE_NUMBER: description.sequence_number,
            wire.COMMON: cbor.encode(common),
            profile.key(Member.INSTALL): _digest(install, profile) if description.severed else install,
            profile.key(Member.VALIDATE): _grouped([list(_MATCH) for _ in description.images]),
        }
    )


def beside(description: Description) -> dict[int | str, bytes]:
    """What comes in the envelope beside its manifest: a severed section, and payloads by their names."""
    found: dict[int | str, bytes] = {
        image.uri: image.image for image in description.images if image.uri.startswith(wire.INTEGRATED)
    }
    if description.severed:
        found[description.profile.key(Member.INSTALL)] = _install_section(description)
    return found


def _digest(section: bytes, profile: WireProfile) -> list[Any]:
    """What stands for a severed section: the digest of its encoded byte string, head included."""
    return [profile.digest_id, sha256(cbor2.dumps(section)).digest()]


def _install_section(description: Description) -> bytes:
    profile = description.profile
    return _grouped([[*_install(image, profile), *_MATCH] for image in description.images])


def _grouped(groups: list[list[Any]]) -> bytes:
    """One sequence of the commands of each component, which says whose they are when there are several."""

    def commands() -> Iterator[Any]:
        for index, group in enumerate(groups):
            if len(groups) > 1:
                yield from (wire.SET_COMPONENT_INDEX, index)
            yield from group

    return cbor.encode(list(commands()))


def _shared(description: Description, image: Image) -> list[Any]:
    digest = [description.profile.digest_id, sha256(image.image).digest()]
    parameters = {
        wire.VENDOR_ID: VENDOR_ID,
        wire.CLASS_ID: class_id(description.board),
        wire.IMAGE_DIGEST: cbor.encode(digest),
        wire.IMAGE_SIZE: len(image.image),
    }
    return [
        *(wire.OVERRIDE_PARAMETERS, parameters),
        *(wire.VENDOR_MATCH, _REPORT_ALL),
        *(wire.CLASS_MATCH, _REPORT_ALL),
    ]


def _install(image: Image, profile: WireProfile) -> list[Any]:
    parameters: dict[int, Any] = {wire.URI: image.uri}
    if image.capabilities.given:
        parameters[wire.CAPABILITIES] = image.capabilities.encode()
    setting = wire.SET_PARAMETERS if wire.SET_PARAMETERS in profile.commands else wire.OVERRIDE_PARAMETERS
    return [*(setting, parameters), *(wire.FETCH, _FETCH_POLICY)]


def sign_manifest(
    manifest: bytes,
    keys: Sequence[cose.PrivateKey],
    profile: WireProfile = RIOT,
    *,
    beside: Mapping[int | str, bytes] | None = None,
) -> bytes:
    """The envelope: one signature block per key, in their order; none makes an unsigned envelope.

    `beside` are severed members and integrated payloads, which the ietf profile has.
    """
    digest = cbor.encode([profile.digest_id, sha256(cbor2.dumps(manifest)).digest()])
    blocks = [cose.sign(key, digest, profile) for key in keys]
    authentication = cbor.encode([digest, *blocks] if profile.detached else blocks)
    envelope: Any = {AUTHENTICATION: authentication, MANIFEST: manifest, **(beside or {})}
    return cbor.encode(envelope if profile.tag is None else cbor2.CBORTag(profile.tag, envelope))
