"""Signing keys in files (suit.md section 9, RFC 8032, RFC 8410).

Ed25519 or P-256, PKCS#8 PEM for the private half, SubjectPublicKeyInfo PEM in `<name>.pem.pub` for the public
one: the files that `openssl genpkey -algorithm ed25519` makes and RIOT's tools use.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from device.errors import ConfigError
from device.suit.cose import PrivateKey, PublicKey
from device.suit.wire import KeyType

MAX_FILE: Final = 16_384
"""Bytes of a key file that are read."""

PRIVATE: Final = b"PRIVATE KEY-----"
_P: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        _P,
        _P + 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)


def generate(path: Path, *, passphrase: bytes | None = None, kind: KeyType = KeyType.ED25519) -> PrivateKey:
    """Make a key pair: `path` (0600, never overwritten) and `path`.pub. Raises ConfigError."""
    key: PrivateKey = (
        Ed25519PrivateKey.generate() if kind is KeyType.ED25519 else generate_private_key(SECP256R1())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _create(path, private, 0o600)
    try:
        _create(path.with_name(path.name + ".pub"), public, 0o644)
    except ConfigError:
        path.unlink()
        raise
    return key


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists; a key is never overwritten", code="key-exists", where=str(path), hint="use --to"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", code="file", where=str(path)) from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)


def load_private(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key. Raises ConfigError: `passphrase` when it is missing or wrong, `key` otherwise."""
    content = read_file(path)
    try:
        key = serialization.load_pem_private_key(content, passphrase)
    except TypeError:
        wrong = "is not encrypted" if passphrase else "needs a pass phrase"
        raise ConfigError(f"{path} {wrong}", code="passphrase", where=str(path), hint="--pass-file") from None
    except (ValueError, UnsupportedAlgorithm):
        problem = "the pass phrase is wrong, or it is" if passphrase else "it is"
        raise ConfigError(f"{path}: {problem} no private key in PEM", code="key", where=str(path)) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise _other_kind(path)


def _other_kind(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is no Ed25519 and no P-256 key", code="key", where=str(path), hint="client keygen"
    )


def load_public(path: Path) -> PublicKey:
    """Read a public key. Raises ConfigError; a key of small order is refused, it would accept forgeries."""
    content = read_file(path)
    if is_private(content):
        raise ConfigError(f"{path} is a private key", code="private-key", where=str(path), hint="remove it")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} is no public key in PEM", code="key", where=str(path)) from None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    if not isinstance(key, Ed25519PublicKey):
        raise _other_kind(path)
    if has_small_order(key.public_bytes_raw()):
        raise ConfigError(
            f"{path} is a key of small order", code="key", where=str(path), hint="make a new one"
        )
    return key


def has_small_order(raw: bytes) -> bool:
    """Whether 32 bytes name one of the points for which signatures can be made up."""
    return int.from_bytes(raw, "little") & ((1 << 255) - 1) in _SMALL_ORDER


def is_private(content: bytes) -> bool:
    """Whether bytes hold the PEM of a private key."""
    return PRIVATE in content


def read_file(path: Path) -> bytes:
    """The beginning of a regular file, as much as a key may have. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path} is no file", code="file", where=str(path))
            return file.read(MAX_FILE)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="file", where=str(path)) from error
