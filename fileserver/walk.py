"""From the root to a file without ever leaving it.

Every path is walked from the root's own descriptor, one name at a time, with O_NOFOLLOW: a symbolic link
anywhere in it ends the walk, also one that is put there between two steps. What is found must be a regular
file when it is open, so that neither a FIFO nor a device is ever read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Final

from device.errors import ConfigError, Forbidden, NotFound, StorageError
from fileserver.paths import Path, shown

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Root:
    """The folder that is served, by a descriptor that stays the same whatever happens to its name."""

    def __init__(self, root: FilePath) -> None:
        try:
            self.descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(
                f"{root} cannot be served: {error.strerror}", code="root", where="--root"
            ) from error

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

    @contextmanager
    def folder(self, path: Path) -> Iterator[int]:
        """A descriptor of the folder at this path, closed afterwards. Raises NotFound."""
        descriptor = os.dup(self.descriptor)
        try:
            for name in path:
                with explained(path):
                    below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def parent(self, path: Path) -> Iterator[int]:
        """The same of the folder that a path's last name lies in."""
        with self.folder(path[:-1]) as folder:
            yield folder


def open_file(folder: int, path: Path) -> int:
    """Open the regular file that a path ends in. Raises NotFound for anything else.

    What it is is looked at first, as opening a device can already do something, and again when it is open.
    """
    if not stat.S_ISREG(os.stat(path[-1], dir_fd=folder, follow_symlinks=False).st_mode):
        raise NotFound("no such file", where=shown(path))
    descriptor = os.open(path[-1], _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFound("no such file", where=shown(path))
    return descriptor


@contextmanager
def explained(path: Path, *, writing: bool = False) -> Iterator[None]:
    """What the operating system refuses, as an error of our tree."""
    try:
        yield
    except OSError as error:
        where = shown(path)
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG) and not writing:
            raise NotFound("no such file", where=where) from error
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            if writing:
                raise Forbidden("a link, file or device is in the way", where=where) from error
            raise NotFound("no such file", where=where) from error
        if isinstance(error, PermissionError):
            raise Forbidden("the server may not do that with this file", where=where) from error
        raise StorageError(f"the file system refuses: {error.strerror}", where=where) from error
