"""The base of every CoAP resource of this project.

It does what aiocoap leaves open to hostile or careless peers (network.md): bodies are capped before they
are assembled, answers longer than a block are sliced also under Observe, observers are counted, and every
error is answered as problem details instead of a traceback. A resource implements `render_get`,
`render_post`, … exactly as for aiocoap and raises errors of `device.errors`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiocoap import Code, Message
from aiocoap.pipe import Pipe
from aiocoap.resource import PathCapable, Resource

from device.errors import Incomplete, MalformedRequest, MethodNotAllowed, PreconditionFailed
from device.resource.problems import is_expected, place_of, problem_message, reference_of
from device.resource.transfers import MAX_SZX, Transfers, revalidated
from device.transport import awaiting_ack, tuning

METHODS: Final = {
    Code.GET: "render_get",
    Code.POST: "render_post",
    Code.PUT: "render_put",
    Code.DELETE: "render_delete",
    Code.FETCH: "render_fetch",
    Code.PATCH: "render_patch",
    Code.iPATCH: "render_ipatch",
}
_DEFAULT_CODE: Final = {Code.GET: Code.CONTENT, Code.FETCH: Code.CONTENT, Code.DELETE: Code.DELETED}
_BODILESS: Final = (Code.GET, Code.DELETE)
"""Methods whose payload means nothing (RFC 7252 section 5.8), and is not looked at."""

SAFE: Final = (Code.GET, Code.FETCH)
_ACK_POLL_S: Final = 0.05

Handler = Callable[[Message], Awaitable[Message]]


class BoundedResource(Resource):  # type: ignore[misc]  # aiocoap has no annotations
    """A resource with bounded bodies, block-wise answers, Observe and problem details.

    Class attributes, all of which an instance may set for itself:

    `max_body`     bytes of a request body it takes; longer ones are 4.13 with Size1 before they are
                   assembled. 0: no method of it takes a body.
    `observable`   GET with Observe is accepted; call `updated_state()` on the loop's thread when the
                   representation has changed, as often as you like.
    `short_answers`  no method answers with more than three times a request: for servers with a
                   `SourceCheck`, which otherwise ask for an Echo before anything is changed.
    `rt`, `ct`, `if_`, `sz`   what `/.well-known/core` says of it.

    Conditional requests are refused with 4.12, as no resource of this kind has anything to compare them with.
    A `PathCapable` one sees to If-Match and If-None-Match itself: only it knows what lies below its path.

    `render_*(request)` gets the whole body in `request.payload` and returns the whole answer; block-wise
    slices, ETag (content hash), Size2 and 2.03 on a matching ETag are added here. The path in
    `request.opt.uri_path` is the full one. What a method raises goes through `render_error`.
    """

    max_body: int = 0
    observable: bool = False
    short_answers: bool = False
    rt: str
    ct: str | int
    sz: int

    def __init__(self, transfers: Transfers) -> None:
        super().__init__()
        self.transfers = transfers
        self._observer_wakes: set[asyncio.Event] = set()

    # What a subclass may override

    def render_error(self, error: Exception, request: Message) -> Message:
        """An error as the answer: problem details, in the form that Accept asks for."""
        return problem_message(error, request.opt.accept)

    def body_limit(self, request: Message) -> int:  # noqa: ARG002  # for those who override it
        """Bytes of body that this request may have; may raise to refuse it before any of them is kept."""
        return self.max_body

    # Observe

    def updated_state(self) -> None:
        """The representation has changed: observers get it as it is when their turn comes."""
        for wake in self._observer_wakes:
            wake.set()

    @property
    def observers(self) -> int:
        """Observers of this resource at present."""
        return len(self._observer_wakes)

    def get_link_description(self) -> dict[str, Any] | None:
        """Attributes for `/.well-known/core`; None hides the resource."""
        link: dict[str, Any] = super().get_link_description()
        if hasattr(self, "sz"):
            link["sz"] = str(self.sz)
        if self.observable:
            link["obs"] = None
        return link

    # Serving

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """Answer one request, or a series of notifications; nothing but a cancellation comes out of here."""
        request = pipe.request
        if self.observable and request.code == Code.GET and request.opt.observe == 0 and _at_start(request):
            with self.transfers.observer() as admitted:
                if admitted:
                    await self._observe(pipe, request)
                    return
        pipe.add_response(await self.answer(request), is_last=True)

    async def answer(self, request: Message) -> Message:
        """The message to send for this request without Observe, whatever happens."""
        block1 = request.opt.block1
        try:
            answer = await self._respond(request)
        except Exception as error:  # noqa: BLE001  # the last line of defence: a peer sees 5.00, the log one line
            answer = self._failed(error, request)
        if block1 is not None and answer.opt.block1 is None:
            answer.opt.block1 = (block1.block_number, False, min(block1.size_exponent, MAX_SZX))
        answer.transport_tuning = tuning(self.transfers.limits.timing)
        if answer.opt.no_response is None:
            answer.opt.no_response = request.opt.no_response
        return answer

    async def _respond(self, request: Message) -> Message:
        method = self._method(request)
        if not isinstance(self, PathCapable):
            _check_conditions(request)
        if not _at_start(request):
            _check_block2(request)
            kept = self.transfers.kept_block(request)
            if kept is not None:
                return kept
            if request.code not in SAFE:
                raise Incomplete("the answer is no longer here", hint="ask again")
        _check_block2(request)
        limit = self.body_limit(request)
        whole = request if request.code in _BODILESS else self.transfers.assemble(request, limit)
        return self.transfers.first_block(request, await self._call(method, whole))

    async def _call(self, method: Handler, request: Message) -> Message:
        try:
            answer = await method(request)
        except Exception as error:  # noqa: BLE001  # rendered here, so that long problems are sliced as well
            return self._failed(error, request)
        if answer.code is None:
            answer.code = _DEFAULT_CODE.get(request.code, Code.CHANGED)
        return revalidated(request, answer)

    def _failed(self, error: Exception, request: Message) -> Message:
        if not is_expected(error):
            where = "/".join(request.opt.uri_path)
            kind, place = type(error).__name__, place_of(error)
            self.transfers.log(f"{reference_of(error)}: {request.code} /{where}: {kind} at {place}: {error}")
        return self.render_error(error, request)

    def _method(self, request: Message) -> Handler:
        method: Handler | None = getattr(self, METHODS.get(request.code, "no method"), None)
        if method is None:
            offered = [str(code) for code, name in METHODS.items() if hasattr(self, name)]
            asked = str(request.code) if request.code in METHODS else request.code.dotted
            raise MethodNotAllowed(f"{asked} is not offered here", hint=f"offered: {', '.join(offered)}")
        return method

    async def _observe(self, pipe: Pipe, request: Message) -> None:
        """Notifications until the client loses interest, which cancels this, or an error is the state."""
        wake = asyncio.Event()
        self._observer_wakes.add(wake)
        try:
            await self._notify(pipe, request, wake)
        finally:
            self._observer_wakes.discard(wake)

    async def _notify(self, pipe: Pipe, request: Message, wake: asyncio.Event) -> None:
        limits = self.transfers.limits
        number = 0
        confirmed = self.transfers.clock()
        while True:
            wake.clear()
            answer = await self.answer(request)
            if not answer.code.is_successful():
                pipe.add_response(answer, is_last=True)
                return
            if number and self.transfers.clock() - confirmed >= limits.observer_confirm_s:
                answer.transport_tuning = tuning(limits.timing, reliable=True)
                confirmed = self.transfers.clock()
            answer.opt.observe = number
            pipe.add_response(answer, is_last=False)
            number = number + 1 & 0xFFFFFF
            await asyncio.sleep(limits.notify_interval_s)
            remaining = limits.observer_confirm_s - (self.transfers.clock() - confirmed)
            await _wait(wake, max(remaining, limits.notify_interval_s))
            # One notification under way at a time: a silent observer must not pile up a backlog.
            while awaiting_ack(request, answer):  # noqa: ASYNC110  # aiocoap tells nobody when an ACK comes
                await asyncio.sleep(_ACK_POLL_S)


def _at_start(request: Message) -> bool:
    return request.opt.block2 is None or request.opt.block2.block_number == 0


def _check_conditions(request: Message) -> None:
    """Do nothing on a condition that cannot be shown to hold (RFC 7252 section 5.10.8)."""
    if request.opt.if_match:
        raise PreconditionFailed("no conditions are kept here", where="If-Match", hint="leave the option out")
    if request.opt.if_none_match:
        raise PreconditionFailed("this resource exists", where="If-None-Match", hint="leave the option out")


def _check_block2(request: Message) -> None:
    if request.opt.block2 is not None and request.opt.block2.size_exponent > MAX_SZX:
        raise MalformedRequest("block size exponent 7 is reserved", code="bad-option", where="Block2")


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
