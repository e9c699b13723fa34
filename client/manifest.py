"""A signed manifest and the names it goes by (suit.md section 7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

import cbor2

from client.image import Packaged
from client.keys import Signer
from client.terms import Terms
from device.errors import ConfigError
from device.suit import build, wire
from device.suit.capabilities import Capabilities

MAX_SEQUENCE: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SignedImage:
    """An image of a manifest: its slot, its bytes, and its name on the file server."""

    slot: int
    image: bytes
    digest: bytes
    name: str
    capabilities: Capabilities

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "slot": self.slot,
            "image": self.name,
            "digest": self.digest.hex(),
            "tag": self.digest.hex()[:8],
            "size": len(self.image),
            "capabilities": _shown(self.capabilities),
        }


@dataclass(frozen=True, slots=True)
class Signed:
    """An image with the manifest that lets it into one slot of one board; `also` are further images of it.

    `image_url` is where the device has the image from, as it was signed; `capabilities` are those of the
    first, `terms` what all were signed under.
    """

    slot: int
    sequence_number: int
    board: str
    fetch_base: str
    image: bytes
    digest: bytes
    image_name: str
    image_url: str
    manifest_name: str
    envelope: bytes
    terms: Terms = field(default_factory=Terms)
    capabilities: Capabilities = field(default_factory=Capabilities)
    also: tuple[SignedImage, ...] = ()

    @property
    def files(self) -> dict[str, bytes]:
        """The images that a device fetches, by their names; none when they are in the envelope."""
        if self.terms.integrate:
            return {}
        return {self.image_name: self.image, **{one.name: one.image for one in self.also}}

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return len(self.image) + sum(len(one.image) for one in self.also)

    @property
    def digests(self) -> dict[int, bytes]:
        """What each slot that it writes has to hold afterwards."""
        return {self.slot: self.digest, **{one.slot: one.digest for one in self.also}}

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
            "capabilities": _shown(self.capabilities),
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

    Raises ConfigError for a number that no manifest can hold, and for terms that fit no program.
    """
    check_sequence(sequence_number)
    terms = terms or Terms()
    first, *further = [
        SignedImage(
            number,
            one.image,
            one.digest,
            f"program-{number}-{sequence_number}-{one.tag}.bin",
            _granted(terms, number, one),
        )
        for number, one in ((slot, packaged), *also)
    ]
    _require_programs(terms, {slot, *(one.slot for one in further)}, uri)
    url = uri or _uri(fetch_base, first.name, terms)
    description = build.Description(
        board=board,
        slot=slot,
        sequence_number=sequence_number,
        uri=url,
        image=first.image,
        capabilities=first.capabilities,
        profile=terms.wire,
        further=tuple(
            build.Image(one.slot, _uri(fetch_base, one.name, terms), one.image, one.capabilities)
            for one in further
        ),
        severed=terms.sever,
    )
    manifest = build.build_manifest(description)
    digest = sha256(cbor2.dumps(manifest)).hexdigest()
    return Signed(
        slot=slot,
        sequence_number=sequence_number,
        board=board,
        fetch_base=fetch_base,
        image=first.image,
        digest=first.digest,
        image_name=first.name,
        image_url=url,
        manifest_name=f"suit_manifest{slot}-{sequence_number}-{digest[:8]}.signed",
        envelope=build.sign_manifest(
            manifest, signer.private_keys, terms.wire, beside=build.beside(description)
        ),
        terms=terms,
        capabilities=first.capabilities,
        also=tuple(further),
    )


def _granted(terms: Terms, slot: int, packaged: Packaged) -> Capabilities:
    granted = terms.granted(slot)
    return replace(granted, layout=packaged.program.layout.code) if terms.fix_layout else granted


def _uri(fetch_base: str, name: str, terms: Terms) -> str:
    return f"{wire.INTEGRATED}{name}" if terms.integrate else f"{fetch_base}/{name}"


def _require_programs(terms: Terms, slots: Collection[int], uri: str | None) -> None:
    """Every grant has its program, and what is in the envelope is not also elsewhere."""
    for slot, _ in terms.for_slots:
        if slot not in slots:
            raise ConfigError(
                f"there is no program for slot {slot}", code="argument", where="--grant", hint="--also"
            )
    if terms.integrate and uri is not None:
        raise ConfigError(
            "an image in the envelope has no URL", code="argument", where="--uri", hint="leave one out"
        )


def _shown(capabilities: Capabilities) -> dict[str, Any] | None:
    return capabilities.to_map() if capabilities.given else None


def check_sequence(number: int) -> None:
    """Refuse what is no sequence number of a new manifest: 0 is never accepted, uint32 is the end."""
    if not 1 <= number <= MAX_SEQUENCE:
        raise ConfigError(
            f"{number} is no sequence number", code="sequence", hint=f"from 1 to {MAX_SEQUENCE}"
        )
