"""`/log`: what happened on this device lately."""

from __future__ import annotations

import asyncio

from aiocoap import Message

from device.log import DeviceLog
from device.resource import Transfers
from device.server.base import MapResource, answer, answer_format, numbers


class LogResource(MapResource):
    """GET /log?since=N, from line N on. An observer gets what that answers whenever the log has grown."""

    rt = "micro-bpf.log"
    observable = True

    def __init__(self, transfers: Transfers, log: DeviceLog, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transfers)
        self._log = log
        self._loop = loop
        log.listen(self._grown)

    async def render_get(self, request: Message) -> Message:
        """The lines."""
        content_format = answer_format(request)
        return answer(self._log.page(numbers(request, "since").get("since", 0)), content_format)

    def _grown(self) -> None:
        """Called on any thread."""
        if self.observers and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.updated_state)
