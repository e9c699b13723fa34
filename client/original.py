"""µBPF's own command line, said in ours: its verbs and options as the words that `client` takes.

    execute --riot-ipv6-addr fe80::1 --suit-storage-slot 1 --execution-model LongRunning
    ─▶ exec --slot 1 --job -d [fe80::1%wlan0]

What has no meaning here (where files lie that a file server now keeps, which virtual machine runs) is
accepted and changes nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from device.errors import ConfigError

LAYOUTS: Final = {
    "OnlyTextSection": "text",
    "FemtoContainersHeader": "femto",
    "ExtendedHeader": "extended",
    "RawObjectFile": "elf",
}
MODELS: Final = {"ShortLived": (), "WithAccessToCoapPacket": ("--packet",), "LongRunning": ("--job",)}
POINTS: Final = ("AheadOfTime", "LoadTime", "PreFlight", "Runtime")
SOURCES: Final = ("ExecuteRequest", "BinaryMetadata")
_LIST: Final = "--helper-indices"


def joined(words: Sequence[str]) -> list[str]:
    """The same words with all that follow `--helper-indices` in one: the original takes any number there."""
    found: list[str] = []
    collecting = False
    for word in words:
        if collecting and not word.startswith("-"):
            found[-1] = f"{found[-1]},{word}".lstrip(",")
            continue
        collecting = word == _LIST
        found += [word, ""] if collecting else [word]
    return found


def compile_words(source: str, binary: str | None, folder: str) -> list[str]:
    """`compile`: a source to an object below `folder`."""
    return ["build", source, "--to", str(PurePath(folder) / (binary or f"{PurePath(source).stem}.bin"))]


def package_words(
    source: str, binary: str | None, layout: str, helpers: str | None, point: str
) -> tuple[list[str], list[str] | None]:
    """`postprocessing`: an object to an image; before it, AheadOfTime, the words that verify the calls."""
    to = binary or str(PurePath(source).with_suffix(".bin"))
    verify = None
    if point == POINTS[0] and helpers:
        verify = ["verify", source, "--helpers", helpers]
    return ["package", source, "--layout", LAYOUTS[layout], "--to", to], verify


def sign_words(binary: str, slot: int, board: str | None) -> list[str]:
    """`sign`: an image signed for all devices that there are, and on the file server with its manifest."""
    return ["publish", binary, "--slot", str(slot), "-d", "all", *(["--board", board] if board else [])]


def deploy_words(
    source: str, slot: int, layout: str, board: str | None, helpers: str | None, point: str
) -> list[str]:
    """`deploy`: all of it, on the device that the rest of the words name.

    A list that is checked before anything runs is what the program is granted; a later one is of requests.
    """
    words = ["deploy", source, "--slot", str(slot), "--layout", LAYOUTS[layout]]
    words += ["--board", board] if board else []
    return words + (["--helpers", helpers] if helpers and point in POINTS[:2] else [])


def execute_words(
    address: str, interface: str, slot: int, model: str, helpers: str | None, *, jit: bool, fresh: bool
) -> list[str]:
    """`execute`: a run, a call with a packet, or a job."""
    words = ["exec", "--slot", str(slot), *MODELS[model]]
    if model != "WithAccessToCoapPacket":
        words += ["--helpers", helpers] if helpers else []
        words += ["--jit"] if jit or fresh else []
        words += ["--recompile"] if fresh else []
    return [*words, *device_words(address, interface)]


def device_words(address: str, interface: str) -> list[str]:
    """Which device: by its address, or the only one there is."""
    return ["-d", host(address, interface)] if address else []


def host(address: str, interface: str) -> str:
    """An IPv6 address as URLs have it, with the interface where it means nothing without one.

    Raises ConfigError.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise ConfigError(f"{address!r} is no address", code="bad-address", where=address) from None
    if found.version == 4:
        return address
    zone = f"%{interface}" if found.is_link_local and "%" not in address else ""
    return f"[{address}{zone}]"
