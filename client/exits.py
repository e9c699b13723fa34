"""Exit codes (client.md): what a script learns without reading the text."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from device.errors import ConfigError, MicroBpfError, RemoteError, TransportError, VerifyError


class Exit(IntEnum):
    """How a command ended; for several devices the highest."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    SECURITY = 4


SECURITY_CODES: Final = frozenset(
    {
        "UNSIGNED",
        "BAD_SIGNATURE",
        "ALG_UNSUPPORTED",
        "MANIFEST_DIGEST",
        "SEVERED_DIGEST",
        "POLICY",
        "CAPABILITY",
        "COMPONENT_FORBIDDEN",
        "URI_FORBIDDEN",
        "ROLLBACK",
        "IMAGE_DIGEST",
    }
)
"""Classes of suit.md section 10 by which a device defends itself: 4.03, replay, swapped images."""

_FORBIDDEN: Final = frozenset({"4.01", "4.03"})


def exit_code(error: BaseException) -> Exit:
    """The exit code that belongs to an error."""
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, TransportError):
        return Exit.UNREACHABLE
    if isinstance(error, MicroBpfError) and error.code in SECURITY_CODES:
        return Exit.SECURITY
    if isinstance(error, VerifyError) and any(found.get("id") == "helper-denied" for found in error.findings):
        return Exit.SECURITY  # the operator's own list of helpers: helpers.md section 9.2, ahead of time
    if isinstance(error, RemoteError) and error.status in _FORBIDDEN:
        return Exit.SECURITY
    return Exit.REFUSED
