"""What a device is called: asked for, remembered, found out, or made up (network.md, "Who is where")."""

from __future__ import annotations

import ipaddress
import queue
import random
import re
import socket
import threading
from collections.abc import Callable
from typing import Final

from device.errors import ConfigError
from device.transport import Authority, local_addresses, source_address

LOOKUP_S: Final = 0.5
"""How long the start waits for a reverse DNS answer."""

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
    """The DNS name of an address, or None; waits half a second at most."""
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.gethostbyaddr(address)[0])
        except (OSError, UnicodeError):
            answers.put(None)

    threading.Thread(target=ask, name="reverse-dns", daemon=True).start()
    try:
        return answers.get(timeout=LOOKUP_S)
    except queue.Empty:
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
