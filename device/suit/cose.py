"""COSE_Sign1 as updates use it: who signed these bytes (suit.md section 3, RFC 9052 section 4.4).

The key decides the algorithm, and the protected header has to agree. Every block is decoded before any
signature is tried: one bad block refuses the envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from device.suit import cbor
from device.suit.refusals import Refusal, refuse
from device.suit.values import bytes_of
from device.suit.wire import KeyType, WireProfile

COSE_SIGN1: Final = 18
HEADER_ALG: Final = 1
HEADER_KID: Final = 4
MAX_BLOCKS: Final = 4
SIGNATURE_SIZE: Final = 64

_ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_OTHER_COSE: Final = (b"\xd1", b"\xd8\x61", b"\xd8\x62")
"""COSE_Mac0, COSE_Mac and COSE_Sign: heads of the tags 17, 97 and 98."""

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Block:
    """A signature block, every part of it as received; `payload` is None where it is detached."""

    protected: bytes
    algorithm: int
    payload: bytes | None
    signature: bytes


def decode_blocks(encoded: Sequence[Any], profile: WireProfile) -> list[Block]:
    """All signature blocks of an envelope. Raises SuitError UNSIGNED when there is none.

    Raises SuitError MALFORMED, TOO_COMPLEX, UNSUPPORTED, ALG_UNSUPPORTED for a bad one.
    """
    if not encoded:
        raise refuse(Refusal.UNSIGNED, "there is no signature", where="authentication")
    if len(encoded) > MAX_BLOCKS:
        raise refuse(
            Refusal.TOO_COMPLEX, f"{len(encoded)} signatures, at most {MAX_BLOCKS}", where="authentication"
        )
    return [
        _block(bytes_of(item, f"signature {index}"), profile, f"signature {index}")
        for index, item in enumerate(encoded)
    ]


def _block(encoded: bytes, profile: WireProfile, where: str) -> Block:
    if encoded.startswith(_OTHER_COSE):
        raise refuse(Refusal.UNSUPPORTED, f"{where}: only COSE_Sign1 is taken", where=where)
    tagged = cbor.decode(encoded, where)
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != COSE_SIGN1:
        raise refuse(Refusal.MALFORMED, f"{where}: no COSE_Sign1", where=where)
    parts = tagged.value
    if not isinstance(parts, list) or len(parts) != 4:
        raise refuse(Refusal.MALFORMED, f"{where}: no array of four", where=where)
    protected, signature = bytes_of(parts[0], where), bytes_of(parts[3], where)
    _header(parts[1], (HEADER_KID,), where)
    header = _header(cbor.decode(protected, where), (HEADER_ALG, HEADER_KID), where)
    algorithm = header.get(HEADER_ALG)
    if type(algorithm) is not int:
        raise refuse(Refusal.MALFORMED, f"{where}: no algorithm in the protected header", where=where)
    if algorithm not in profile.algorithms:
        raise refuse(Refusal.ALG_UNSUPPORTED, f"{where}: algorithm {algorithm}", where=where)
    # Looked at after the algorithm: those of others have other lengths, and are refused by their name.
    if len(signature) != SIGNATURE_SIZE:
        raise refuse(Refusal.MALFORMED, f"{where}: {len(signature)} bytes of signature", where=where)
    return Block(protected, algorithm, _payload(parts[2], profile, where), signature)


def _payload(value: Any, profile: WireProfile, where: str) -> bytes | None:
    if not profile.detached:
        return bytes_of(value, f"{where}, payload")
    if value is not None:
        raise refuse(Refusal.MALFORMED, f"{where}: the payload must be detached", where=where)
    return None


def _header(value: Any, allowed: tuple[int, ...], where: str) -> dict[int, Any]:
    if not isinstance(value, dict) or any(key not in allowed for key in value):
        raise refuse(Refusal.MALFORMED, f"{where}: a header with other than {allowed}", where=where)
    if HEADER_KID in value:
        bytes_of(value[HEADER_KID], f"{where}, kid")
    return value


def structure(protected: bytes, payload: bytes) -> bytes:
    """What is signed: Sig_structure of RFC 9052 section 4.4, without external data."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def key_type(key: PublicKey | PrivateKey) -> KeyType:
    """Of which kind a key is; keys.py lets no other in."""
    return KeyType.ED25519 if isinstance(key, Ed25519PublicKey | Ed25519PrivateKey) else KeyType.P256


def verifies(key: PublicKey, block: Block, payload: bytes, profile: WireProfile) -> bool:
    """Whether this key made this block over this payload, by the algorithm that the block says."""
    if profile.algorithms[block.algorithm] is not key_type(key):
        return False
    message = structure(block.protected, payload)
    try:
        if isinstance(key, Ed25519PublicKey):
            if int.from_bytes(block.signature[32:], "little") >= _ED25519_ORDER:
                return False
            key.verify(block.signature, message)
        else:
            halves = (int.from_bytes(block.signature[at : at + 32], "big") for at in (0, 32))
            key.verify(encode_dss_signature(*halves), message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def sign(key: PrivateKey, payload: bytes, profile: WireProfile) -> bytes:
    """A signature block over a payload, encoded."""
    protected = cbor.encode({HEADER_ALG: profile.algorithm(key_type(key))})
    message = structure(protected, payload)
    if isinstance(key, Ed25519PrivateKey):
        signature = key.sign(message)
    else:
        r, s = decode_dss_signature(key.sign(message, ECDSA(SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    attached = None if profile.detached else payload
    return cbor.encode(cbor2.CBORTag(COSE_SIGN1, [protected, {}, attached, signature]))
