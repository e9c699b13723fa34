"""What changes a disk: the seam at which tests cut the power, or let operations fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """The operations that change a disk. Each raises OSError when it cannot be done."""

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
