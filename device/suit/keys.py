"""Signing keys and the trust store of a device (suit.md section 9, RFC 8032, RFC 8410).

Ed25519 or P-256, PKCS#8 PEM for the private half, SubjectPublicKeyInfo PEM in `<name>.pem.pub` for the public
one: the files that `openssl genpkey -algorithm ed25519` makes and RIOT's tools use. In a trust store a text
file `<name>.slots` beside a key names the slots that it may write, such as `0 2`; without one it may write
all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
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

MAX_KEYS: Final = 4
SUFFIX: Final = ".pem.pub"
SLOTS_SUFFIX: Final = ".slots"
MAX_SLOT: Final = 255

_MAX_FILE: Final = 16_384
_PRIVATE: Final = b"PRIVATE KEY-----"
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
    content = _read(path)
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
    content = _read(path)
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
    return _PRIVATE in content


def _holds_private(path: Path) -> bool:
    """The same of a file, of whatever size. Raises ConfigError when it cannot be read."""
    end = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_MAX_FILE):
                if is_private(end + chunk):
                    return True
                end = chunk[-len(_PRIVATE) :]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="file", where=str(path)) from error
    return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path} is no file", code="file", where=str(path))
            return file.read(_MAX_FILE)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="file", where=str(path)) from error


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, the name of its file, and the slots that it may write; None for all."""

    name: str
    key: PublicKey
    slots: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The keys whose updates a device takes; none means that every update is refused."""

    trusted: tuple[TrustedKey, ...] = ()

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys themselves."""
        return tuple(item.key for item in self.trusted)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(item.name for item in self.trusted)

    def writable(self, signers: Sequence[PublicKey]) -> frozenset[int] | None:
        """The slots that an update of these keys may write, None for all: what one of them may, they may."""
        granted: set[int] = set()
        for item in self.trusted:
            if item.key in signers:
                if item.slots is None:
                    return None
                granted |= item.slots
        return frozenset(granted)

    def describe(self) -> str:
        """The keys for people, with the slots of those that may not write all."""
        return ", ".join(
            item.name
            if item.slots is None
            else f"{item.name} (slots {' '.join(map(str, sorted(item.slots))) or 'none'})"
            for item in self.trusted
        )

    @classmethod
    def load(cls, directory: Path) -> TrustStore:
        """The `*.pem.pub` files of a directory; one that does not exist is an empty store.

        Raises ConfigError: more than four keys, a file that is no key, any private key in the directory, a
        list of slots that is none or that belongs to no key.
        """
        store, problems = cls.read(directory)
        if problems:
            raise problems[0]
        return store

    @classmethod
    def read(cls, directory: Path, before: TrustStore | None = None) -> tuple[TrustStore, list[ConfigError]]:
        """What is to be trusted of a directory, and what `load` would have raised for the rest.

        Nothing is trusted that is not there. Of too many keys those of `before` stay.
        """
        try:
            files = sorted(path for path in directory.iterdir() if path.is_file())
        except FileNotFoundError:
            return cls(), []
        except OSError as error:
            return cls(), [
                ConfigError(
                    f"cannot read {directory}: {error.strerror}",
                    code="file",
                    where=str(directory),
                    hint="let the device's user read it",
                )
            ]
        found: list[TrustedKey] = []
        problems: list[ConfigError] = []
        for path in files:
            try:
                found += _trusted(path)
            except ConfigError as error:
                problems.append(error)
        if len(found) > MAX_KEYS:
            problems.append(
                ConfigError(
                    f"{len(found)} keys in {directory}, at most {MAX_KEYS}",
                    code="keys",
                    where=str(directory),
                    hint="remove those that no operator signs with any more",
                )
            )
            known = before.trusted if before else ()
            found = sorted(
                sorted(found, key=lambda key: key not in known)[:MAX_KEYS], key=lambda key: key.name
            )
        return cls(tuple(found)), problems


def _trusted(path: Path) -> list[TrustedKey]:
    """The key in a file of the trust store; none in a file of another kind."""
    if _holds_private(path):
        raise ConfigError(
            f"{path} is a private key; a device must not have one",
            code="private-key",
            where=str(path),
            hint="keep it with the operator and leave only the .pem.pub here",
        )
    if path.name.endswith(SLOTS_SUFFIX):
        _require_key(path)
    if not path.name.endswith(SUFFIX):
        return []
    name = path.name.removesuffix(SUFFIX)
    return [TrustedKey(name, load_public(path), _slots(path.with_name(name + SLOTS_SUFFIX)))]


def _require_key(path: Path) -> None:
    """A list of slots whose key goes by another name would leave that key with all of them."""
    key = path.name.removesuffix(SLOTS_SUFFIX) + SUFFIX
    if not path.with_name(key).exists():
        raise ConfigError(
            f"{path} has no key: there is no {key}", code="key", where=str(path), hint="name it as its key"
        )


def _slots(path: Path) -> frozenset[int] | None:
    """The slots in a file; None when there is none. Raises ConfigError, which leaves its key untrusted."""
    if not path.exists():
        return None
    words = _read(path).decode("ascii", "replace").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and int(word[:9]) <= MAX_SLOT for word in words):
        raise ConfigError(
            f"{path} is no list of slots", code="slots", where=str(path), hint="numbers, such as 0 2"
        )
    return frozenset(map(int, words))
