"""The state directory: slots, sequence number and name of one device, safe against power loss.

    DIR/lock             held while a device uses the directory
    DIR/name             the device's name
    DIR/record           sequence number and slot table as JSON, its SHA-256 in the first line
    DIR/images/<digest>  images, named by their SHA-256

Images are written before the record that names them, and every file by write, fsync, rename, fsync of the
folder: whatever the moment power is lost at, the record is the old one or the new one, and whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from device.errors import ConfigError, StorageError
from device.storage.slots import Contents, StoredImage

_VERSION: Final = 1


class Disk(Protocol):
    """The operations that change a disk, in one place so that tests can cut the power at each of them."""

    def write(self, path: Path, content: bytes) -> None:
        """Create or truncate a file, write it and fsync it."""

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in the place of another, in one step."""

    def remove(self, path: Path) -> None:
        """Delete a file; one that is gone already is fine."""

    def sync(self, folder: Path) -> None:
        """Make renames and removals in a folder durable."""


class RealDisk:
    """The operating system's."""

    def write(self, path: Path, content: bytes) -> None:
        """Create or truncate, write, fsync."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """In one step."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """No error when it is gone."""
        path.unlink(missing_ok=True)

    def sync(self, folder: Path) -> None:
        """Fsync of the folder."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class StateDirectory:
    """A directory that belongs to one device while it is open. `warn` hears of damage that was left out."""

    def __init__(
        self, path: Path, *, disk: Disk | None = None, warn: Callable[[str], None] = lambda _text: None
    ) -> None:
        self.path = path
        self._disk: Disk = disk or RealDisk()
        self._warn = warn
        self._images = path / "images"
        try:
            self._images.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._config(
                f"cannot be used: {error.strerror or error}", "choose a writable folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise self._config("belongs to another device that runs", "one --state per device") from error

    def close(self) -> None:
        """Give the directory free."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def load_name(self) -> str | None:
        """The name that was kept, or None."""
        try:
            return (self.path / "name").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._config(f"the name cannot be read: {error}", "remove the file `name`") from error

    def save_name(self, name: str) -> None:
        """Keep the name."""
        self._put(self.path / "name", name.encode())

    def load(self) -> Contents:
        """The last contents that were saved. An image that is damaged or gone leaves its slot empty.

        Raises ConfigError when the record itself is damaged: its sequence number keeps old updates out.
        """
        path = self.path / "record"
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return Contents({}, 0)
        except OSError as error:
            raise self._config(f"the record cannot be read: {error}", "check the folder's owner") from error
        checksum, _, body = stored.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            raise self._config("the record is damaged", "remove the directory to start anew")
        record = json.loads(body)
        if record["version"] != _VERSION:
            raise self._config(
                f"the record has version {record['version']}", f"this device writes {_VERSION}"
            )
        images = {}
        for entry in record["slots"]:
            image = self._load_image(entry)
            if image is not None:
                images[int(entry["slot"])] = image
        return Contents(images, int(record["sequence_number"]))

    def _load_image(self, entry: dict[str, Any]) -> StoredImage | None:
        path = self._images / entry["digest"]
        try:
            image = path.read_bytes()
        except OSError as error:
            self._warn(f"slot {entry['slot']}: image {entry['digest'][:8]} is gone: {error.strerror}")
            return None
        digest = hashlib.sha256(image).digest()
        if digest.hex() != entry["digest"]:
            self._warn(f"slot {entry['slot']}: image {entry['digest'][:8]} is damaged and left out")
            return None
        return StoredImage(image, digest, entry["name"], entry["sequence_number"])

    def save(self, contents: Contents) -> None:
        """Keep the contents: images first, then the record, then what nobody names any more goes."""
        kept = {image.digest.hex(): image.image for image in contents.images.values()}
        for name, image in kept.items():
            path = self._images / name
            # What lies there was checked when it was loaded, or written by us; a damaged one is written anew.
            if not path.exists() or path.read_bytes() != image:
                self._put(path, image)
        record = {
            "version": _VERSION,
            "sequence_number": contents.sequence_number,
            "slots": [
                {
                    "slot": slot,
                    "digest": image.digest.hex(),
                    "name": image.name,
                    "sequence_number": image.sequence_number,
                }
                for slot, image in sorted(contents.images.items())
            ],
        }
        body = json.dumps(record, separators=(",", ":")).encode()
        self._put(self.path / "record", hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        # The commit stands: an old image that cannot be removed is only untidy.
        with suppress(OSError):
            for path in self._images.iterdir():
                if path.name not in kept:
                    self._disk.remove(path)

    def _put(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(path.name + ".new")
        try:
            self._disk.write(temporary, content)
            self._disk.rename(temporary, path)
            self._disk.sync(path.parent)
        except OSError as error:
            raise StorageError(
                f"cannot write {path.name}: {error.strerror or error}",
                where=str(self.path),
                hint="check space",
            ) from error

    def _config(self, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"state directory {self.path} {problem}", code="state", where="--state", hint=hint)
