"""What a device is called: asked for, remembered, found out, or made up (network.md, "Who is where")."""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device.errors import ConfigError
from device.transport import Authority, local_addresses, source_address

LOOKUP_S: Final = 0.5
"""How long the start waits for a reverse DNS answer."""

_PTR: Final = 12
_IN: Final = 1
_RECURSION: Final = 0x0100
_QUERY_ID: Final = 0x6D62

MAX_NAME: Final = 63
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")

_FIRST: Final = (
    "amber", "ancient", "autumn", "azure", "bold", "brave", "bright", "brisk", "calm", "clear",
    "clever", "cool", "copper", "coral", "cosmic", "crisp", "curly", "daring", "dawn", "deep", "eager",
    "early", "fair", "fancy", "fast", "fleet", "fluffy", "frosty", "gentle", "giant", "glad", "golden",
    "grand", "green", "happy", "hidden", "humble", "icy", "ivory", "jade", "jolly", "keen", "kind",
    "late", "light", "lively", "lone", "lucky", "lunar", "mellow", "merry", "mighty", "misty", "modest",
    "neat", "nimble", "noble", "olive", "patient", "plain", "proud", "quick", "quiet", "rapid", "rare",
    "red", "round", "royal", "rusty", "sandy", "shiny", "silent", "silver", "sleek", "small", "snowy",
    "solar", "solid", "spry", "steady", "stormy", "sunny", "swift", "tidy", "tiny", "topaz", "vivid",
    "warm", "wild", "windy", "wise", "witty", "young", "zesty",
)  # fmt: skip
_SECOND: Final = (
    "alder", "ant", "aspen", "badger", "bat", "bear", "beaver", "bee", "birch", "bison", "cedar",
    "cobra", "condor", "coyote", "crab", "crane", "cricket", "crow", "deer", "dingo", "dove", "eagle",
    "eel", "elk", "elm", "falcon", "fern", "ferret", "finch", "fir", "fox", "frog", "gecko", "goose",
    "hare", "hawk", "hazel", "heron", "hornet", "ibex", "ibis", "iris", "jackal", "jay", "kite", "kiwi",
    "koala", "lark", "lemur", "lily", "lion", "lizard", "llama", "lotus", "lynx", "magpie", "maple",
    "marten", "mink", "mole", "moose", "moth", "newt", "oak", "orca", "oryx", "osprey", "otter", "owl",
    "panda", "parrot", "pine", "puffin", "puma", "quail", "rabbit", "raven", "robin", "salmon", "seal",
    "shark", "shrew", "sloth", "snail", "sparrow", "spruce", "squid", "stork", "swan", "tapir", "tern",
    "tiger", "toad", "trout", "viper", "walrus", "wasp", "weasel", "whale", "willow", "wolf", "wombat",
    "wren", "yak", "zebra",
)  # fmt: skip


def check_name(name: str) -> str:
    """The name, if it can be one: up to 63 letters, digits, dots, dashes, underscores. Raises ConfigError."""
    if _NAME.match(name):
        return name
    raise ConfigError(
        f"{name[:80]!r} cannot be the name of a device",
        code="bad-name",
        where="--name",
        hint=f"up to {MAX_NAME} letters, digits, '.', '-' and '_'",
    )


def two_words(chance: random.Random) -> str:
    """A name out of nothing, such as `brave-otter`."""
    return f"{chance.choice(_FIRST)}-{chance.choice(_SECOND)}"


def found_name(bind: str | None, server: Authority | None, lookup: Callable[[str], str | None]) -> str | None:
    """The first label of the reverse-DNS name of this device's own address, where there is a telling one.

    Loopback addresses have none: every device of the machine would be called `localhost`.
    """
    address = _own_address(bind, server)
    name = lookup(address) if address else None
    label = (name or "").partition(".")[0]
    return label if _NAME.match(label) and not label.isdigit() and label != "localhost" else None


def reverse_lookup(address: str) -> str | None:
    """The DNS name of an address, or None; waits half a second at most.

    The resolver of the C library would look into /etc/hosts first, where a container finds no more than its
    own number; the name server of a compose network knows the name of the replica.
    """
    server = _name_server()
    if server is None:
        return None
    pointer = ipaddress.ip_address(address.partition("%")[0]).reverse_pointer
    labels = b"".join(bytes([len(label)]) + label.encode() for label in pointer.split("."))
    question = labels + b"\0" + struct.pack(">HH", _PTR, _IN)
    query = struct.pack(">6H", _QUERY_ID, _RECURSION, 1, 0, 0, 0) + question
    try:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(LOOKUP_S)
            asking.connect((server, 53))
            asking.send(query)
            return _pointed_at(asking.recv(1500), len(query))
    except OSError:
        return None


def _name_server() -> str | None:
    """The first name server of /etc/resolv.conf."""
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]
    return found[0] if found else None


def _pointed_at(answer: bytes, question_end: int) -> str | None:
    """The name in the first answer of a reply to a PTR question (RFC 1035 sections 4.1 and 3.3.12)."""
    try:
        number, flags, _, answers = struct.unpack_from(">4H", answer)
        if number != _QUERY_ID or not flags & 0x8000 or flags & 0x000F or not answers:
            return None
        # The owner repeats the question: a pointer of two bytes to it, or the whole name once more.
        compressed = answer[question_end] & 0xC0 == 0xC0
        record = question_end + (2 if compressed else question_end - 12 - 4)
        kind, _, _, length = struct.unpack_from(">HHIH", answer, record)
        place = record + 10
        size = answer[place]
        if kind != _PTR or not 0 < size < 64 or size > length:
            return None
        return answer[place + 1 : place + 1 + size].decode("ascii")
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _own_address(bind: str | None, server: Authority | None) -> str | None:
    """The address under which others see this device, if it is not a loopback one."""
    candidates = [bind] if bind else []
    if server is not None:
        try:
            candidates.append(source_address(server))
        except ConfigError:
            return None  # the server's name is not known yet; nobody waits for a name of our own then
    else:
        candidates += local_addresses()[1:]
    for candidate in candidates:
        try:
            address = ipaddress.ip_address(candidate)
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified):
            return candidate
    return None
