"""Settings that come from the environment (client.md, Finding things)."""

from __future__ import annotations

from typing import Final

SERVER_VARIABLE: Final = "MICROBPF_SERVER"
DEVICE_VARIABLE: Final = "MICROBPF_DEVICE"
DEFAULT_SERVER: Final = "coap://localhost"

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""

LAYOUTS: Final = ("elf", "text", "femto", "sming", "extended")
"""The layouts of an image by name (programs.md section 2); the default is the first."""

PROFILES: Final = ("ubpf", "femto", "sming", "riot2020")
"""The virtual machines that images are written for, by name (programs.md section 7)."""

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH")
"""The methods of CoAP (RFC 7252, RFC 8132)."""
