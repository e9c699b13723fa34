"""A signed manifest and the names it goes by (suit.md section 7).

The publisher is its own first device: what it emits is verified and planned with the target's identity and
limits before anybody else sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import cbor2

from client.image import Packaged
from client.keys import Signer
from client.terms import Terms, usual_maximum
from device.api import DeviceInfo
from device.errors import ConfigError
from device.suit import build, plan
from device.suit import envelope as envelopes
from device.suit.identity import VENDOR_ID, Identity, class_id

MAX_SEQUENCE: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SignedImage:
    """An image of a manifest: its slot, its bytes, and its name on the file server."""

    slot: int
    image: bytes
    digest: bytes
    name: str

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "slot": self.slot,
            "image": self.name,
            "digest": self.digest.hex(),
            "tag": self.digest.hex()[:8],
            "size": len(self.image),
        }


@dataclass(frozen=True, slots=True)
class Signed:
    """An image with the manifest that lets it into one slot of one board; `also` are further images of it."""

    slot: int
    sequence_number: int
    board: str
    fetch_base: str
    image: bytes
    digest: bytes
    image_name: str
    manifest_name: str
    envelope: bytes
    terms: Terms = field(default_factory=Terms)
    also: tuple[SignedImage, ...] = ()

    @property
    def files(self) -> dict[str, bytes]:
        """All images by their names."""
        return {self.image_name: self.image, **{one.name: one.image for one in self.also}}

    @property
    def digests(self) -> dict[int, bytes]:
        """What each slot that it writes has to hold afterwards."""
        return {self.slot: self.digest, **{one.slot: one.digest for one in self.also}}

    @property
    def image_url(self) -> str:
        """Where the device fetches the image; it is part of what is signed."""
        return f"{self.fetch_base}/{self.image_name}"

    @property
    def manifest_url(self) -> str:
        """Where the device fetches the manifest."""
        return f"{self.fetch_base}/{self.manifest_name}"

    @property
    def tag(self) -> str:
        """The first 8 hex digits of the image's digest."""
        return self.digest.hex()[:8]

    @property
    def alias(self) -> str:
        """The name the original tools know."""
        return f"suit_manifest{self.slot}.signed"

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "slot": self.slot,
            "sequence_number": self.sequence_number,
            "board": self.board,
            "digest": self.digest.hex(),
            "tag": self.tag,
            "size": len(self.image),
            "image": self.image_name,
            "image_url": self.image_url,
            "manifest": self.manifest_name,
            "manifest_url": self.manifest_url,
            "manifest_size": len(self.envelope),
            "suit": self.terms.suit,
            "capabilities": self.terms.capabilities.to_map() if self.terms.capabilities.given else None,
            "also": [one.to_map() for one in self.also],
        }


def sign(
    packaged: Packaged,
    *,
    slot: int,
    sequence_number: int,
    board: str,
    fetch_base: str,
    signer: Signer,
    uri: str | None = None,
    terms: Terms | None = None,
    also: Sequence[tuple[int, Packaged]] = (),
) -> Signed:
    """Sign an image for one slot of one board, and others for others. `uri` stands in for its usual URL.

    The capabilities of `terms` are granted to all of them.

    Raises ConfigError for a number that no manifest can hold.
    """
    check_sequence(sequence_number)
    terms = terms or Terms()
    named = [
        SignedImage(number, one.image, one.digest, f"program-{number}-{sequence_number}-{one.tag}.bin")
        for number, one in ((slot, packaged), *also)
    ]
    image_name = named[0].name
    description = build.Description(
        board=board,
        slot=slot,
        sequence_number=sequence_number,
        uri=uri or f"{fetch_base}/{image_name}",
        image=packaged.image,
        capabilities=terms.capabilities,
        profile=terms.wire,
        further=tuple(
            build.Image(one.slot, f"{fetch_base}/{one.name}", one.image, terms.capabilities)
            for one in named[1:]
        ),
    )
    manifest = build.build_manifest(description)
    digest = sha256(cbor2.dumps(manifest)).hexdigest()
    return Signed(
        slot=slot,
        sequence_number=sequence_number,
        board=board,
        fetch_base=fetch_base,
        image=packaged.image,
        digest=packaged.digest,
        image_name=image_name,
        manifest_name=f"suit_manifest{slot}-{sequence_number}-{digest[:8]}.signed",
        envelope=build.sign_manifest(manifest, signer.private_keys, terms.wire),
        terms=terms,
        also=tuple(named[1:]),
    )


def check_sequence(number: int) -> None:
    """Refuse what is no sequence number of a new manifest: 0 is never accepted, uint32 is the end."""
    if not 1 <= number <= MAX_SEQUENCE:
        raise ConfigError(
            f"{number} is no sequence number", code="sequence", hint=f"from 1 to {MAX_SEQUENCE}"
        )


def planned_state(info: DeviceInfo) -> plan.DeviceState:
    """What a device says of itself, as far as a plan depends on it.

    Its list of hosts, the maxima of its capabilities and how many components it takes it keeps to itself.
    """
    return plan.DeviceState(
        identity=Identity(info.vendor_id, info.class_id),
        sequence_number=info.sequence_number,
        slots=info.slots,
        slot_size=info.slot_size,
        allowed_hosts=None,
        max_components=info.slots,
        maximum=usual_maximum(*info.profiles[:1], store=2**32 - 1),
    )


def usual_state(board: str) -> plan.DeviceState:
    """A device of this board as it comes: the limits of suit.md section 5, nothing installed yet."""
    return plan.DeviceState(
        identity=Identity(VENDOR_ID, class_id(board)),
        sequence_number=0,
        slots=5,
        slot_size=4096,
        allowed_hosts=None,
        max_components=5,
        maximum=usual_maximum(),
    )


def rehearse(release: Signed, state: plan.DeviceState, signer: Signer) -> None:
    """Verify and plan a manifest as the device will. Raises SuitError with the class it would refuse with."""
    for key in signer.public_keys:  # a device may trust any one of them
        plan.plan(envelopes.verify(release.envelope, [key]), state)
