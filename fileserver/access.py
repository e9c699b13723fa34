"""Who may write: networks, as nobody signs in here (network.md "The file server")."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from device.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """The networks whose hosts may PUT and DELETE."""

    networks: tuple[Network, ...]

    def allows(self, host: str) -> bool:
        """Whether a peer with this address (perhaps with a zone) may write."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    def __str__(self) -> str:
        return ", ".join(str(network) for network in self.networks) or "nobody"


def parse_networks(texts: Iterable[str]) -> WriteAccess:
    """Read networks such as `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`, or `any`. Raises ConfigError."""
    networks: list[Network] = []
    for text in texts:
        if text == "any":
            networks += [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
            continue
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            raise ConfigError(
                f"{text!r} is no network", where="--write-from", hint="such as 10.0.0.0/8, ::1 or any"
            ) from error
    return WriteAccess(tuple(networks))
