"""What the file server keeps: reading, listing, and writing at once or not at all, within limits."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final

from device.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    TooLarge,
)
from device.resource import etag_of
from fileserver.paths import Path, shown
from fileserver.walk import Root, explained, open_file

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNFINISHED: Final = ".upload-"
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What may lie below the root: bytes of one file, bytes and number of all (folders are counted too)."""

    file_bytes: int = 64 * 1024
    total_bytes: int = 64 * 1024 * 1024
    files: int = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a folder's listing; `size` in bytes, None for a folder."""

    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did."""

    etag: bytes
    created: bool


class FileStore:
    """The files below `root`, which must exist. Close it when done.

    One thread reads and writes; `listing` may run on another.
    """

    def __init__(
        self,
        root: FilePath,
        limits: StoreLimits | None = None,
        random_name: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self.limits = limits or StoreLimits()
        self._random_name = random_name
        self._root = Root(root)
        self._bytes = self._count = 0
        self._recount(remove_unfinished=True)

    def close(self) -> None:
        """Give the root's descriptor back."""
        self._root.close()

    def read(self, path: Path) -> bytes:
        """A file's content, of one moment. Raises NotFound; Forbidden for one that may not be read."""
        with self._root.parent(path) as folder, explained(path):
            descriptor = open_file(folder, path)
            with os.fdopen(descriptor, "rb") as file:
                if os.fstat(descriptor).st_size > self.limits.file_bytes:
                    raise _too_big_to_serve(path, self.limits.file_bytes)
                data = file.read(self.limits.file_bytes + 1)
        if len(data) > self.limits.file_bytes:
            raise _too_big_to_serve(path, self.limits.file_bytes)
        return data

    def etag(self, path: Path) -> bytes | None:
        """The entity tag of a file, None when there is no such file."""
        try:
            return etag_of(self.read(path))
        except NotFound:
            return None

    def is_folder(self, path: Path) -> bool:
        """Whether there is a folder at this path."""
        try:
            with self._root.folder(path):
                return True
        except NotFound:
            return False

    def listing(self, path: Path) -> list[Item]:
        """What lies in a folder and can be served, by name. Raises NotFound."""
        with self._root.folder(path) as folder, explained(path):
            found = []
            for entry in os.scandir(folder):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append(Item(entry.name, None))
                elif entry.is_file(follow_symlinks=False):
                    found.append(Item(entry.name, entry.stat(follow_symlinks=False).st_size))
        return sorted(found, key=lambda item: item.name)

    def write(self, path: Path, data: bytes, *, if_match: tuple[bytes, ...] = ()) -> Written:
        """Create a file, or replace the one that `if_match` names, at once or not at all.

        Folders on the way are made. Raises PreconditionFailed when the file is there and `if_match` does not
        name it (b"" names any), or is given and the file is not there; TooLarge over a limit; Conflict where
        a folder is in the place of a file or the other way round; Forbidden behind a symbolic link.
        """
        if len(data) > self.limits.file_bytes:
            raise TooLarge(f"a file of {len(data)} bytes", limit=self.limits.file_bytes)
        present = self._present(path)
        self.check_conditions(path, present, if_match=if_match, creating=True)
        grown = len(data) - (len(present) if present is not None else 0)
        self._reserve(grown, 0 if present is not None else self._missing(path))
        made = self._make_folders(path)
        try:
            with self._root.parent(path) as folder, explained(path, writing=True):
                self._put(folder, path, data, replace=present is not None)
        except BaseException:
            self._remove_folders(path, made)
            raise
        self._bytes += grown
        self._count += made + (present is None)
        return Written(etag_of(data), created=present is None)

    def delete(self, path: Path, *, if_match: tuple[bytes, ...] = ()) -> None:
        """Remove a file, and the folders that are empty without it. Raises NotFound, PreconditionFailed."""
        present = self.read(path)
        self.check_conditions(path, present, if_match=if_match, creating=False)
        with self._root.parent(path) as folder, explained(path, writing=True):
            os.unlink(path[-1], dir_fd=folder)
        self._bytes -= len(present)
        self._count -= 1 + self._remove_folders(path, len(path) - 1)

    def check_conditions(
        self, path: Path, present: bytes | None, *, if_match: tuple[bytes, ...], creating: bool
    ) -> None:
        """If-Match, and that nothing is replaced without it (RFC 7252 section 5.10.8, network.md)."""
        where = shown(path)
        if if_match and (present is None or not {b"", etag_of(present)} & set(if_match)):
            raise PreconditionFailed("the file is not the one that If-Match names", where=where)
        if creating and present is not None and not if_match:
            raise PreconditionFailed(
                "there is a file of this name", where=where, hint="If-Match with its ETag replaces it"
            )

    # Writing

    def _present(self, path: Path) -> bytes | None:
        """The content of the file that a write would meet. Raises Conflict, Forbidden for what is no file."""
        try:
            with self._root.parent(path) as folder:
                mode = os.stat(path[-1], dir_fd=folder, follow_symlinks=False).st_mode
        except (NotFound, FileNotFoundError):
            return None
        if stat.S_ISDIR(mode):
            raise Conflict("there is a folder of this name", where=shown(path))
        if not stat.S_ISREG(mode):
            raise Forbidden("what has this name is no file", where=shown(path))
        return self.read(path)

    def _missing(self, path: Path) -> int:
        """How many entries a new file adds: itself, and the folders that are not there yet."""
        depth = len(path) - 1
        while depth and not self.is_folder(path[:depth]):
            depth -= 1
        return len(path) - depth

    def _reserve(self, grown: int, entries: int) -> None:
        """Refuse what would not fit; a file that somebody removed by hand is noticed before that."""
        if self._fits(grown, entries):
            return
        self._recount()
        if not self._fits(grown, entries):
            limits = self.limits
            raise TooLarge(
                f"the server is full: {self._count} of {limits.files} files, "
                f"{self._bytes} of {limits.total_bytes} bytes",
                hint="delete something first",
            )

    def _fits(self, grown: int, entries: int) -> bool:
        fits_bytes = grown <= 0 or self._bytes + grown <= self.limits.total_bytes
        return fits_bytes and self._count + entries <= self.limits.files

    def _make_folders(self, path: Path) -> int:
        """Make the folders that are missing on the way to a file; how many these were."""
        made = 0
        for depth in range(1, len(path)):
            with self._root.folder(path[: depth - 1]) as folder, explained(path, writing=True):
                try:
                    os.mkdir(path[depth - 1], 0o755, dir_fd=folder)
                except FileExistsError:
                    mode = os.stat(path[depth - 1], dir_fd=folder, follow_symlinks=False).st_mode
                    if stat.S_ISREG(mode):
                        raise Conflict(
                            f"{shown(path[:depth])} is a file, not a folder", where=shown(path)
                        ) from None
                    if not stat.S_ISDIR(mode):
                        raise Forbidden("a link or device is in the way", where=shown(path)) from None
                else:
                    made += 1
        return made

    def _remove_folders(self, path: Path, most: int) -> int:
        """Remove up to `most` folders above a file, from the innermost, while they are empty; how many."""
        for removed in range(most):
            folder_path = path[: len(path) - 1 - removed]
            try:
                with self._root.parent(folder_path) as folder:
                    os.rmdir(folder_path[-1], dir_fd=folder)
            except (OSError, NotFound, Forbidden):
                return removed
        return most

    def _put(self, folder: int, path: Path, data: bytes, *, replace: bool) -> None:
        """Write beside the place and move there: a reader sees the old file or the new one, never a part.

        Not synchronised to the disk: after a power cut the operator publishes again.
        """
        temporary = _UNFINISHED + self._random_name()
        descriptor = os.open(temporary, _NEW, 0o644, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            if replace:
                os.replace(temporary, path[-1], src_dir_fd=folder, dst_dir_fd=folder)
            else:
                _move_to_new(temporary, path[-1], folder)
        except FileExistsError:
            raise PreconditionFailed("there is a file of this name", where=shown(path)) from None
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)

    def _recount(self, *, remove_unfinished: bool = False) -> None:
        self._bytes = self._count = 0
        for _, folders, files, descriptor in os.fwalk(dir_fd=self._root.descriptor):
            self._count += len(folders)
            for name in files:
                if remove_unfinished and name.startswith(_UNFINISHED):
                    os.unlink(name, dir_fd=descriptor)
                    continue
                with suppress(FileNotFoundError):
                    self._bytes += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
                    self._count += 1


def _move_to_new(temporary: str, name: str, folder: int) -> None:
    """Give a file its name unless it is taken. A link does this in one step; some file systems have none."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _too_big_to_serve(path: Path, limit: int) -> Forbidden:
    return Forbidden(f"the file is longer than {limit} bytes and not served", where=shown(path))
