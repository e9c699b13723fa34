"""How people write addresses, and the URLs they mean."""

from __future__ import annotations

import ipaddress

from device.errors import ConfigError
from device.transport import parse_authority, parse_url


def base_url(text: str) -> str:
    """`localhost`, `host:port`, `[::1]:5710` or `coap://…` as a URL without a slash at its end.

    Raises ConfigError for anything else, other schemes and queries included.
    """
    written = text.strip()
    if "://" not in written:
        return parse_authority(written).url
    url = parse_url(written)
    if url.query:
        raise ConfigError(f"{text!r} is no base address: it has a query", code="bad-address", where=text)
    return str(url).rstrip("/")


def is_address(selector: str) -> bool:
    """Whether a device is named by its address (`host:port`, an IP literal, a URL), not by its name."""
    if ":" in selector:
        return True
    try:
        ipaddress.ip_address(selector)
    except ValueError:
        return False
    return True


def authority(base: str) -> str:
    """`host:port` of a base URL: what stands for a device whose name is not known."""
    return str(parse_url(base).authority)
