"""What forgeries are made of: a good manifest in its parts, and the keys to sign it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import cbor2

from device.suit import cbor, cose, wire
from device.suit.build import Description, build_manifest, sign_manifest
from device.suit.wire import RIOT, WireProfile

GOOD: Final = bytes.fromhex("b7000000070000009500000000000000")
"""A program that a device would run: r0 = 7, exit."""

REPORT: Final = 15
INSTALL: Final = 9
VALIDATE: Final = 10


@dataclass(frozen=True, slots=True)
class Throw:
    """A request to a device, and the files that the file server has for it."""

    path: str
    payload: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attack:
    """What is tried, and the refusal that it must meet: a class of suit.md section 10, or a CoAP code.

    `brief` ones make the selection that the demonstration shows. One in the format of the current `draft` may
    as well meet FORMAT, where a device does not take that.
    """

    name: str
    threat: str
    expected: str
    make: Callable[[Workshop], Throw]
    brief: bool = False
    draft: bool = False


@dataclass(slots=True)
class Draft:
    """A manifest of the riot profile in its parts, to be spoilt."""

    members: dict[Any, Any]
    common: dict[Any, Any]
    shared: list[Any]
    install: list[Any]
    validate: list[Any]

    @property
    def identity(self) -> dict[Any, Any]:
        """The parameters that the common sequence sets."""
        parameters: dict[Any, Any] = self.shared[1]
        return parameters

    @property
    def source(self) -> dict[Any, Any]:
        """The parameters that the install sequence sets."""
        parameters: dict[Any, Any] = self.install[1]
        return parameters

    def encode(self) -> bytes:
        """As bytes; sequences that were emptied are left out."""
        parts = {"shared": self.shared, "install": self.install, "validate": self.validate}
        encoded = {name: cbor.encode(part) for name, part in parts.items() if part}
        common = dict(self.common)
        if "shared" in encoded:
            common[wire.COMMON_SEQUENCE] = encoded["shared"]
        members = {**self.members, wire.COMMON: cbor.encode(common)}
        if "install" in encoded:
            members[INSTALL] = encoded["install"]
        if "validate" in encoded:
            members[VALIDATE] = encoded["validate"]
        return cbor.encode(members)


@dataclass(frozen=True, slots=True)
class Workshop:
    """A target, and what an attacker has: its public facts, a name for files, keys.

    `key` is the operator's, `foreign` nobody's; `number` the sequence number that would be next, `base` where
    the device fetches from, `tag` makes the names of this run's files its own.
    """

    board: str
    slot: int
    slots: int
    number: int
    base: str
    key: cose.PrivateKey
    foreign: cose.PrivateKey
    tag: str

    def uri(self, name: str = "image") -> str:
        """Where the device fetches a file of this run."""
        return f"{self.base}/{self.file(name)}"

    def file(self, name: str) -> str:
        """The name of a file of this run."""
        return f"attack-{self.tag}-{name}"

    def manifest(self, image: bytes = GOOD, profile: WireProfile = RIOT, **changes: Any) -> bytes:
        """A good manifest, but for what `changes` says of its description."""
        values = {
            "board": self.board,
            "slot": self.slot,
            "sequence_number": self.number,
            "uri": self.uri(),
            **changes,
        }
        return build_manifest(Description(image=image, profile=profile, **values))

    def draft(self) -> Draft:
        """The good manifest in its parts."""
        members = cbor2.loads(self.manifest())
        common = cbor2.loads(members.pop(wire.COMMON))
        return Draft(
            members,
            common,
            cbor2.loads(common.pop(wire.COMMON_SEQUENCE)),
            cbor2.loads(members.pop(INSTALL)),
            cbor2.loads(members.pop(VALIDATE)),
        )

    def envelope(self, manifest: bytes | None = None, profile: WireProfile = RIOT) -> bytes:
        """An envelope that the operator signed."""
        return sign_manifest(self.manifest() if manifest is None else manifest, [self.key], profile)

    def block(self, protected: Any, payload: bytes | None = None) -> list[Any]:
        """The parts of a signature block by the operator, with a protected header of one's own."""
        signed = self.digest() if payload is None else payload
        block = cbor2.loads(cose.sign(self.key, signed, RIOT)).value
        return [cbor.encode(protected), {}, signed, block[3]]

    def digest(self, manifest: bytes | None = None) -> bytes:
        """The payload that an envelope's signature is over."""
        content = self.manifest() if manifest is None else manifest
        return cbor.encode([RIOT.digest_id, sha256(cbor2.dumps(content)).digest()])

    def wrapped(self, *blocks: bytes, manifest: bytes | None = None) -> bytes:
        """An envelope with these signature blocks."""
        content = self.manifest() if manifest is None else manifest
        return cbor.encode({2: cbor.encode(list(blocks)), 3: content})

    def post(self, envelope: bytes) -> Throw:
        """Send an envelope to the device itself."""
        return Throw("/suit/manifest", envelope)

    def post_signed(self, draft: Draft) -> Throw:
        """The same, of a draft that the operator signs."""
        return self.post(self.envelope(draft.encode()))


def tagged(block: list[Any], tag: int = cose.COSE_SIGN1) -> bytes:
    """The parts of a block as COSE has them."""
    return cbor.encode(cbor2.CBORTag(tag, block))
