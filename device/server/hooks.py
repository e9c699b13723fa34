"""`/hooks`, `/hooks/{id}` and what programs are bound to below `/app/` (api.md, "Hooks")."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from aiocoap import Code, Message

from device.api import HookList, HookRequest
from device.errors import NotFound
from device.execution.hooks import Hook, Hooks
from device.execution.ticks import Ticks
from device.peripherals import Reader
from device.resource import BoundedSite, Transfers
from device.server.base import MapResource, answer, answer_format, body
from device.server.board import no_saul
from device.server.packets import ProgramResource, packet_of, reply_of
from device.transport import peer_host

_CHANGE: Final = Struct("<I3hBb")
"""The context of hooks on the SAUL registry: the device's index, then its reading as a phydat_t."""


class HooksResource(MapResource):
    """GET and POST /hooks."""

    rt = "micro-bpf.hooks"
    observable = True
    max_body = 1024

    def __init__(
        self, transfers: Transfers, hooks: Hooks, devices: int, added: Callable[[Hook], None]
    ) -> None:
        super().__init__(transfers)
        self._hooks = hooks
        self._devices = devices
        self._added = added

    async def render_get(self, request: Message) -> Message:
        """All hooks."""
        return answer(HookList(tuple(hook.info() for hook in self._hooks.all)), answer_format(request))

    async def render_post(self, request: Message) -> Message:
        """Make a hook; the answer says where it is found."""
        content_format = answer_format(request)
        asked = HookRequest.from_map(body(request))
        if asked.index is not None and not 0 <= asked.index < self._devices:
            raise no_saul(str(asked.index), self._devices)
        hook = await self._hooks.add(asked, peer_host(request))
        self._added(hook)
        created = answer(hook.info(), content_format, Code.CREATED)
        created.opt.location_path = ("hooks", str(hook.number))
        return created


class HookResource(MapResource):
    """GET and DELETE /hooks/{id}; it does not list itself, `/hooks` does."""

    observable = True

    def __init__(
        self, transfers: Transfers, number: int, hooks: Hooks, remove: Callable[[int], None]
    ) -> None:
        super().__init__(transfers)
        self._number = number
        self._hooks = hooks
        self._remove = remove

    async def render_get(self, request: Message) -> Message:
        """What it has done so far."""
        return answer(self._hooks.get(self._number).info(), answer_format(request))

    async def render_delete(self, request: Message) -> Message:  # noqa: ARG002  # as the others
        """Take it away."""
        self._remove(self._number)
        return Message(code=Code.DELETED)

    def get_link_description(self) -> None:
        """None: see HooksResource."""


class AppResource(ProgramResource):
    """A path that a program is bound to."""

    rt = "micro-bpf.app"

    def __init__(self, transfers: Transfers, hook: Hook, hooks: Hooks) -> None:
        super().__init__(transfers)
        self._hook = hook
        self._hooks = hooks

    async def reply(self, request: Message) -> Message:
        """Have the program answer."""
        return reply_of(await self._hooks.answer(self._hook, packet_of(request), peer_host(request)))


class HookTree:
    """The hooks of a device in its tree of resources, and what fires them.

    `devices` are in the SAUL registry; `begin_watch` has the board looked at from now on.
    """

    def __init__(
        self, site: BoundedSite, hooks: Hooks, devices: int, begin_watch: Callable[[], None]
    ) -> None:
        self._site = site
        self._hooks = hooks
        self._ticks = Ticks(hooks)
        self._begin_watch = begin_watch
        self._listing = HooksResource(site.transfers, hooks, devices, self._added)
        self._each: dict[int, HookResource] = {}
        site.add_resource(["hooks"], self._listing)
        hooks.on_change = self._changed

    async def stop(self) -> None:
        """End all hooks."""
        self._ticks.stop()
        await self._hooks.stop()

    @property
    def watches_saul(self) -> bool:
        """Whether a hook runs when a reading changes."""
        return any(hook.request.trigger == "saul" for hook in self._hooks.all)

    def slot_emptied(self, slot: int) -> None:
        """The program of a slot is gone, and its hooks go with it."""
        for hook in self._hooks.all:
            if hook.request.slot == slot:
                self._remove(hook.number)

    def saul_changed(self, reader: Reader) -> None:
        """A device has another reading. One that fails has zeros: the program is told why when it reads."""
        hooks = self._hooks.of("saul", index=reader.index)
        if hooks:
            reading = reader.reading
            values = (*(reading.values if reading else ()), 0, 0, 0)[:3]
            unit, scale = (int(reading.unit), reading.scale) if reading else (0, 0)
            self._hooks.fire(hooks, _CHANGE.pack(reader.index, *values, unit, scale))

    def packet_came(self, request: Message) -> None:
        """A request has come in."""
        hooks = self._hooks.of("packet")
        if hooks:
            self._hooks.fire(hooks, packet=packet_of(request))

    def _added(self, hook: Hook) -> None:
        asked, transfers = hook.request, self._site.transfers
        resource = self._each[hook.number] = HookResource(transfers, hook.number, self._hooks, self._remove)
        self._site.add_resource(["hooks", str(hook.number)], resource)
        if asked.trigger == "path":
            self._site.add_resource(_place(hook), AppResource(transfers, hook, self._hooks))
        elif asked.trigger == "interval" and asked.period_ms is not None:
            self._ticks.begin(asked.period_ms)
        elif asked.trigger == "saul":
            self._begin_watch()
        self._listing.updated_state()

    def _remove(self, number: int) -> None:
        hook = self._hooks.remove(number)
        resource = self._each.pop(number)
        self._site.remove_resource(["hooks", str(number)])
        if hook.request.trigger == "path":
            self._site.remove_resource(_place(hook))
        resource.updated_state()
        self._listing.updated_state()

    def _changed(self, hook: Hook) -> None:
        self._listing.updated_state()
        if hook.number in self._each:
            self._each[hook.number].updated_state()


def no_hook(text: str) -> NotFound:
    """The error of whoever asks for a hook that is not there."""
    return NotFound(f"there is no hook {text[:20]!r}", hint="see /hooks")


def _place(hook: Hook) -> list[str]:
    return ["app", *hook.request.app_path.split("/")]
