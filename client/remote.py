"""One device as its operator sees it: the resources of api.md as typed calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from client.connection import Connection
from client.directory import Target
from client.exchange import DELETE, GET, POST, PUT, Call
from device.api import (
    CBOR,
    BoardInfo,
    DeviceInfo,
    ExecAnswer,
    ExecRequest,
    HookInfo,
    HookList,
    HookRequest,
    JobInfo,
    JobList,
    JobRequest,
    LogPage,
    Message,
    SlotContent,
    SlotInfo,
    SlotList,
    StoreListing,
    UpdateStatus,
)
from device.errors import MalformedRequest, TransportError

M = TypeVar("M", bound=Message)

_ANSWER_MARGIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """A device behind a connection. Every call raises TransportError or RemoteError.

    Answers are read leniently (a newer device may say more); one that misses what belongs in it is a
    TransportError with code `protocol`.
    """

    connection: Connection
    target: Target

    async def info(self) -> DeviceInfo:
        """GET /device."""
        return await self._get("/device", DeviceInfo)

    async def slots(self) -> SlotList:
        """GET /slots."""
        return await self._get("/slots", SlotList)

    async def slot(self, number: int) -> SlotInfo:
        """GET /slots/{n}."""
        return await self._get(f"/slots/{number}", SlotInfo)

    async def image(self, number: int, offset: int, length: int) -> SlotContent:
        """GET /slots/{n}/image: `length` bytes from `offset` on, as far as the image has them."""
        return await self._get(f"/slots/{number}/image?offset={offset}&length={length}", SlotContent)

    async def undeploy(self, number: int) -> None:
        """DELETE /slots/{n}."""
        await self.connection.ask(DELETE, self.target.url(f"/slots/{number}"))

    async def execute(self, number: int, request: ExecRequest) -> ExecAnswer:
        """POST /slots/{n}/exec; waits as long as the request may take, and a little more."""
        url = self.target.url(f"/slots/{number}/exec")
        deadline = request.timeout_ms / 1000 + _ANSWER_MARGIN_S
        answer = await self.connection.ask(POST, url, request.to_map(), timeout_s=deadline)
        return self._read(ExecAnswer, answer, url)

    async def start_job(self, request: JobRequest) -> JobInfo:
        """POST /jobs."""
        url = self.target.url("/jobs")
        return self._read(JobInfo, await self.connection.ask(POST, url, request.to_map()), url)

    async def jobs(self) -> JobList:
        """GET /jobs."""
        return await self._get("/jobs", JobList)

    async def job(self, number: int) -> JobInfo:
        """GET /jobs/{id}."""
        return await self._get(f"/jobs/{number}", JobInfo)

    def follow_job(self, number: int) -> AsyncGenerator[JobInfo, None]:
        """A job, now and at every change of its state (Observe)."""
        return self._follow(f"/jobs/{number}", JobInfo)

    async def end_job(self, number: int) -> None:
        """DELETE /jobs/{id}; returns when it has stopped."""
        await self.connection.ask(DELETE, self.target.url(f"/jobs/{number}"))

    async def add_hook(self, request: HookRequest) -> HookInfo:
        """POST /hooks."""
        url = self.target.url("/hooks")
        return self._read(HookInfo, await self.connection.ask(POST, url, request.to_map()), url)

    async def hooks(self) -> HookList:
        """GET /hooks."""
        return await self._get("/hooks", HookList)

    async def remove_hook(self, number: int) -> None:
        """DELETE /hooks/{id}."""
        await self.connection.ask(DELETE, self.target.url(f"/hooks/{number}"))

    async def store(self, slot: int | None = None) -> StoreListing:
        """GET /store/global, or the local store of a slot."""
        return await self._get(_store_path(slot), StoreListing)

    async def set_store(self, changes: Mapping[str, int | None], slot: int | None = None) -> None:
        """PUT to a store; None deletes a key. All or nothing."""
        await self.connection.ask(PUT, self.target.url(_store_path(slot)), dict(changes))

    async def board(self) -> BoardInfo:
        """GET /board."""
        return await self._get("/board", BoardInfo)

    def follow_board(self) -> AsyncGenerator[BoardInfo, None]:
        """The board, now and whenever something about it changes (Observe)."""
        return self._follow("/board", BoardInfo)

    async def change(self, path: str, body: Mapping[str, Any]) -> None:
        """PUT to `/board` or `/saul/{i}`."""
        await self.connection.ask(PUT, self.target.url(path), dict(body))

    async def log(self, since: int = 0) -> LogPage:
        """GET /log from line `since` on."""
        return await self._get(f"/log?since={since}", LogPage)

    def follow_log(self, since: int) -> AsyncGenerator[LogPage, None]:
        """The log from line `since` on, now and whenever it grows (Observe)."""
        return self._follow(f"/log?since={since}", LogPage)

    async def trigger(self, url: str) -> None:
        """POST /suit/trigger: fetch and apply the manifest at `url`."""
        await self.connection.text(POST, self.target.url("/suit/trigger"), url.encode())

    async def post_manifest(self, envelope: bytes) -> None:
        """POST /suit/manifest: apply this manifest."""
        url = self.target.url("/suit/manifest")
        call = Call(POST, url, envelope, content_format=CBOR)
        await self.connection.send(call, timeout_s=self.connection.allowance_s(len(envelope)))

    async def status(self) -> UpdateStatus:
        """GET /suit/status."""
        return await self._get("/suit/status", UpdateStatus)

    async def _get(self, path: str, kind: type[M]) -> M:
        url = self.target.url(path)
        return self._read(kind, await self.connection.ask(GET, url), url)

    async def _follow(self, path: str, kind: type[M]) -> AsyncGenerator[M, None]:
        url = self.target.url(path)
        async with aclosing(self.connection.observe(url)) as answers:
            async for answer in answers:
                yield self._read(kind, answer, url)

    def _read(self, kind: type[M], answer: Any, url: str) -> M:
        try:
            return kind.from_map(answer, strict=False)
        except MalformedRequest as error:
            raise TransportError(
                f"the answer of {url} is not what api.md says: {error.detail}",
                code="protocol",
                where=url,
                hint="is it a micro-bpf device, and of this version?",
            ) from error


def _store_path(slot: int | None) -> str:
    return "/store/global" if slot is None else f"/store/slots/{slot}"
