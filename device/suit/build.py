"""What the publisher emits: canonical manifests of the riot profile, signed (suit.md section 7).

Byte for byte the output of RIOT's `gen_manifest.py`, `suit-tool create` and `suit-tool sign` for one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.suit import cbor, wire
from device.suit.envelope import ALG_EDDSA, AUTHENTICATION, COSE_SIGN1, HEADER_ALG, MANIFEST, SHA256
from device.suit.identity import VENDOR_ID, class_id

_REPORT_ALL = 15


@dataclass(frozen=True, slots=True)
class Description:
    """What an update says: this image, from this URI, into this slot of this board."""

    board: str
    slot: int
    sequence_number: int
    uri: str
    image: bytes


def build_manifest(description: Description) -> bytes:
    """The manifest, unsigned."""
    parameters = {
        wire.VENDOR_ID: VENDOR_ID,
        wire.CLASS_ID: class_id(description.board),
        wire.IMAGE_DIGEST: _wrap([SHA256, sha256(description.image).digest()]),
        wire.IMAGE_SIZE: len(description.image),
    }
    common = {
        wire.COMPONENTS: [[b"ram", str(description.slot).encode()]],
        wire.COMMON_SEQUENCE: _wrap(
            [
                *(wire.OVERRIDE_PARAMETERS, parameters),
                *(wire.VENDOR_MATCH, _REPORT_ALL),
                *(wire.CLASS_MATCH, _REPORT_ALL),
            ]
        ),
    }
    install = [
        *(wire.SET_PARAMETERS, {wire.URI: description.uri}),
        *(wire.FETCH, 2),
        *(wire.IMAGE_MATCH, _REPORT_ALL),
    ]
    return _wrap(
        {
            wire.VERSION: 1,
            wire.SEQUENCE_NUMBER: description.sequence_number,
            wire.COMMON: _wrap(common),
            wire.INSTALL: _wrap(install),
            wire.VALIDATE: _wrap([wire.IMAGE_MATCH, _REPORT_ALL]),
        }
    )


def sign_manifest(manifest: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The envelope: one signature block per key, in their order; none makes an unsigned envelope."""
    digest = _wrap([SHA256, sha256(cbor2.dumps(manifest)).digest()])
    return _wrap({AUTHENTICATION: _wrap([_block(digest, key) for key in keys]), MANIFEST: manifest})


def _block(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    protected = _wrap({HEADER_ALG: ALG_EDDSA})
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    return _wrap(cbor2.CBORTag(COSE_SIGN1, [protected, {}, payload, signature]))


def _wrap(value: Any) -> bytes:
    return cbor.encode(value)
