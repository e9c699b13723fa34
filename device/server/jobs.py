"""`/jobs` and `/jobs/{id}`: long-running programs (api.md)."""

from __future__ import annotations

from aiocoap import Code, Message

from device.api import MAX_BODY, JobList, JobRequest
from device.errors import NotFound
from device.execution import Executor
from device.resource import Transfers
from device.server.base import MapResource, answer, answer_format, body
from device.transport import peer_host


class JobsResource(MapResource):
    """GET and POST /jobs."""

    rt = "micro-bpf.jobs"
    observable = True
    max_body = MAX_BODY

    def __init__(self, transfers: Transfers, executor: Executor) -> None:
        super().__init__(transfers)
        self._executor = executor

    async def render_get(self, request: Message) -> Message:
        """Jobs that run, and those that have ended lately."""
        return answer(JobList(self._executor.jobs()), answer_format(request))

    async def render_post(self, request: Message) -> Message:
        """Begin a job; the answer says where it is found."""
        content_format = answer_format(request)
        asked = JobRequest.from_map(body(request))
        job = await self._executor.start_job(asked, peer_host(request))
        created = answer(job.info(), content_format, Code.CREATED)
        created.opt.location_path = ("jobs", str(job.number))
        return created


class JobResource(MapResource):
    """GET and DELETE /jobs/{id}."""

    observable = True

    def __init__(self, transfers: Transfers, number: int, executor: Executor) -> None:
        super().__init__(transfers)
        self._number = number
        self._executor = executor

    async def render_get(self, request: Message) -> Message:
        """How far it is, or how it ended."""
        return answer(self._executor.job(self._number), answer_format(request))

    async def render_delete(self, request: Message) -> Message:  # noqa: ARG002  # as the others
        """Stop it; the answer comes when it has stopped. One that has ended is forgotten."""
        await self._executor.end_job(self._number)
        return Message(code=Code.DELETED)


def job_number(text: str) -> int:
    """The number in a path. Raises NotFound."""
    if text.isascii() and text.isdigit() and len(text) <= 9 and str(int(text)) == text:
        return int(text)
    raise NotFound(f"there is no job {text[:20]!r}", hint="jobs are numbered from 1")
