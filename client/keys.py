"""The operator's signing keys (suit.md section 9): where they are, made by `keygen` and `demo` alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from device.errors import ConfigError

KEY_VARIABLE: Final = "MICROBPF_KEY"
ED25519: Final = "ed25519"
P256: Final = "p256"
KINDS: Final = (ED25519, P256)


def data_home(environment: Mapping[str, str]) -> Path:
    """`micro-bpf` below the user's data directory."""
    return _home("XDG_DATA_HOME", ".local/share", environment)


def cache_home(environment: Mapping[str, str]) -> Path:
    """`micro-bpf` below the user's cache directory."""
    return _home("XDG_CACHE_HOME", ".cache", environment)


def _home(variable: str, default: str, environment: Mapping[str, str]) -> Path:
    if environment.get(variable):
        return Path(environment[variable]) / "micro-bpf"
    return Path(environment.get("HOME", "~")).expanduser() / default / "micro-bpf"


def key_path(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """`--key`, else MICROBPF_KEY, else `keys/default.pem` in the data directory. Need not exist."""
    chosen = option or environment.get(KEY_VARIABLE)
    return Path(chosen) if chosen else data_home(environment) / "keys" / "default.pem"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and the file it came from; `further` ones sign as well, while keys are being changed."""

    path: Path
    private_key: Any
    further: tuple[Signer, ...] = ()

    @property
    def private_keys(self) -> list[Any]:
        """All keys, each of which makes a signature."""
        return [self.private_key, *(signer.private_key for signer in self.further)]

    @property
    def public_keys(self) -> list[Any]:
        """The halves that devices trust."""
        return [key.public_key() for key in self.private_keys]

    @property
    def names(self) -> str:
        """The files, for people."""
        return ", ".join(signer.path.name for signer in (self, *self.further))


def open_to_others(signer: Signer) -> list[Path]:
    """The files of private keys that somebody else than their owner may read."""
    found = []
    for one in (signer, *signer.further):
        with suppress(OSError):
            if one.path.stat().st_mode & 0o077:
                found.append(one.path)
    return found


AskPassphrase = Callable[[Path], bytes]


def load_signer(path: Path, *, passphrase: bytes | None = None, ask: AskPassphrase | None = None) -> Signer:
    """Read a private key. Raises ConfigError: `no-key` when there is none, with the way to make one.

    `ask` is called when the key turns out to be encrypted and no pass phrase was given.
    """
    from device.suit import keys

    if not path.exists():
        raise ConfigError(
            f"there is no signing key at {path}",
            code="no-key",
            where=str(path),
            hint="make one with `client keygen`, or name one with --key or MICROBPF_KEY",
        )
    if passphrase is None and ask is not None and _encrypted(path):
        passphrase = ask(path)
    return Signer(path, keys.load_private(path, passphrase))


def load_signers(
    paths: Sequence[Path], *, passphrase: bytes | None = None, ask: AskPassphrase | None = None
) -> Signer:
    """The first key with the others as `further` ones; `passphrase` is for those that are encrypted.

    Raises what `load_signer` does, and ConfigError for more keys than an envelope has signatures.
    """
    from device.suit.cose import MAX_BLOCKS

    if len(paths) > MAX_BLOCKS:
        raise ConfigError(f"{len(paths)} keys, an update has at most {MAX_BLOCKS} signatures", where="--key")
    several = len(paths) > 1
    first, *others = [
        load_signer(path, passphrase=passphrase if not several or _encrypted(path) else None, ask=ask)
        for path in paths
    ]
    return replace(first, further=tuple(others))


def _encrypted(path: Path) -> bool:
    try:
        return b"ENCRYPTED" in path.read_bytes()[:200]
    except OSError:
        return False


def read_passphrase(path: Path) -> bytes:
    """The first line of a pass-phrase file, without its end. Raises ConfigError, also when it is empty.

    An empty pass phrase would leave a key unencrypted that its owner takes for encrypted.
    """
    try:
        passphrase = path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", code="file", where=str(path)
        ) from error
    if not passphrase:
        raise ConfigError(
            f"the pass phrase in {path} is empty",
            code="passphrase",
            where=str(path),
            hint="it is the file's first line; leave --pass-file out for a key without one",
        )
    return passphrase


def generate(path: Path, passphrase: bytes | None = None, kind: str = ED25519) -> Path:
    """Make a key pair at `path` and `path`.pub, the private half readable by its owner alone.

    `kind` is one of KINDS. Returns the path of the public half. Raises ConfigError when there is a key
    already, or no place for it.
    """
    from device.suit import keys
    from device.suit.wire import KeyType

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make {path.parent}: {error.strerror or error}", code="file", where=str(path.parent)
        ) from error
    of = KeyType.P256 if kind == P256 else KeyType.ED25519
    keys.generate(path, passphrase=passphrase, kind=of)
    return path.with_name(path.name + ".pub")
