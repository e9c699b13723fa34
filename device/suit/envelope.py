"""verify: bytes and trusted keys → a manifest that may be looked at (suit.md section 3, RFC 9052).

Envelope and signature blocks are decoded, the signature is checked over exactly the bytes that were
received, and the signed digest is compared with the manifest's. Until then member 3, the manifest, is only
hashed. Pure: no state, no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.suit import cbor
from device.suit.refusals import Refusal, refuse

AUTHENTICATION: Final = 2
MANIFEST: Final = 3
COSE_SIGN1: Final = 18
HEADER_ALG: Final = 1
HEADER_KID: Final = 4
ALG_EDDSA: Final = -8
ALG_ES256: Final = -7
SHA256: Final = 2

MAX_BLOCKS: Final = 4
SIGNATURE_SIZE: Final = 64
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_IETF_START: Final = b"\xd8\x6b"
_OTHER_COSE: Final = (b"\xd1", b"\xd8\x61", b"\xd8\x62")


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """The manifest's bytes, as they were received and signed. Only `verify` makes one."""

    manifest: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Block:
    """A COSE_Sign1, every part of it as received."""

    protected: bytes
    algorithm: int
    payload: bytes
    signature: bytes


def verify(envelope: bytes, trusted: Sequence[Ed25519PublicKey]) -> VerifiedManifest:
    """Check an envelope against the trusted keys.

    Raises SuitError: MALFORMED, FORMAT, UNSUPPORTED, TOO_COMPLEX, UNSIGNED, ALG_UNSUPPORTED, BAD_SIGNATURE,
    MANIFEST_DIGEST.
    """
    authentication, manifest = _members(envelope)
    blocks = _blocks(authentication)
    signed = _signed_payload(blocks, trusted)
    digest = sha256(cbor2.dumps(manifest)).digest()
    if _digest_of(signed) != digest:
        raise refuse(
            Refusal.MANIFEST_DIGEST, "the signed digest is not the manifest's", where="authentication"
        )
    return VerifiedManifest(manifest, digest)


def _members(envelope: bytes) -> tuple[bytes, bytes]:
    if not envelope:
        raise refuse(Refusal.MALFORMED, "the envelope is empty", where="envelope")
    if envelope.startswith(_IETF_START):
        raise refuse(
            Refusal.FORMAT, "an envelope of the ietf profile; this device takes riot", where="envelope"
        )
    if envelope[0] >> 5 != 5:
        raise refuse(Refusal.FORMAT, f"begins with 0x{envelope[0]:02x}, no SUIT envelope", where="envelope")
    members = cbor.decode(envelope, "envelope")
    for key in members:
        if key not in (AUTHENTICATION, MANIFEST):
            kind = Refusal.UNSUPPORTED if isinstance(key, str) else Refusal.MALFORMED
            raise refuse(kind, f"envelope member {key!r}", where="envelope")
    if AUTHENTICATION not in members:
        raise refuse(Refusal.UNSIGNED, "there is no authentication member", where="envelope")
    if MANIFEST not in members:
        raise refuse(Refusal.MALFORMED, "there is no manifest member", where="envelope")
    return _bytes(members[AUTHENTICATION], "authentication"), _bytes(members[MANIFEST], "manifest")


def _blocks(authentication: bytes) -> list[_Block]:
    """All signature blocks; one bad block refuses the envelope."""
    listed = cbor.decode(authentication, "authentication")
    if not isinstance(listed, list):
        raise refuse(Refusal.MALFORMED, "the authentication is no array", where="authentication")
    if not listed:
        raise refuse(Refusal.UNSIGNED, "the list of signatures is empty", where="authentication")
    if len(listed) > MAX_BLOCKS:
        raise refuse(
            Refusal.TOO_COMPLEX, f"{len(listed)} signatures, at most {MAX_BLOCKS}", where="authentication"
        )
    return [_block(_bytes(item, f"signature {i}"), f"signature {i}") for i, item in enumerate(listed)]


def _block(encoded: bytes, where: str) -> _Block:
    if encoded.startswith(_OTHER_COSE):
        raise refuse(Refusal.UNSUPPORTED, f"{where}: only COSE_Sign1 is taken", where=where)
    tagged = cbor.decode(encoded, where)
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != COSE_SIGN1:
        raise refuse(Refusal.MALFORMED, f"{where}: no COSE_Sign1", where=where)
    parts = tagged.value
    if not isinstance(parts, list) or len(parts) != 4:
        raise refuse(Refusal.MALFORMED, f"{where}: no array of four", where=where)
    protected, payload = _bytes(parts[0], where), _bytes(parts[2], where)
    signature = _bytes(parts[3], where)
    if len(signature) != SIGNATURE_SIZE:
        raise refuse(Refusal.MALFORMED, f"{where}: {len(signature)} bytes of signature", where=where)
    _header(parts[1], (HEADER_KID,), where)
    header = _header(cbor.decode(protected, where), (HEADER_ALG, HEADER_KID), where)
    if type(header.get(HEADER_ALG)) is not int:
        raise refuse(Refusal.MALFORMED, f"{where}: no algorithm in the protected header", where=where)
    if header[HEADER_ALG] not in (ALG_EDDSA, ALG_ES256):
        raise refuse(Refusal.ALG_UNSUPPORTED, f"{where}: algorithm {header[HEADER_ALG]}", where=where)
    return _Block(protected, header[HEADER_ALG], payload, signature)


def _header(value: Any, allowed: tuple[int, ...], where: str) -> dict[int, Any]:
    if not isinstance(value, dict) or any(key not in allowed for key in value):
        raise refuse(Refusal.MALFORMED, f"{where}: a header with other than {allowed}", where=where)
    if HEADER_KID in value:
        _bytes(value[HEADER_KID], f"{where}, kid")
    return value


def _signed_payload(blocks: Sequence[_Block], trusted: Sequence[Ed25519PublicKey]) -> bytes:
    """The payload of the first block that a trusted key made."""
    for block in blocks:
        if block.algorithm == ALG_EDDSA and int.from_bytes(block.signature[32:], "little") < _ORDER:
            message = cbor2.dumps(["Signature1", block.protected, b"", block.payload])
            for key in trusted:
                try:
                    key.verify(block.signature, message)
                except InvalidSignature:
                    continue
                return block.payload
    hint = "" if trusted else "the device has no keys: give it one with --keys"
    raise refuse(
        Refusal.BAD_SIGNATURE,
        f"none of {len(trusted)} trusted keys signed this",
        where="authentication",
        hint=hint,
    )


def _digest_of(payload: bytes) -> bytes:
    value = cbor.decode(payload, "signed digest")
    return digest_value(value, "signed digest")


def digest_value(value: Any, where: str) -> bytes:
    """The 32 bytes of a digest array `[2, bytes]`. Raises SuitError MALFORMED."""
    shaped = isinstance(value, list) and len(value) == 2 and type(value[0]) is int and value[0] == SHA256
    if not shaped or not isinstance(value[1], bytes) or len(value[1]) != 32:
        raise refuse(Refusal.MALFORMED, f"{where}: must be [2, 32 bytes], a SHA-256", where=where)
    return value[1]


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, bytes):
        raise refuse(Refusal.MALFORMED, f"{where}: must be a byte string", where=where)
    return value
