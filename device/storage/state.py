"""The state directory: slots, sequence number and name of one device, safe against power loss.

    DIR/lock             held while a device uses the directory
    DIR/name             the device's name
    DIR/record           sequence number and slot table as JSON, its SHA-256 in the first line
    DIR/images/<digest>  images, named by their SHA-256

Images are written before the record that names them, and every file by write, fsync, rename, fsync of the
folder: whatever the moment power is lost at, the record is the old one or the new one, and whole.

The rename of the record is the commit: an error before it leaves everything as it was, and after it the new
contents are what the next start finds, so nothing that fails then makes the update a refused one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from device.errors import ConfigError, StorageError
from device.storage.disk import Disk, RealDisk
from device.storage.slots import Contents, StoredImage

_VERSION: Final = 1
_ANEW: Final = "remove the directory to start anew"


class StateDirectory:
    """A directory that belongs to one device while it is open.

    `warn` hears of damage that was left out, and of a commit that may not outlive a power cut.
    """

    def __init__(
        self, path: Path, *, disk: Disk | None = None, warn: Callable[[str], None] = lambda _text: None
    ) -> None:
        self.path = path
        self._disk: Disk = disk or RealDisk()
        self._warn = warn
        self._images = path / "images"
        try:
            self._make_folders()
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

    def _make_folders(self) -> None:
        """Make what is missing, and have it survive a power cut like the files that come into it."""
        missing = [folder for folder in (self._images, *self._images.parents) if not folder.exists()]
        self._images.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in missing:
            self._disk.sync(folder.parent)

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
        with self._storing("name"):
            self._put(self.path / "name", name.encode())
            self._disk.sync(self.path)

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
            raise self._config("the record is damaged", _ANEW)
        try:
            return self._contents(json.loads(body))
        except (ValueError, TypeError, LookupError) as error:
            raise self._config("the record is none that a device writes", _ANEW) from error

    def _contents(self, record: dict[str, Any]) -> Contents:
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
        path = self._images / bytes.fromhex(entry["digest"]).hex()
        try:
            image = path.read_bytes()
        except OSError as error:
            self._warn(f"slot {entry['slot']}: image {entry['digest'][:8]} is gone: {error.strerror}")
            return None
        digest = hashlib.sha256(image).digest()
        if digest.hex() != entry["digest"]:
            self._warn(f"slot {entry['slot']}: image {entry['digest'][:8]} is damaged and left out")
            return None
        granted = entry.get("capabilities")
        capabilities = None if granted is None else bytes.fromhex(granted)
        return StoredImage(image, digest, entry["name"], entry["sequence_number"], capabilities)

    def read(self, digest: bytes) -> bytes:
        """An image that was saved. Raises StorageError when it is damaged or gone."""
        path = self._images / digest.hex()
        try:
            image = path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read an image: {_reason(error)}", where=str(path)) from error
        if hashlib.sha256(image).digest() != digest:
            raise StorageError(f"image {digest.hex()[:8]} is damaged", where=str(path))
        return image

    def save(self, contents: Contents) -> None:
        """Keep the contents: images first, then the record, then what nobody names any more goes.

        Raises StorageError up to the moment at which the new record is in place.
        """
        held = [image for image in contents.images.values() if image.released is None]
        images = {image.digest.hex(): image.image for image in held}
        kept = {image.digest.hex() for image in contents.images.values()}
        with self._storing("images"):
            for name, image in images.items():
                # What lies there was checked when it was loaded, or written by us; a damaged one is replaced.
                if not _holds(self._images / name, image):
                    self._put(self._images / name, image)
            self._disk.sync(self._images)
        with self._storing("record"):
            self._put(self.path / "record", _record(contents))
        try:
            self._disk.sync(self.path)
        except OSError as error:
            # After a power cut the former record may be back: the images that it names have to stay.
            self._warn(f"the update is stored, but may not outlive a power cut: {_reason(error)}")
            return
        # An old image that cannot be removed is only untidy.
        with suppress(OSError):
            for path in self._images.iterdir():
                if path.name not in kept:
                    self._disk.remove(path)

    def _put(self, path: Path, content: bytes) -> None:
        """Replace a file in one step. OSError leaves the former one, and none of the space taken."""
        temporary = path.with_name(path.name + ".new")
        try:
            self._disk.write(temporary, content)
            self._disk.rename(temporary, path)
        except OSError:
            with suppress(OSError):  # the first error is the one to tell
                self._disk.remove(temporary)
            raise

    @contextmanager
    def _storing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot write {what}: {_reason(error)}",
                where=str(self.path),
                hint="look at the disk's space and health, then deploy again",
            ) from error

    def _config(self, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"state directory {self.path} {problem}", code="state", where="--state", hint=hint)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _record(contents: Contents) -> bytes:
    """The record's file: checksum, then body."""
    record = {
        "version": _VERSION,
        "sequence_number": contents.sequence_number,
        "slots": [
            {
                "slot": slot,
                "digest": image.digest.hex(),
                "name": image.name,
                "sequence_number": image.sequence_number,
                "capabilities": None if image.capabilities is None else image.capabilities.hex(),
            }
            for slot, image in sorted(contents.images.items())
        ],
    }
    body = json.dumps(record, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
