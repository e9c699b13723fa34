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


def verify(
    envelope: bytes, trusted: Sequence[PublicKey], profiles: Collection[str] = tuple(WIRE_PROFILES)
) -> VerifiedManifest:
    """Check an envelope of one of these profiles against the trusted keys.

    Raises SuitError: MALFORMED, FORMAT, UNSUPPORTED, TOO_COMPLEX, UNSIGNED, ALG_UNSUPPORTED, BAD_SIGNATURE,
    MANIFEST_DIGEST.
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
    manifest = members[MANIFEST]
    digest = sha256(cbor2.dumps(manifest)).digest()
    signers = _signers(members[AUTHENTICATION], trusted, profile, digest)
    return VerifiedManifest(
        manifest=manifest,
        digest=digest,
        profile=profile,
        signers=signers,
        severed={key: value for key, value in members.items() if key in profile.severable},
        payloads={key: value for key, value in members.items() if isinstance(key, str)},
    )


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


def _signers(
    authentication: bytes, trusted: Sequence[PublicKey], profile: WireProfile, digest: bytes
) -> tuple[PublicKey, ...]:
    """The trusted keys that signed this digest, at least one."""
    listed = list_of(authentication, "authentication")
    signed: bytes | None = None
    if profile.detached:
        if not listed:
            raise refuse(Refusal.UNSIGNED, "the list of signatures is empty", where="authentication")
        signed = bytes_of(listed[0], "signed digest")
        wrapped_digest(signed, profile.digest_id, "signed digest")
    blocks = decode_blocks(listed[1:] if profile.detached else listed, profile)
    verified = [
        (key, payload)
        for block in blocks
        for key in trusted
        if verifies(key, block, payload := _payload(block, signed), profile)
    ]
    if not verified:
        raise refuse(
            Refusal.BAD_SIGNATURE,
            f"none of {len(trusted)} trusted keys signed this",
            where="authentication",
            hint="" if trusted else "the device has no keys: give it one with --keys",
        )
    for _, payload in verified:
        if wrapped_digest(payload, profile.digest_id, "signed digest") != digest:
            raise refuse(
                Refusal.MANIFEST_DIGEST, "the signed digest is not the manifest's", where="authentication"
            )
    signers: list[PublicKey] = []
    for key, _ in verified:
        if key not in signers:
            signers.append(key)
    return tuple(signers)


def _payload(block: Block, detached: bytes | None) -> bytes:
    """What the block has to have signed."""
    payload = block.payload if detached is None else detached
    return payload or b""
