"""`/device` and `/riot/board`: who this is."""

from __future__ import annotations

from collections.abc import Callable

from aiocoap import Message

from device.api import DeviceInfo
from device.resource import Transfers
from device.server.base import MapResource, TextResource, answer, answer_format, text_answer


class DeviceResource(MapResource):
    """GET /device."""

    rt = "micro-bpf.device"

    def __init__(self, transfers: Transfers, info: Callable[[], DeviceInfo]) -> None:
        super().__init__(transfers)
        self._info = info

    async def render_get(self, request: Message) -> Message:
        """Name, identity, sizes and what this device can do."""
        return answer(self._info(), answer_format(request))


class ConstantText(TextResource):
    """GET of a text that never changes: `/riot/board`, `/suit/slot/active`, `/suit/slot/inactive`."""

    def __init__(self, transfers: Transfers, text: str, rt: str) -> None:
        super().__init__(transfers)
        self._text = text
        self.rt = rt
        self.sz = len(text.encode())

    async def render_get(self, request: Message) -> Message:
        """The text."""
        return text_answer(request, self._text)
