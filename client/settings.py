"""Settings that come from the environment (client.md, Finding things)."""

from __future__ import annotations

from typing import Final

SERVER_VARIABLE: Final = "MICROBPF_SERVER"
DEVICE_VARIABLE: Final = "MICROBPF_DEVICE"
DEFAULT_SERVER: Final = "coap://localhost"

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""
