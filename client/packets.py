"""Calling a program as the handler of a CoAP request (api.md, `/slots/{n}/packet` and `/app/…`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from client.connection import accepted
from client.debuginfo import DebugFiles
from client.exchange import Call, Reply
from client.execution import explained
from client.remote import RemoteDevice
from client.text import block, hexdump, quoted
from device.api import PROBLEM_CBOR
from device.errors import RemoteError

_FORMATS: Final = {0: "text", 40: "link format", 42: "bytes", 50: "JSON", 60: "CBOR"}


@dataclass(frozen=True, slots=True)
class PacketCall:
    """A request for a program. `path` is where it is bound; None: `/slots/{slot}/packet`."""

    slot: int
    method: str = "GET"
    payload: bytes = b""
    content_format: int | None = None
    path: str | None = None

    @property
    def where(self) -> str:
        """The path that is asked."""
        return f"/slots/{self.slot}/packet" if self.path is None else "/" + self.path.lstrip("/")


@dataclass(frozen=True, slots=True)
class PacketAnswer:
    """What the program answered, whichever code it chose."""

    path: str
    status: str
    content_format: int | None
    payload: bytes

    @property
    def text(self) -> str | None:
        """The payload as text without the NUL that programs of C end it with; None when it is none."""
        try:
            text = self.payload.removesuffix(b"\0").decode()
        except UnicodeDecodeError:
            return None
        return text if all(char.isprintable() or char in "\n\t" for char in text) else None

    def to_map(self) -> dict[str, Any]:
        """What JSON shows."""
        return {
            "path": self.path,
            "status": self.status,
            "content_format": self.content_format,
            "payload": self.payload,
            "text": self.text,
        }


async def call(device: RemoteDevice, asked: PacketCall, debug: DebugFiles, timeout_s: float) -> PacketAnswer:
    """Ask, and have the program's answer, whichever code it chose.

    Raises ProgramFault, RemoteError with what the device itself says, TransportError.
    """
    url = device.target.url(asked.where)
    reply = await device.connection.exchange.send(
        Call(asked.method, url, asked.payload, asked.content_format), timeout_s
    )
    if reply.content_format != PROBLEM_CBOR:
        return PacketAnswer(asked.where, reply.status, reply.content_format, reply.payload)
    raise await _refusal(device, asked, reply, url, debug)


async def _refusal(
    device: RemoteDevice, asked: PacketCall, reply: Reply, url: str, debug: DebugFiles
) -> Exception:
    """Why the device did not let the program answer: its fault, or the device's own reason."""
    try:
        accepted(reply, url)
    except RemoteError as error:
        fault = error.extra.get("fault")
        if isinstance(fault, dict):
            answer = {"status": reply.status, "path": asked.where}
            return await explained(device, asked.slot, fault, answer, debug)
        return error
    return RemoteError(f"{url} answered {reply.status} with problem details", status=reply.status, where=url)


def packet_lines(answer: PacketAnswer) -> Iterator[str]:
    """An answer for people."""
    number = answer.content_format
    yield from block(
        {
            "answer": answer.status,
            "format": None if number is None else _FORMATS.get(number, str(number)),
            "payload": f"{len(answer.payload)} bytes" if answer.payload else "none",
        }
    )
    if answer.payload:
        shown = answer.text
        yield from quoted(shown) if shown is not None else hexdump(answer.payload, 0)
