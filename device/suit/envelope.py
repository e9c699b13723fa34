"""verify: bytes and trusted keys → a manifest that may be looked at (suit.md section 3, RFC 9052).

Envelope and signature blocks are decoded, the signature is checked over exactly the bytes that were
received, and the signed digest is compared with the manifest's. Until then member 3, the manifest, is only
hashed. Pure: no state, no network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2

from device.suit import cbor, wire
from device.suit.cose import Block, PublicKey, decode_blocks, verifies
from device.suit.refusals import Refusal, refuse
from device.suit.values import bytes_of, list_of, wrapped_digest
from device.suit.wire import AUTHENTICATION, MANIFEST, WIRE_PROFILES, WireProfile


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """The manifest's bytes, as they were received and signed. Only `verify` makes one.

    `signers` are the trusted keys that signed it. `severed` and `payloads` came beside it in the envelope:
    nobody vouches for them until their digests are compared with signed ones.
    """

    manifest: bytes
    digest: bytes
    profile: WireProfile = wire.RIOT
    signers: tuple[PublicKey, ...] = ()
    severed: Mapping[int, bytes] = field(default_factory=dict)
    payloads: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was decoded, and nothing else: nobody has signed what is in it yet.

    `signed` is the detached payload of the blocks, None where each has its own.
    """

    profile: WireProfile
    manifest: bytes
    blocks: tuple[Block, ...]
    signed: bytes | None
    severed: Mapping[int, bytes]
    payloads: Mapping[str, bytes]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the manifest's encoded byte string, as the envelope has it."""
        return sha256(cbor2.dumps(self.manifest)).digest()

    def payload(self, block: Block) -> bytes:
        """What a block has to have signed."""
        return (block.payload if self.signed is None else self.signed) or b""


def read(envelope: bytes, profiles: Collection[str] = tuple(WIRE_PROFILES)) -> Envelope:
    """Decode an envelope and its signature blocks, of one of these profiles.

    Raises SuitError: MALFORMED, FORMAT, UNSUPPORTED, TOO_COMPLEX, UNSIGNED, ALG_UNSUPPORTED.
    """
    profile = wire.detect(envelope)
    if profile.name not in profiles:
        taken = ", ".join(profiles)
        raise refuse(
            Refusal.FORMAT,
            f"an envelope of the profile {profile.name}, this device takes {taken}",
            where="envelope",
            hint=f"sign with --suit {taken}",
        )
    members = _members(envelope, profile)
    listed = list_of(members[AUTHENTICATION], "authentication")
    signed: bytes | None = None
    if profile.detached:
        if not listed:
            raise refuse(Refusal.UNSIGNED, "the list of signatures is empty", where="authentication")
        signed = bytes_of(listed[0], "signed digest")
        wrapped_digest(signed, profile.digest_id, "signed digest")
    return Envelope(
        profile=profile,
        manifest=members[MANIFEST],
        blocks=tuple(decode_blocks(listed[1:] if profile.detached else listed, profile)),
        signed=signed,
        severed={key: value for key, value in members.items() if key in profile.severable},
        payloads={key: value for key, value in members.items() if isinstance(key, str)},
    )


def verify(
    envelope: bytes, trusted: Sequence[PublicKey], profiles: Collection[str] = tuple(WIRE_PROFILES)
) -> VerifiedManifest:
    """Check an envelope of one of these profiles against the trusted keys.

    Raises what `read` does, and SuitError BAD_SIGNATURE, MANIFEST_DIGEST.
    """
    found = read(envelope, profiles)
    digest = found.digest
    signers = _signers(found, trusted, digest)
    return VerifiedManifest(found.manifest, digest, found.profile, signers, found.severed, found.payloads)


def _members(envelope: bytes, profile: WireProfile) -> dict[Any, bytes]:
    """The members, all of them known and byte strings."""
    members = cbor.decode(envelope, "envelope")
    if isinstance(members, cbor2.CBORTag):
        members = members.value if members.tag == profile.tag else None
    if not isinstance(members, dict):
        raise refuse(Refusal.MALFORMED, "the envelope is no map", where="envelope")
    for key in members:
        if isinstance(key, str):
            if not profile.several:
                raise refuse(Refusal.UNSUPPORTED, f"envelope member {key!r}", where="envelope")
        elif key not in (AUTHENTICATION, MANIFEST, *profile.severable):
            raise refuse(Refusal.MALFORMED, f"envelope member {key}", where="envelope")
    if AUTHENTICATION not in members:
        raise refuse(Refusal.UNSIGNED, "there is no authentication member", where="envelope")
    if MANIFEST not in members:
        raise refuse(Refusal.MALFORMED, "there is no manifest member", where="envelope")
    return {key: bytes_of(value, f"envelope member {key!r}") for key, value in members.items()}


def _signers(envelope: Envelope, trusted: Sequence[PublicKey], digest: bytes) -> tuple[PublicKey, ...]:
    """The trusted keys that signed this digest, at least one.

    The first signature that verifies decides: its digest has to be this one. What signed something else after
    it signed nothing here.
    """
    profile = envelope.profile
    signers: list[PublicKey] = []
    for block in envelope.blocks:
        payload = envelope.payload(block)
        for key in trusted:
            if not verifies(key, block, payload, profile):
                continue
            if not signers and wrapped_digest(payload, profile.digest_id, "signed digest") != digest:
                raise refuse(
                    Refusal.MANIFEST_DIGEST, "the signed digest is not the manifest's", where="authentication"
                )
            if key not in signers and payload == cbor.encode([profile.digest_id, digest]):
                signers.append(key)
    if not signers:
        raise refuse(
            Refusal.BAD_SIGNATURE,
            f"none of {len(trusted)} trusted keys signed this",
            where="authentication",
            hint="" if trusted else "the device has no keys: give it one with --keys",
        )
    return tuple(signers)
