"""UDP sockets of this machine: which can be bound, which addresses and networks there are."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from device.errors import ConfigError

ANY: Final = ("", "::", "0.0.0.0", "any")  # noqa: S104  # what a person may write for "all addresses"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_REASONS: Final = {
    errno.EADDRINUSE: ("port-taken", "is taken", "stop what runs there, or choose another with --port"),
    errno.EACCES: ("port-denied", "may not be used by this user", "choose a port of 1024 or more"),
    errno.EADDRNOTAVAIL: ("bad-address", "is no address of this machine", "choose another with --bind"),
    errno.EAFNOSUPPORT: ("bad-address", "is of a kind this machine does not have", "try --bind 0.0.0.0"),
}


def has_ipv6_sockets() -> bool:
    """Whether the kernel has AF_INET6 at all; with it, one socket serves IPv4 as well."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def bind_dual(host: str | None, port: int) -> socket.socket:
    """An AF_INET6 socket for IPv6 and IPv4, bound, never shared.

    aiocoap would set SO_REUSEPORT, with which two servers on one port start without an error and share the
    traffic: here the second gets ConfigError `port-taken`. All addresses are `::`, or where no IPv6 address
    can be bound (a container without IPv6) the IPv4 ones.
    """
    if host is None or host in ANY:
        wanted = ["::ffff:0.0.0.0"] if host == ANY[2] else ["::", "::ffff:0.0.0.0"]
        candidates: list[tuple[str, int, int, int]] = [(address, port, 0, 0) for address in wanted]
    else:
        candidates = [_mapped(host, port)]
    for candidate in candidates[:-1]:
        try:
            return _bind6(candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _refused(host, port, error) from error
    try:
        return _bind6(candidates[-1])
    except OSError as error:
        raise _refused(host, port, error) from error


def probe_port(host: str, port: int) -> int:
    """Bind and let go again, for servers whose socket others make. Returns the port (a free one for 0)."""
    family, address = _resolve(host, port)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _refused(host, port, error) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A UDP port that is free at this moment."""
    return probe_port(host, 0)


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as the system lets it, for many devices; how many that are."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # some systems announce a limit that they then refuse
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def local_addresses() -> list[str]:
    """IPv4 addresses of this machine, loopback first."""
    found = ["127.0.0.1"]
    for name in (address for _, address, _ in _interfaces4()):
        if name not in found:
            found.append(name)
    return found


def attached_networks() -> list[Network]:
    """Loopback and the private networks that this machine has an address in (read on Linux only)."""
    networks: list[Network] = [ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128")]
    for _, address, mask in _interfaces4():
        networks.append(ipaddress.IPv4Network(f"{address}/{mask}", strict=False))
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        digits, _, length = line.split()[:3]
        network = (int(digits, 16), int(length, 16))
        networks.append(ipaddress.IPv6Network(network, strict=False))
    unique = dict.fromkeys(network for network in networks if network.is_private or network.is_link_local)
    return list(unique)


def _interfaces4() -> list[tuple[str, str, str]]:
    """Name, IPv4 address and netmask of each interface that has one."""
    try:
        import fcntl
    except ImportError:
        return []
    get_address, get_netmask = 0x8915, 0x891B  # SIOCGIFADDR, SIOCGIFNETMASK of Linux
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = name.encode()[:15].ljust(40, b"\0")
            try:
                packed = [fcntl.ioctl(asking, what, request)[20:24] for what in (get_address, get_netmask)]
            except OSError:
                continue
            address, mask = (socket.inet_ntoa(value) for value in packed)
            found.append((name, address, mask))
    return found


def _bind6(address: tuple[str, int, int, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def _mapped(host: str, port: int) -> tuple[str, int, int, int]:
    """The address as AF_INET6 has it."""
    family, address = _resolve(host, port)
    if family == socket.AF_INET6:
        return (str(address[0]), int(address[1]), int(address[2]), int(address[3]))
    return ("::ffff:" + str(address[0]), int(address[1]), 0, 0)


def _resolve(host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{host!r} is no address to bind: {error}", code="bad-address", where="--bind"
        ) from error
    return family, address  # type: ignore[return-value]  # UDP over IP has no bytes in it


def _refused(host: str | None, port: int, error: OSError) -> ConfigError:
    code, reason, hint = _REASONS.get(error.errno or 0, ("bind", f"cannot be bound: {error.strerror}", ""))
    name = f"{host or 'any address'}, UDP port {port}," if code == "bad-address" else f"UDP port {port}"
    return ConfigError(f"{name} {reason}", code=code, where="--port", hint=hint)
