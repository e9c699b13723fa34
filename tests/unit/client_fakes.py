"""A network without sockets: servers that are functions of a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from urllib.parse import urlsplit

from client.exchange import Call, Reply
from device.api import CBOR, PROBLEM_CBOR, Problem, encode_body
from device.errors import RemoteError, TransportError

Server = Callable[[Call], Reply]


def content(value: object, status: str = "2.05") -> Reply:
    """An answer with a CBOR body."""
    return Reply(status, encode_body(value, CBOR), CBOR)


def problem(status: str, code: str, detail: str = "no", hint: str = "", max_age: int | None = None) -> Reply:
    """An answer with problem details."""
    return Reply(status, Problem("Refused", detail, code, "", hint).to_cbor(), PROBLEM_CBOR, max_age)


def path_of(call: Call) -> str:
    """The path of a request, without its slash, with its query."""
    parts = urlsplit(call.url)
    return parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")


class FakeNetwork:
    """An Exchange: hosts by `host:port`, everything else is unreachable."""

    def __init__(self, hosts: dict[str, Server] | None = None) -> None:
        self.hosts = dict(hosts or {})
        self.calls: list[Call] = []
        self.closed = False

    async def send(self, call: Call, timeout_s: float) -> Reply:
        self.calls.append(call)
        server = self.hosts.get(urlsplit(call.url).netloc)
        if server is None:
            raise TransportError(f"{call.url} does not answer", code="timeout", where=call.url)
        return server(call)

    async def fetch(self, url: str, limit: int, timeout_s: float) -> bytes:
        reply = await self.send(Call("GET", url), timeout_s)
        if not reply.ok:
            raise RemoteError("no such file", status=reply.status)
        return reply.payload

    async def observe(self, call: Call, timeout_s: float) -> AsyncGenerator[Reply, None]:
        yield await self.send(call, timeout_s)

    async def close(self) -> None:
        self.closed = True


class FakeFiles:
    """A file server with a directory: PUT conditions as network.md says, endpoint look-up."""

    def __init__(self, links: str = "") -> None:
        self.files: dict[str, bytes] = {}
        self.links = links
        self.puts: list[str] = []

    def __call__(self, call: Call) -> Reply:
        path = path_of(call)
        if path.startswith("endpoint-lookup/"):
            return Reply("2.05", self.links.encode(), 40)
        if call.method == "GET":
            return Reply("2.05", self.files[path]) if path in self.files else problem("4.04", "not-found")
        present = path in self.files
        if (present and call.if_match is None) or (not present and call.if_match is not None):
            return problem("4.12", "precondition")
        self.files[path] = call.payload
        self.puts.append(path)
        return Reply("2.04" if present else "2.01")
