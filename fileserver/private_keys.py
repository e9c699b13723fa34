"""No private key is served: none that lies there at the start, none that is sent (suit.md section 9)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from device.errors import ConfigError

_MARKER: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_MARKER: Final = 96
_CHUNK: Final = 1 << 20


def has_private_key(data: bytes) -> bool:
    """Whether these bytes hold the first line of a private key in PEM form, anywhere."""
    return _MARKER.search(data) is not None


def refuse_private_keys(root: Path) -> None:
    """Look through every file below `root`. Raises ConfigError `private-key` with the file's name.

    Symbolic links are not followed: the server does not follow them either.
    """
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode) and _file_has_private_key(path):
                raise ConfigError(
                    f"{path} is a private key, and everything below {root} can be read by everybody",
                    code="private-key",
                    where=str(path),
                    hint="move it elsewhere, and take it for compromised if this server ran before",
                )


def _file_has_private_key(path: Path) -> bool:
    """Whether a file holds one. Raises ConfigError for a file that cannot be read: it could not be served."""
    tail = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if has_private_key(tail + chunk):
                    return True
                tail = chunk[-_LONGEST_MARKER:]
    except FileNotFoundError:
        return False
    except PermissionError:
        return False  # what this process may not read it cannot give away
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", code="root", where=str(path)) from error
    return False
