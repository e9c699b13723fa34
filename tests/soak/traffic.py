"""The requests of a soak: what is sent, and which answers are right.

An Ask sends one request or a few that belong together, and raises Wrong for an answer that is not the one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from client.exchange import DELETE, GET, POST, PUT, Call, Exchange, Reply
from device.api import CBOR, decode_body, encode_body
from tests.soak.site import (
    HELLO_SAYS,
    HELLO_SLOT,
    SEVEN_GIVES,
    SEVEN_SLOT,
    SPIN_SLOT,
    SUM_SLOT,
    WILD_SLOT,
)

TIMEOUT_S: Final = 20.0


class Wrong(Exception):
    """An answer that no device may give to this request."""


class Busy(Exception):
    """5.03 with the time after which to try again: back-pressure, which is a right answer."""


@dataclass(slots=True)
class Sender:
    """Sends to one device, and counts."""

    exchange: Exchange
    url: str
    chance: random.Random
    sent: Counter[str] = field(default_factory=Counter)

    async def send(self, method: str, path: str, body: Any = None, payload: bytes = b"") -> Reply:
        """One request; a body is sent as CBOR, and asks for CBOR. Raises Busy."""
        self.sent["requests"] += 1
        call = Call(method, self.url + path, payload)
        if body is not None:
            call = Call(method, self.url + path, encode_body(body, CBOR), content_format=CBOR, accept=CBOR)
        reply = await self.exchange.send(call, TIMEOUT_S)
        if reply.status == "5.03" and reply.max_age is not None:
            raise Busy
        return reply

    async def map(self, method: str, path: str, body: Any = None, status: str = "2.05") -> Any:
        """The same, for an answer with this status and a map (or nothing) in it."""
        reply = await self.send(method, path, body)
        expect(reply.status == status, f"{method} {path}", reply)
        return decode_body(reply.payload, CBOR) if reply.payload else None

    async def run(self, slot: int, **body: Any) -> Any:
        """POST /slots/{n}/exec."""
        return await self.map(POST, f"/slots/{slot}/exec", body, "2.04")


def expect(condition: bool, what: str, found: Any) -> None:
    """Raises Wrong."""
    if not condition:
        raise Wrong(f"{what}: {found}")


async def _device(sender: Sender) -> None:
    info = await sender.map(GET, "/device")
    expect((info["name"], info["slots"]) == ("soaked", 6), "device", info)


async def _slots(sender: Sender) -> None:
    items = (await sender.map(GET, "/slots"))["items"]
    expect([item["slot"] for item in items] == list(range(6)), "slots", items)
    expect(not any(item["state"] == "free" for item in items), "slots", items)


async def _slot(sender: Sender) -> None:
    found = await sender.map(GET, f"/slots/{SUM_SLOT}")
    expect(found["sequence_number"] == SUM_SLOT + 1, "slot", found)


async def _sum(sender: Sender) -> None:
    """Run with a context of its own: an answer that belongs to another request has another sum."""
    first, second = sender.chance.randbytes(2)
    done = await sender.run(SUM_SLOT, context=bytes((first, second)))
    found = (done.get("r0_signed"), done.get("context"))
    expect(found == (first + second, bytes((second, first))), f"sum of {first} and {second}", done)


async def _repeat(sender: Sender) -> None:
    done = await sender.run(SEVEN_SLOT, repeat=20)
    expect((done.get("r0_signed"), done["runs"]) == (SEVEN_GIVES, 20), "repeat", done)


async def _fault(sender: Sender) -> None:
    done = await sender.run(WILD_SLOT)
    expect("r0" not in done and done["fault"]["code"] == "ILLEGAL_MEM", "fault", done)


async def _budget(sender: Sender) -> None:
    done = await sender.run(SPIN_SLOT, budget=3000)
    code = done.get("fault", {}).get("code")
    expect((code, done["instructions"]) == ("OUT_OF_INSTRUCTIONS", 3000), "budget", done)


async def _deadline(sender: Sender) -> None:
    done = await sender.run(SPIN_SLOT, timeout_ms=20)
    expect(done.get("fault", {}).get("code") == "KILLED", "deadline", done)


async def _packet(sender: Sender) -> None:
    path = sender.chance.choice((f"/slots/{HELLO_SLOT}/packet", "/app/hello"))
    reply = await sender.send(sender.chance.choice((GET, POST, PUT)), path)
    expect((reply.status, reply.payload) == ("2.05", HELLO_SAYS), path, reply)


async def _short(sender: Sender) -> None:
    """Slot 0, bare text, checked at run time, no helper: as µBPF's tool writes it."""
    reply = await sender.send(POST, "/short-execution", payload=b"0180\0")
    if reply.status == "5.00" and reply.payload.startswith(b"KILLED: deadline"):
        raise Busy  # it has a second, waiting for a place included
    expect(
        (reply.status, reply.payload) == ("2.04", b'{"result": %d}' % SEVEN_GIVES), "short-execution", reply
    )


async def _running(sender: Sender) -> None:
    reply = await sender.send(GET, "/running_vm")
    words = reply.payload.decode().strip("[]").split(", ")
    expect(reply.status == "2.03" and len(words) == 4, "running_vm", reply)


async def _job(sender: Sender) -> None:
    """Begin one that never ends by itself, and kill it."""
    begun = await sender.map(POST, "/jobs", {"slot": SPIN_SLOT}, "2.01")
    path = f"/jobs/{begun['id']}"
    expect((await sender.map(GET, path))["state"] in ("queued", "running"), path, begun)
    await sender.map(DELETE, path, status="2.02")
    expect((await sender.map(GET, path))["state"] == "killed", path, begun)


async def _store(sender: Sender) -> None:
    key, value = sender.chance.randrange(8), sender.chance.getrandbits(32)
    await sender.map(PUT, "/store/global", {str(key): value}, "2.04")
    listing = await sender.map(GET, "/store/global")
    expect(str(key) in listing["entries"] and len(listing["entries"]) <= 8, "store", listing)


async def _board(sender: Sender) -> None:
    await sender.map(PUT, "/board", {"adc": {"2": sender.chance.randrange(1024)}}, "2.04")
    board = await sender.map(GET, "/board")
    expect(len(board["saul"]) == 8 and 0 <= board["adc"]["2"] < 1024, "board", board)


async def _saul(sender: Sender) -> None:
    """Also fires the hook on this device."""
    await sender.map(PUT, "/saul/1", {"values": [sender.chance.randrange(1000)]}, "2.04")
    found = await sender.map(GET, "/saul/1")
    expect(found["class"] == 130 and 0 <= found["values"][0] < 1000, "saul", found)


async def _log(sender: Sender) -> None:
    page = await sender.map(GET, "/log?since=999999999")
    expect(page["lines"] == [], "log", page)
    page = await sender.map(GET, f"/log?since={page['next'] - 5}")
    expect(len(page["lines"]) >= 5, "log", page)


async def _core(sender: Sender) -> None:
    reply = await sender.send(GET, "/.well-known/core")
    expect(reply.status == "2.05" and b"</app/hello>" in reply.payload, "core", reply.status)


_REFUSED: Final[tuple[tuple[str, str, Any, bytes, str], ...]] = (
    (GET, "/nothing", None, b"", "4.04"),
    (POST, "/device", None, b"", "4.05"),
    (GET, "/slots/99", None, b"", "4.04"),
    (POST, f"/slots/{SUM_SLOT}/exec", {"engine": "none"}, b"", "4.00"),
    (POST, f"/slots/{SUM_SLOT}/exec", {"unknown": 1}, b"", "4.00"),
    (POST, "/jobs", {"slot": 99}, b"", "4.04"),
    (DELETE, "/jobs/4000000000", None, b"", "4.04"),
    (DELETE, "/hooks/4000000000", None, b"", "4.04"),
    (PUT, "/store/global", {"x": 1}, b"", "4.00"),
    (PUT, "/store/global", {str(key): key for key in range(40)}, b"", "4.13"),
    (POST, "/short-execution", None, b"zzzz", "4.00"),
    (POST, "/short-execution", None, b"01a0", "4.22"),
    (PUT, "/board", {"pins": {"Q99": 1}}, b"", "4.00"),
)


async def _refused(sender: Sender) -> None:
    """What has to be refused, with the right code."""
    method, path, body, payload, status = sender.chance.choice(_REFUSED)
    reply = await sender.send(method, path, body, payload)
    expect(reply.status == status, f"{method} {path} {body or payload!r}", reply)


Ask = Callable[[Sender], Awaitable[None]]
MIX: Final[tuple[tuple[int, Ask], ...]] = (
    (20, _device),
    (4, _slots),
    (8, _slot),
    (24, _sum),
    (3, _repeat),
    (8, _fault),
    (4, _budget),
    (1, _deadline),
    (7, _packet),
    (6, _short),
    (1, _running),
    (2, _job),
    (2, _store),
    (1, _board),
    (1, _saul),
    (1, _log),
    (1, _core),
    (6, _refused),
)
"""How often which, in a hundred."""


def kinds(chance: random.Random) -> Callable[[], Ask]:
    """A supply of them in these shares."""
    weights = [weight for weight, _ in MIX]
    asks = [ask for _, ask in MIX]
    return lambda: chance.choices(asks, weights)[0]
