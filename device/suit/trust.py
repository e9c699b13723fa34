"""The trust store of a device: whose updates it takes, into which slots (suit.md section 9).

A folder of `<name>.pem.pub` files. A text file `<name>.slots` beside a key names the slots that it may write,
such as `0 2`; without one it may write all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.errors import ConfigError
from device.suit.cose import PublicKey
from device.suit.keys import MAX_FILE, PRIVATE, is_private, load_public, read_file

MAX_KEYS: Final = 4
SUFFIX: Final = ".pem.pub"
SLOTS_SUFFIX: Final = ".slots"
MAX_SLOT: Final = 255


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
    words = read_file(path).decode("ascii", "replace").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and int(word[:9]) <= MAX_SLOT for word in words):
        raise ConfigError(
            f"{path} is no list of slots", code="slots", where=str(path), hint="numbers, such as 0 2"
        )
    return frozenset(map(int, words))


def _holds_private(path: Path) -> bool:
    """The same of a file, of whatever size. Raises ConfigError when it cannot be read."""
    end = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(MAX_FILE):
                if is_private(end + chunk):
                    return True
                end = chunk[-len(PRIVATE) :]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="file", where=str(path)) from error
    return False
