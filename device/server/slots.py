"""`/slots`, `/slots/{n}` and what lies below: the programs of this device."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiocoap import Code, Message

from device.api import MAX_BODY, ExecRequest, JitRequest, SlotContent, SlotInfo, SlotList
from device.errors import MalformedRequest
from device.execution import Executor, slot_empty
from device.resource import Transfers
from device.server.base import MapResource, answer, answer_format, body, numbers
from device.storage.slots import StoredImage
from device.transport import peer_host
from device.vm.interpreter.discarded import bytecode_discarded


class SlotsResource(MapResource):
    """GET /slots."""

    rt = "micro-bpf.slots"
    observable = True

    def __init__(self, transfers: Transfers, infos: Callable[[], Awaitable[tuple[SlotInfo, ...]]]) -> None:
        super().__init__(transfers)
        self._infos = infos

    async def render_get(self, request: Message) -> Message:
        """All slots."""
        return answer(SlotList(await self._infos()), answer_format(request))


class SlotResource(MapResource):
    """GET and DELETE /slots/{n}."""

    rt = "micro-bpf.slot"
    observable = True

    def __init__(
        self, transfers: Transfers, number: int, info: Callable[[int], SlotInfo], executor: Executor
    ) -> None:
        super().__init__(transfers)
        self._number = number
        self._info = info
        self._executor = executor

    async def render_get(self, request: Message) -> Message:
        """What is in the slot."""
        await self._executor.load_stored(self._number)
        return answer(self._info(self._number), answer_format(request))

    async def render_delete(self, request: Message) -> Message:  # noqa: ARG002  # as the others
        """Remove the program; an empty slot stays one."""
        await self._executor.undeploy(self._number)
        return Message(code=Code.DELETED)


class ImageResource(MapResource):
    """GET /slots/{n}/image?offset=O&length=L: bytes of the image, all without a query (ADR 7)."""

    rt = "micro-bpf.image"

    def __init__(
        self,
        transfers: Transfers,
        number: int,
        image: Callable[[int], StoredImage | None],
        read: Callable[[StoredImage], bytes | None],
    ) -> None:
        super().__init__(transfers)
        self._number = number
        self._image = image
        self._read = read

    async def render_get(self, request: Message) -> Message:
        """The bytes. Those past the end of the image do not exist: there may be fewer than asked for."""
        content_format = answer_format(request)
        asked = numbers(request, "offset", "length")
        stored = self._image(self._number)
        if stored is None:
            raise slot_empty(self._number)
        image = stored.image if stored.released is None else await asyncio.to_thread(self._read, stored)
        if image is None:
            bytecode_discarded()
        offset = asked.get("offset", 0)
        if offset > stored.size:
            raise MalformedRequest(f"the image has {stored.size} bytes", where="offset")
        content = image[offset : offset + asked.get("length", stored.size)]
        return answer(SlotContent(self._number, stored.digest, stored.size, offset, content), content_format)


class ExecResource(MapResource):
    """POST /slots/{n}/exec: run the program of the slot now, and answer with how that ended."""

    rt = "micro-bpf.exec"
    max_body = MAX_BODY

    def __init__(self, transfers: Transfers, number: int, executor: Executor) -> None:
        super().__init__(transfers)
        self._number = number
        self._executor = executor

    async def render_post(self, request: Message) -> Message:
        """Run. A request without body asks for nothing special; a fault of the program is an answer."""
        content_format = answer_format(request)
        asked = ExecRequest.from_map(body(request, default={}))
        done = await self._executor.execute(self._number, asked, peer_host(request))
        return answer(done, content_format, Code.CHANGED)


class JitResource(MapResource):
    """POST /slots/{n}/jit: have the program compiled, or its code or bytecode dropped."""

    rt = "micro-bpf.jit"
    max_body = 256

    def __init__(
        self, transfers: Transfers, number: int, info: Callable[[int], SlotInfo], executor: Executor
    ) -> None:
        super().__init__(transfers)
        self._number = number
        self._info = info
        self._executor = executor

    async def render_post(self, request: Message) -> Message:
        """Do it; the answer is the slot as it is then."""
        content_format = answer_format(request)
        asked = JitRequest.from_map(body(request))
        await self._executor.change_code(self._number, asked.action)
        return answer(self._info(self._number), content_format, Code.CHANGED)
